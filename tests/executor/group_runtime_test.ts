// A replica of one group, and snapshots of another: from every side, and by every way.

import {
  archive,
  EncryptedStorage,
  encryptedWriter,
  type ExecutorEvent,
  MemoryLog,
  MemoryStorage,
  notifyInstall,
  pull,
  push,
  type Replica,
  snapshotHandler,
  type SnapshotMeta,
  type SnapshotStorage,
  type SourceOptions,
  streamedArchive,
} from "../../mod.ts";
import { MemoryBucket, ObjectStorage } from "../../src/object.ts";
import { assert, noise, rejects, test } from "../support/harness.ts";
import { bytes, entries, fill, open, type Parts, parts } from "../support/parts.ts";
import { commit, type Probe, writeText } from "../support/probe.ts";

const ALL = { "X-Group": "any" };

/** A source of what is in a storage. */
function sourceOf(storage: SnapshotStorage): SourceOptions & { close(): Promise<void> } {
  const handler = snapshotHandler(storage, { allowWrites: true });
  return { url: "http://there", fetch: handler, headers: ALL, close: () => handler.close() };
}

/** A storage with snapshot 9 of a group, or of none. */
async function snapshotOf(group: string | undefined): Promise<MemoryStorage> {
  const storage = new MemoryStorage();
  const meta = { lastIncludedIndex: 9n, peers: ["theirs"], ...(group !== undefined && { group }) };
  await commit(storage, meta, `state of ${group}`);
  return storage;
}

/** Fails unless all is as it was before something was refused. */
function checkUntouched({ machine, ...replica }: { machine: Probe; status: Replica<Probe>["status"] }, state: string) {
  assert.strictEqual(machine.state, state);
  assert.notInclude(machine.calls, "pause");
  assert.notInclude(machine.calls, "load");
  const { configuration, appliedIndex } = replica.status();
  assert.deepEqual([configuration.peers, appliedIndex], [["ours"], 3n]);
}

/** The ways by which a snapshot of somebody else's comes to a replica. */
const WAYS: Readonly<Record<string, (replica: Replica<Probe>, here: Parts, from: SnapshotStorage) => Promise<void>>> = {
  async pull(replica, _here, from) {
    const source = sourceOf(from);
    try {
      await replica.install([source]).result;
    } finally {
      await source.close();
    }
  },
  async "pull into its storage"(_replica, { storage }, from) {
    const source = sourceOf(from);
    try {
      await pull(storage, [source]).result;
    } finally {
      await source.close();
    }
  },
  async archive(replica, _here, from) {
    const reader = await from.open();
    try {
      await replica.install(archive(reader)).result;
    } finally {
      await reader.close();
    }
  },
  async "archive, streamed"(replica, _here, from) {
    const [{ meta } = { meta: undefined as never }] = await from.list();
    await replica.install(streamedArchive(meta as SnapshotMeta, (writer) => writeText(writer, "theirs"))).result;
  },
  async push(replica, { storage }, from) {
    const handler = snapshotHandler(storage, { allowWrites: true, target: replica });
    const reader = await from.open();
    try {
      await push(reader, { url: "http://here", fetch: handler }).result;
    } finally {
      await reader.close();
      await handler.close();
    }
  },
  async "push to a handler without a target"(_replica, { storage }, from) {
    const handler = snapshotHandler(storage, { allowWrites: true });
    const reader = await from.open();
    try {
      await push(reader, { url: "http://here", fetch: handler }).result;
    } finally {
      await reader.close();
      await handler.close();
    }
  },
  async "PUT of an archive"(replica, { storage }, from) {
    const handler = snapshotHandler(storage, { allowWrites: true, target: replica });
    const reader = await from.open();
    const init = { method: "PUT", body: archive(reader), duplex: "half" } as RequestInit;
    const response = await handler(new Request("http://here/snapshots/9", init));
    const { code, detail } = await response.json() as { code?: string; detail: string };
    await reader.close();
    await handler.close();
    if (response.status === 201) return;
    assert.deepEqual([response.status, code], [403, "FORBIDDEN"]);
    const refused = await replica.install(archive(await from.open())).result.catch((error) => error);
    assert.strictEqual(detail, refused.message);
    throw refused;
  },
  async "live push"(replica, { storage }, from) {
    const [{ meta } = { meta: undefined as never }] = await from.list();
    const { group } = meta as SnapshotMeta;
    const leader = await open(parts(), group === undefined ? {} : { group });
    const handler = snapshotHandler(storage, { allowWrites: true, target: replica });
    try {
      await fill(leader, 9);
      await leader.push({ url: "http://here", fetch: handler }).result;
    } finally {
      await handler.close();
      await leader.close();
    }
  },
};

