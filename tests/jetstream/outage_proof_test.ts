// Servers, leaders and connections that go away in the middle: no gap, no double, nothing acknowledged lost.

import { jetstreamManager } from "@nats-io/jetstream";
import { cp, rm } from "node:fs/promises";
import { assert, rejects, test } from "../support/harness.ts";
import { bytes, eventually, fill, openLog, openReplica, reaches, STREAM, take, text } from "./kit.ts";
import { withCluster, withNats } from "../support/nats.ts";
import { startProxy } from "./proxy.ts";

/** What a probe has applied: its commands, in order. */
function applied(state: string): string[] {
  return state.trim().split(" ").map((word) => word.slice(word.indexOf(":") + 1));
}

test("outage: the server is killed and started again, three times, while three replicas propose", () =>
  withNats(async (server) => {
    const members = ["a", "b", "c"];
    const replicas = await Promise.all(members.map((member) => openReplica(server, member)));
    let stop = false;
    const acknowledged: string[] = [];
    const proposing = replicas.flatMap(({ replica }, r) =>
      Array.from({ length: 8 }, async (_, lane) => {
        for (let i = 0; !stop; i++) {
          const command = `${members[r]}.${lane}.${i}`;
          await replica.propose(bytes(command));
          acknowledged.push(command);
        }
      })
    );
    for (let kill = 0; kill < 3; kill++) {
      const seen = acknowledged.length;
      await eventually("commands go on", () => acknowledged.length > seen + 500);
      await server.kill();
      await server.start();
    }
    const seen = acknowledged.length;
    await eventually("commands go on", () => acknowledged.length > seen + 500);
    stop = true;
    await Promise.all(proposing);
    const last = replicas.map(({ replica }) => replica.status().appliedIndex).reduce((a, b) => a > b ? a : b);
    await Promise.all(replicas.map(({ replica }) => reaches(replica, last)));
    const states = replicas.map(({ replica }) => replica.machine.state);
    assert.isTrue(states.every((state) => state === states[0]), "all have applied the same, in the same order");
    const commands = applied(states[0]!);
    assert.equal(new Set(commands).size, commands.length, "no double");
    assert.equal(commands.length, Number(last), "no gap");
    assert.sameMembers(commands, acknowledged, "what was acknowledged is there, and nothing else was proposed");
    for (const { close } of replicas) await close();
  }));

test("outage: an acknowledgement that is lost: the entry is there once, and its index is the first's", () =>
  withNats(async (server) => {
    const proxy = await startProxy(server);
    const [far, near] = [await openLog(proxy, "far"), await openLog(server, "near")];
    await fill(far.log, 10);
    proxy.mute();
    const proposed = Array.from({ length: 20 }, (_, i) => far.log.propose({ data: bytes(`lost ${i}`) }));
    assert.equal((await take(near.log, 11n, 20)).length, 20, "they arrived");
    proxy.cut();
    const indices = (await Promise.all(proposed)).map(({ index }) => index);
    assert.deepEqual(indices, Array.from({ length: 20 }, (_, i) => BigInt(i + 11)));
    // The same with a condition, which would not hold if it were a second one.
    proxy.mute();
    const conditional = far.log.propose({ data: bytes("once") }, { expectedLastIndex: 30n });
    await take(near.log, 31n, 1);
    proxy.cut();
    assert.equal((await conditional).index, 31n);
    await near.log.refresh();
    assert.equal(near.log.lastIndex, 31n);
    await far.close();
    await near.close();
    await proxy.close();
  }));

test("outage: a conditional proposal whose acknowledgement is lost, and whose place another has: not appended", () =>
  withNats(async (server) => {
    const proxy = await startProxy(server);
    const [far, near] = [await openLog(proxy, "far"), await openLog(server, "near")];
    await fill(near.log, 3);
    proxy.mute();
    const refused = far.log.propose({ data: bytes("late") }, { expectedLastIndex: 0n }); // refused, and not told so
    await near.log.refresh();
    proxy.cut();
    await rejects(refused, "STALE");
    await near.log.refresh();
    assert.equal(near.log.lastIndex, 3n);
    await far.close();
    await near.close();
    await proxy.close();
  }));

