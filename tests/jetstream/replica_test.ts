// Replicas of one stream: they agree, and one that fell behind installs a snapshot.

import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { type InstallNotification, MemoryStorage, type NotifiedSources, Replica, snapshotHandler } from "../../mod.ts";
import { serve } from "../../src/transfer/server/serve.ts";
import { Probe } from "../support/probe.ts";
import { assert, gate, rejects, test, turns } from "../support/harness.ts";
import { bytes, eventually, fill, openLog, type OpenReplica, openReplica, reaches, STREAM } from "./kit.ts";
import { type NatsServer, withNats } from "../support/nats.ts";
import { CODECS, KeyValueUsers, type Release, userOf } from "../support/schemas.ts";

test("shared log: what three replicas propose is applied by all, in one order, once it is acknowledged here", () =>
  withNats(async (server) => {
    const replicas = await Promise.all(["a", "b", "c"].map((member) => openReplica(server, member)));
    await Promise.all(replicas.map(async ({ replica }, r) => {
      for (let i = 0; i < 50; i++) {
        const { index } = await replica.propose(bytes(`${r}.${i}`));
        assert.include(replica.machine.state, `${index}:${r}.${i} `, "applied here");
      }
    }));
    await replicas[1]!.replica.reconfigure({ peers: ["a", "b", "c"] });
    await Promise.all(replicas.map(({ replica }) => reaches(replica, 151n)));
    const [a, b, c] = replicas.map(({ replica }) => replica);
    assert.equal(a!.machine.state, b!.machine.state);
    assert.equal(a!.machine.state, c!.machine.state);
    assert.deepEqual(c!.status().configuration.peers, ["a", "b", "c"]);
    assert.deepEqual([c!.status().appliedTerm, c!.status().lastIndex], [1n, 151n]);
    await rejects(a!.append([{ index: 152n, term: 1n, data: bytes("x") }]), "MALFORMED");
    const read: bigint[] = [];
    for await (const { index } of b!.entries(150n)) read.push(index);
    assert.deepEqual(read, [150n, 151n]);
    for (const { close } of replicas) await close();
    await rejects(a!.propose(bytes("x")), "CLOSED");
  }));

test("shared log: open resolves when all is applied that was there", () =>
  withNats(async (server) => {
    const { log, close } = await openLog(server, "writer");
    await fill(log, 3000);
    const late = await openReplica(server, "late");
    assert.equal(late.replica.status().appliedIndex, 3000n);
    await late.close();
    await close();
  }));

test("shared log: snapshot, purge, restart, and a new replica that reads only what comes after", () =>
  withNats(async (server) => {
    const storage = new MemoryStorage({ retain: 1 });
    storage.close = () => Promise.resolve();
    const first = await openReplica(server, "a", { storage });
    for (let i = 0; i < 20; i++) await first.replica.propose(bytes(`${i}`));
    await first.replica.snapshot().result;
    assert.equal(first.replica.status().firstIndex, 21n, "nobody needs them");
    assert.equal(first.replica.status().metrics.purgedEntries, 20n);
    for (let i = 20; i < 30; i++) await first.replica.propose(bytes(`${i}`));
    const { state } = first.replica.machine;
    await first.close();
    const again = await openReplica(server, "a", { storage });
    assert.equal(again.replica.machine.state, state);
    assert.deepEqual([again.replica.status().firstIndex, again.replica.status().lastIndex], [21n, 30n]);
    assert.equal((await again.replica.propose(bytes("more"))).index, 31n);
    await again.close();
  }));

/** A replica that stands still in the middle of its second entry, until it is let go. */
async function held(
  server: NatsServer,
  options: Parameters<typeof openReplica>[2],
): Promise<OpenReplica & { readonly inside: Promise<void>; go(): void }> {
  const [inside, go] = [gate(), gate()];
  const machine = new Probe();
  machine.onApply = ({ index }) => {
    if (index !== 2n) return;
    inside.open();
    return go.promise;
  };
  return { ...await openReplica(server, "held", { machine, ...options }), inside: inside.promise, go: go.open };
}