for (const [way, install] of Object.entries(WAYS)) {
  test(`group: ${way}: what is of another group, or of none, is refused, and nothing is replaced`, async () => {
    for (const own of ["users", undefined] as const) {
      for (const theirs of ["orders", "users", undefined]) {
        const here = parts();
        const replica = await open(here, {
          configuration: { peers: ["ours"] },
          ...(own !== undefined && { group: own }),
        });
        await fill(replica, 3);
        await replica.snapshot().result;
        const from = await snapshotOf(theirs);
        if (own === theirs) {
          await install(replica, here, from);
          assert.strictEqual((await here.storage.list())[0]!.meta.lastIncludedIndex, 9n);
        } else {
          const error = await rejects(install(replica, here, from), "FORBIDDEN");
          for (const name of [own, theirs]) {
            assert.include(error.message, name === undefined ? "no group" : `group "${name}"`);
          }
          checkUntouched({ machine: replica.machine, status: () => replica.status() }, "1:x 2:x 3:x ");
          assert.deepEqual((await here.storage.list()).map(({ meta }) => meta.lastIncludedIndex), [3n]);
          assert.deepEqual(await here.storage.unfinished(), []);
          await fill(replica, 1); // and it goes on
          await replica.snapshot().result;
        }
        await replica.close();
        await from.close();
      }
    }
  });
}

test("group: of several sources, one of another group is passed over, and named", async () => {
  const [orders, users] = [await snapshotOf("orders"), await snapshotOf("users")];
  const replica = await open(parts(), { group: "users" });
  const [wrong, right] = [sourceOf(orders), sourceOf(users)];
  const errors: string[] = [];
  const onSourceError = ({ message }: Error) => errors.push(message);
  await replica.install([{ ...wrong, url: "http://wrong" }, right], { onSourceError }).result;
  assert.strictEqual(replica.machine.state, "state of users");
  assert.include(errors[0], 'Snapshot 9 of http://wrong is of group "orders", and here is group "users"');
  await Promise.all([wrong.close(), right.close(), replica.close(), orders.close(), users.close()]);
});

test("group: notified by a leader of another group, a replica takes no notice, nor of its term", async () => {
  const users = await snapshotOf("users");
  const source = sourceOf(users);
  const here = parts();
  let asked = 0;
  const replica = await open(here, {
    group: "users",
    onNotification: () => {
      asked++;
      return { sources: [source] };
    },
  });
  const handler = snapshotHandler(here.storage, { allowWrites: true, target: replica });
  const follower = { url: "http://here", fetch: handler };
  const said = { term: 2n ** 62n, firstAvailable: { index: 10n, term: 1n } };
  const refused = await notifyInstall(follower, { ...said, group: "orders" }).result;
  assert.strictEqual(refused.result, "CONF_MISMATCH");
  assert.include(refused.reason, '"users"');
  assert.include(refused.reason, '"orders"');
  assert.strictEqual(asked, 0);
  const taken = await notifyInstall(follower, { ...said, term: 1n, group: "users" }, { interval: 1 }).result;
  assert.deepEqual([taken.result, asked], ["SNAPSHOT_INSTALLED", 1]);
  assert.strictEqual(replica.machine.state, "state of users");
  await Promise.all([handler.close(), source.close(), replica.close(), users.close()]);
});

test("group: notified by its own leader, it installs nothing of another group that it is led to", async () => {
  const orders = await snapshotOf("orders");
  const source = sourceOf(orders);
  const replica = await open(parts(), { group: "users", onNotification: () => ({ sources: [source] }) });
  const notification = { term: 1n, firstAvailable: { index: 10n, term: 1n } };
  let reply = await replica.notify(notification);
  while (reply.result === "IN_PROGRESS") {
    await new Promise((resolve) => setTimeout(resolve, 1));
    reply = await replica.notify(notification);
  }
  assert.strictEqual(reply.result, "SNAPSHOT_UNAVAILABLE");
  assert.include(reply.reason, '"orders"');
  assert.deepEqual([replica.machine.state, replica.machine.calls], ["", []]);
  await Promise.all([source.close(), replica.close(), orders.close()]);
});