test("outage: longer than the server knows an id: the proposal says that it may be there", () =>
  withNats(async (server) => {
    const admin = await server.connect();
    const manager = await jetstreamManager(admin);
    await manager.streams.add({ name: STREAM, subjects: [`${STREAM}.log`], duplicate_window: 2e9 });
    await admin.close();
    const proxy = await startProxy(server);
    const far = await openLog(proxy, "far");
    const near = await openLog(server, "near");
    proxy.mute();
    const proposed = far.log.propose({ data: bytes("who knows") });
    const error = await rejects(proposed, "TIMEOUT");
    assert.match(error.message, /within 1000 ms\. It may have been appended/);
    assert.deepEqual((await take(near.log, 1n, 1)).map(text), ["who knows"]);
    await server.kill();
    proxy.cut();
    const down = await rejects(near.log.propose({ data: bytes("no") }), "TIMEOUT");
    assert.match(down.message, /leaderboard/);
    await server.start();
    assert.equal((await near.log.propose({ data: bytes("again") })).index >= 2n, true);
    await far.close();
    await near.close();
    await proxy.close();
  }));

test("outage: a connection that is cut while a long log is read: no gap, no double", () =>
  withNats(async (server) => {
    const proxy = await startProxy(server);
    const [far, near] = [await openLog(proxy, "far"), await openLog(server, "near")];
    await fill(near.log, 20_000);
    const indices: bigint[] = [];
    let cuts = 0;
    for await (const entries of far.log.follow(1n, new AbortController().signal)) {
      indices.push(...entries.map(({ index }) => index));
      if (indices.length >= 20_000) break;
      if (indices.length > cuts * 4000) {
        cuts++;
        proxy.cut();
      }
    }
    assert.deepEqual(indices, Array.from({ length: 20_000 }, (_, i) => BigInt(i + 1)));
    assert.isAtLeast(cuts, 4);
    await far.close();
    await near.close();
    await proxy.close();
  }));

test("outage: a server that comes back with what it had earlier: no replica goes on as if nothing had happened", () =>
  withNats(async (server, directory) => {
    const store = `${directory}/nats/store`;
    const a = await openReplica(server, "a");
    for (let i = 1; i <= 5; i++) await a.replica.propose(bytes(`${i}`));
    await server.kill();
    await cp(store, `${directory}/backup`, { recursive: true });
    await server.start();
    for (let i = 6; i <= 8; i++) await a.replica.propose(bytes(`${i}`));
    const behind = await openReplica(server, "behind"); // has all, and sees no more until it has grown again
    await server.kill();
    await rm(store, { recursive: true });
    await cp(`${directory}/backup`, store, { recursive: true });
    await server.start();
    const other = await openLog(server, "other");
    assert.equal(other.log.lastIndex, 5n);
    await fill(other.log, 4, "other");
    for (const { replica } of [a, behind]) {
      const error = await rejects(async () => {
        for (;;) await replica.propose(bytes("more"));
      }, "CORRUPT");
      assert.match(error.message, /lost entries that it had acknowledged, or is another one/);
      assert.equal(replica.status().appliedIndex, 8n);
    }
    await other.close();
    await behind.close();
    await a.close();
  }));

test("outage: a cluster of three whose leader is killed in the middle, and comes back", () =>
  withCluster(async (servers) => {
    const connect = () => servers[0]!.connect({ servers: servers.map(({ url }) => url) });
    const logOptions = { replicas: 3 };
    const replicas = await Promise.all(
      ["a", "b", "c"].map((member) => openReplica({ connect }, member, { logOptions })),
    );
    const manager = await jetstreamManager(replicas[0]!.connection);
    let stop = false;
    const acknowledged: string[] = [];
    const proposing = replicas.flatMap(({ replica }, r) =>
      Array.from({ length: 4 }, async (_, lane) => {
        for (let i = 0; !stop; i++) {
          const command = `${r}.${lane}.${i}`;
          await replica.propose(bytes(command));
          acknowledged.push(command);
        }
      })
    );
    for (let kill = 0; kill < 2; kill++) {
      const seen = acknowledged.length;
      await eventually("commands go on", () => acknowledged.length > seen + 200);
      const { cluster } = await manager.streams.info(STREAM);
      const leader = servers[Number(cluster!.leader!.slice(1))]!;
      await leader.kill();
      const after = acknowledged.length;
      await eventually("commands go on without it", () => acknowledged.length > after + 200);
      await leader.start();
      await eventually("it is back", async () => {
        const { cluster } = await manager.streams.info(STREAM);
        return cluster!.replicas!.length === 2 && cluster!.replicas!.every(({ current }) => current);
      });
    }
    stop = true;
    await Promise.all(proposing);
    const last = replicas.map(({ replica }) => replica.status().appliedIndex).reduce((a, b) => a > b ? a : b);
    await Promise.all(replicas.map(({ replica }) => reaches(replica, last)));
    const states = replicas.map(({ replica }) => replica.machine.state);
    assert.isTrue(states.every((state) => state === states[0]));
    const commands = applied(states[0]!);
    assert.equal(new Set(commands).size, commands.length, "no double");
    assert.sameMembers(commands, acknowledged);
    for (const { close } of replicas) await close();
  }));