/** Appends more than a reader has asked for, takes a snapshot of it, and purges all before as an administrator does. */
async function purgeUnder({ replica, log, connection }: OpenReplica): Promise<void> {
  const indices = await fill(log, 5000);
  await reaches(replica, indices.at(-1)!);
  const { snapshot } = await replica.snapshot().result;
  const seq = Number(snapshot!.meta.lastIncludedIndex) - 1;
  await (await jetstreamManager(connection)).streams.purge(STREAM, { seq });
}

/** The snapshots of a replica, served. */
async function served({ storage }: OpenReplica): Promise<{ url: string; close(): Promise<void> }> {
  const handler = snapshotHandler(storage, { allowWrites: true });
  const server = await serve(handler, { port: 0 });
  return {
    url: server.url,
    async close() {
      await server.close();
      await handler.close();
    },
  };
}

test("shared log: a new one whose entries were purged installs from a peer over HTTP, and goes on", () =>
  withNats(async (server) => {
    const a = await openReplica(server, "a");
    for (let i = 0; i < 30; i++) await a.replica.propose(bytes(`${i}`));
    await a.replica.snapshot().result;
    assert.equal(a.replica.status().firstIndex, 31n);
    await a.replica.propose(bytes("after"));
    const peer = await served(a);
    const asked: bigint[] = [];
    const onNotification = ({ firstAvailable }: InstallNotification): NotifiedSources => {
      asked.push(firstAvailable.index);
      return { sources: [peer.url] };
    };
    const b = await openReplica(server, "b", { onNotification });
    assert.deepEqual(asked, [31n]);
    assert.equal(b.replica.machine.state, a.replica.machine.state);
    assert.equal(b.replica.status().snapshot?.meta.lastIncludedIndex, 30n);
    await b.replica.propose(bytes("both"));
    await reaches(a.replica, 32n);
    assert.equal(b.replica.machine.state, a.replica.machine.state);
    for (const { close } of [b, a, peer]) await close();
  }));

test("shared log: purged under a replica that is running: it installs from a peer over HTTP, and goes on", () =>
  withNats(async (server) => {
    const a = await openReplica(server, "a");
    const peer = await served(a);
    const b = await held(server, { onNotification: () => ({ sources: [peer.url] }) });
    await fill(a.log, 2);
    await b.inside;
    await fill(a.log, 3000);
    const proposed = b.replica.propose(bytes("mine"));
    await purgeUnder(a);
    b.go();
    assert.isTrue((await proposed).index > 3000n, "applied by the snapshot");
    await reaches(b.replica, a.replica.status().appliedIndex);
    assert.equal(b.replica.machine.state, a.replica.machine.state);
    while (b.replica.status().state !== "idle") await turns(1); // the state is there before the install is counted
    assert.equal(b.replica.status().metrics.installs, 1);
    await b.replica.propose(bytes("more"));
    for (const { close } of [b, a, peer]) await close();
  }));

test("shared log: purged under a replica that shares its storage with others: it takes the snapshot that is there", () =>
  withNats(async (server) => {
    const storage = new MemoryStorage({ retain: 1 });
    const close = storage.close.bind(storage);
    storage.close = () => Promise.resolve();
    const a = await openReplica(server, "a", { storage });
    const b = await held(server, { storage });
    await fill(a.log, 2);
    await b.inside;
    await purgeUnder(a);
    b.go();
    await reaches(b.replica, a.replica.status().appliedIndex);
    assert.equal(b.replica.machine.state, a.replica.machine.state);
    assert.isTrue((b.replica.machine as Probe).calls.includes("load"));
    await b.close();
    await a.close();
    await close();
  }));