test("group: an encrypted one is refused as well, before it is looked at, and a live push says its group", async () => {
  const key = { id: "k", secret: noise(32, 1) };
  const encrypted = (group?: string) =>
    new EncryptedStorage(new MemoryStorage(group === undefined ? {} : { group }), [key]);
  const leader = await open(parts(), { group: "users" });
  await fill(leader, 9);
  for (const group of ["users", "orders"]) {
    const storage = encrypted(group);
    storage.close = () => Promise.resolve();
    const replica = await open({ log: new MemoryLog(), storage }, {});
    assert.strictEqual(replica.status().group, group);
    const handler = snapshotHandler(storage, { allowWrites: true, target: replica });
    const pushing = leader.push({ url: "http://here", fetch: handler }, {
      through: (writer) => encryptedWriter(writer, key),
    }).result;
    if (group === "users") assert.strictEqual((await pushing)?.group, "users");
    else await rejects(pushing, "FORBIDDEN");
    assert.strictEqual(replica.machine.state === leader.machine.state, group === "users");
    const stream = streamedArchive(
      { lastIncludedIndex: 20n, lastIncludedTerm: 1n, peers: [], group: "somebody's" },
      (writer) => writeText(encryptedWriter(writer, key), "x"),
    );
    await rejects(replica.install(stream).result, "FORBIDDEN");
    await handler.close();
    await replica.close();
  }
  await leader.close();
});

test("group: at its opening a replica loads what is of its group, or of none, and leaves the rest", async () => {
  const warnings: string[] = [];
  const storage = new MemoryStorage({ retain: 9, onWarning: ({ message }) => warnings.push(message) });
  storage.close = () => Promise.resolve();
  await commit(storage, { lastIncludedIndex: 3n }, "1:x 2:x 3:x ");
  await commit(storage, { lastIncludedIndex: 50n, group: "orders" }, "state of orders");
  const log = new MemoryLog();
  await log.append(entries(1, 5));
  const events: ExecutorEvent[] = [];
  const replica = await open({ log, storage }, { group: "users", onEvent: (event) => events.push(event) });
  assert.strictEqual(replica.machine.state, "1:x 2:x 3:x 4:x 5:x ");
  assert.deepEqual([replica.status().group, replica.status().snapshot?.meta.lastIncludedIndex], ["users", 3n]);
  assert.lengthOf(warnings, 1);
  assert.include(warnings[0], 'Snapshot 50 is of group "orders", and here is group "users"');
  const { snapshot } = await replica.snapshot().result;
  assert.strictEqual(snapshot?.meta.group, "users");
  assert.notInclude(events.map(({ type }) => type), "saveFailed");
  await replica.close();
  await rejects(() => storage.open(50n), "FORBIDDEN");
  assert.deepEqual((await storage.list()).map(({ meta }) => meta.lastIncludedIndex), [5n, 3n]);
});

test("group: a replica that was told none is of the group of its newest snapshot, and loads no other", async () => {
  const storage = new MemoryStorage({ retain: 9 });
  storage.close = () => Promise.resolve();
  await commit(storage, { lastIncludedIndex: 3n, group: "orders" }, "state of orders");
  const foreign = Object.assign(new MemoryStorage({ retain: 9 }), { close: () => Promise.resolve() });
  await commit(foreign, { lastIncludedIndex: 2n }, "older than its name");
  await commit(foreign, { lastIncludedIndex: 4n, group: "users" }, "state of users");
  for (
    const [from, group, state] of [[storage, "orders", "state of orders"], [
      foreign,
      "users",
      "state of users",
    ]] as const
  ) {
    const replica = await open({ log: new MemoryLog(), storage: from });
    assert.deepEqual([replica.status().group, replica.machine.state], [group, state]);
    await rejects(() => from.bindGroup("another"), "FORBIDDEN");
    await fill(replica, 1);
    assert.strictEqual((await replica.snapshot().result).snapshot?.meta.group, group);
    await replica.close();
  }
});