test("shared log: purged, and nobody has a snapshot: it says so, and goes on when one can be had", () =>
  withNats(async (server) => {
    const a = await openReplica(server, "a");
    let sources: string[] = [];
    const b = await held(server, { onNotification: () => ({ sources }) });
    await fill(a.log, 2);
    await b.inside;
    await purgeUnder(a);
    b.go();
    await eventually("it says so", () => b.replica.status().problem !== undefined);
    const { problem, appliedIndex } = b.replica.status();
    assert.deepEqual([problem!.code, problem!.fields.expected], ["NOT_FOUND", 5001n]);
    assert.match(problem!.message, new RegExp(`Entries ${appliedIndex + 1n} to 5000 were purged.*onNotification`));
    const error = await rejects(openReplica(server, "c"), "NOT_FOUND");
    assert.match(error.message, /Entries 1 to 5000 were purged/);

    const peer = await served(a);
    sources = [peer.url];
    await eventually("it goes on", () => b.replica.status().problem === undefined);
    await reaches(b.replica, 5002n);
    assert.equal(b.replica.machine.state, a.replica.machine.state);
    for (const { close } of [b, a, peer]) await close();
  }));

test("shared log: an entry that is none stops all replicas before it, and their proposals fail", () =>
  withNats(async (server) => {
    const a = await openReplica(server, "a");
    await fill(a.log, 2);
    await jetstream(a.connection).publish(`${STREAM}.log`, "who knows");
    const error = await rejects(async () => {
      for (;;) await a.replica.propose(bytes("x"));
    }, "MALFORMED");
    assert.equal(error.index, 3n);
    assert.equal(a.replica.status().appliedIndex, 2n);
    assert.equal((await rejects(openReplica(server, "b"), "MALFORMED")).index, 3n);
    await rejects(a.replica.snapshot().result, "MALFORMED");
    await a.close();
  }));

test("shared log: a machine that cannot apply an entry stops; what waits for it is told", () =>
  withNats(async (server) => {
    const machine = new Probe();
    machine.onApply = ({ index }) => {
      if (index === 3n) throw new Error("no");
    };
    const a = await openReplica(server, "a", { machine });
    const settled = await Promise.allSettled([1, 2, 3, 4].map((i) => a.replica.propose(bytes(`${i}`))));
    assert.deepEqual(settled.map(({ status }) => status), ["fulfilled", "fulfilled", "rejected", "rejected"]);
    assert.equal((await rejects(a.replica.propose(bytes("5")), "UNAVAILABLE")).index, 3n);
    await a.close();
  }));

test("shared log: an older release stops before what a newer one wrote, refuses to write it, and the newer one has all", () =>
  withNats(async (server) => {
    const open = async (member: string, release: Release) => {
      const { log, connection } = await openLog(server, member);
      const machine = new KeyValueUsers(CODECS[release]!);
      const replica = await Replica.open({ machine, log, storage: new MemoryStorage(), triggers: { interval: 0 } });
      return { replica, machine, close: () => replica.close().then(() => connection.close()) };
    };
    const [old, newer] = [await open("old", 0), await open("newer", 1)];
    await old.replica.propose(old.machine.put("a", userOf("a", 0)));
    await rejects(old.replica.propose(newer.machine.put("b", userOf("b", 1))), "UNSUPPORTED");
    await newer.replica.propose(newer.machine.put("b", userOf("b", 1)));
    assert.deepEqual(await newer.machine.content(), { a: userOf("a", 0, 1), b: userOf("b", 1) });
    await eventually(
      "the older one stops",
      () =>
        old.replica.propose(old.machine.put("c", userOf("c", 0))).then(() => false, (error) => {
          assert.deepEqual([error.code, error.index], ["UNSUPPORTED", 2n]);
          return true;
        }),
    );
    assert.deepEqual(await old.machine.content(), { a: userOf("a", 0) });
    await old.close();
    await newer.close();
  }));