test("group: a replica with nothing takes what comes first, and is of its group from then on", async () => {
  const [users, orders] = [await snapshotOf("users"), new MemoryStorage()];
  await commit(orders, { lastIncludedIndex: 20n, group: "orders" }, "state of orders");
  const sources = [sourceOf(users), sourceOf(orders)] as const;
  const replica = await open(parts());
  assert.isUndefined(replica.status().group);
  await replica.install([sources[0]]).result;
  assert.strictEqual(replica.status().group, "users");
  await rejects(replica.install([sources[1]]).result, "FORBIDDEN");
  assert.strictEqual(replica.machine.state, "state of users");
  await fill(replica, 1);
  assert.strictEqual((await replica.snapshot().result).snapshot?.meta.group, "users");
  await Promise.all([...sources.map((source) => source.close()), replica.close(), users.close(), orders.close()]);
});

test("group: storage and log of another group are refused at the opening, and closed as they were", async () => {
  const log = new MemoryLog();
  log.close = () => Promise.resolve();
  await log.append(entries(1, 2));
  const ofOrders = new MemoryLog();
  ofOrders.bindGroup("orders");
  const mine = (group?: string) => {
    const storage = new MemoryStorage(group === undefined ? {} : { group });
    storage.close = () => Promise.resolve();
    return storage;
  };
  const opening = (group: string | undefined, storage: MemoryStorage, from: MemoryLog = log) =>
    open({ log: from, storage }, group === undefined ? {} : { group });
  const byStorage = await rejects(opening("users", mine("orders")), "FORBIDDEN");
  assert.deepEqual([byStorage.expected, byStorage.actual], ["orders", "users"]);
  await rejects(opening("users", mine(), ofOrders), "FORBIDDEN");
  await rejects(opening(undefined, mine("users"), ofOrders), "FORBIDDEN");
  await rejects(opening("", mine()), "MALFORMED");
  assert.strictEqual(log.lastIndex, 2n);
  const replica = await opening(undefined, mine(), ofOrders);
  assert.strictEqual(replica.status().group, "orders");
  await replica.close();
});

test("group: in a bucket that others use, their snapshots are no snapshots here, and stay theirs", async () => {
  const bucket = new MemoryBucket();
  const warnings: string[] = [];
  const onWarning = ({ message }: Error) => warnings.push(message);
  const theirs = await ObjectStorage.open(bucket, { group: "orders", grace: 0 });
  await commit(theirs, { lastIncludedIndex: 50n }, "state of orders");
  const storage = await ObjectStorage.open(bucket, { grace: 0, onWarning });
  const replica = await open({ log: new MemoryLog(), storage }, {
    group: "users",
  });
  assert.strictEqual(replica.machine.state, "");
  for (let i = 0; i < 4; i++) {
    await replica.propose(bytes("x"));
    await replica.snapshot().result;
  }
  assert.lengthOf(warnings, 1);
  assert.deepEqual((await storage.list()).map(({ meta }) => meta.lastIncludedIndex), [4n, 3n]);
  assert.deepEqual((await theirs.list()).map(({ meta }) => meta.lastIncludedIndex), [50n]);
  await commit(theirs, { lastIncludedIndex: 51n }, "state of orders, later");
  await storage.collect();
  for (const index of [50n, 51n]) await (await theirs.open(index)).close();
  await rejects(() => storage.open(51n), "FORBIDDEN");
  await replica.close();
  await theirs.close();
});

test("group: a handler says it, in its lists and manifests", async () => {
  const storage = await snapshotOf("users");
  const handler = snapshotHandler(storage, { allowWrites: true });
  const json = async (path: string) => {
    const headers = { Accept: "application/json" };
    return await (await handler(new Request(`http://a${path}`, { headers }))).json() as Record<string, unknown>;
  };
  assert.strictEqual((await json("/snapshots") as unknown as { group: string }[])[0]?.group, "users");
  for (const path of ["/snapshots/9", "/snapshots/9/manifest"]) assert.strictEqual((await json(path)).group, "users");
  await handler.close();
  await storage.close();
});
