// The same where replicas share a log, or a storage too.

import { archive, MemoryStorage, Replica, type ReplicaOptions, SnapshotError, snapshotHandler } from "../../mod.ts";
import { assert, rejects, test, turns } from "../support/harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { bytes, fill } from "../support/parts.ts";
import { commit, Probe } from "../support/probe.ts";
import { MemorySharedLog } from "../support/shared_log.ts";

const still = { triggers: { interval: 0, entries: 0 } };

function storage(): MemoryStorage {
  const made = new MemoryStorage();
  made.close = () => Promise.resolve();
  return made;
}

function openShared(
  log: MemorySharedLog,
  storage: MemoryStorage,
  options: Partial<ReplicaOptions<Probe>> = {},
): Promise<Replica<Probe>> {
  return Replica.open({
    machine: new Probe(),
    clock: new FakeClock(),
    storage,
    ...still,
    ...options,
    log: log.member(),
  });
}

/** Cannot load some snapshots. */
function without(...indices: bigint[]): Probe {
  const machine = new Probe();
  machine.onLoad = ({ meta }) => {
    if (indices.includes(meta.lastIncludedIndex)) throw new SnapshotError("UNSUPPORTED", "a newer program's");
  };
  return machine;
}

test("shared: what one replica cannot load it does not count, though another saved it", async () => {
  const log = new MemorySharedLog();
  const bucket = storage();
  const one = await openShared(log, bucket);
  const machine = without(7n);
  machine.check = async (reader) => await machine.onLoad(reader);
  const other = await openShared(log, bucket, { machine });
  await fill(one, 5);
  assert.isTrue((await one.snapshot().result).taken);
  while (other.status().appliedIndex < 5n) await turns(1);
  const adopted = await other.snapshot().result;
  assert.deepEqual([adopted.taken, adopted.snapshot?.meta.lastIncludedIndex], [false, 5n], "this one does as well");
  await fill(one, 2);
  await one.snapshot().result;
  while (other.status().appliedIndex < 7n) await turns(1);
  await rejects(other.snapshot().result, "STALE");
  assert.equal(other.status().snapshot?.meta.lastIncludedIndex, 5n);
  assert.equal(other.status().unusable[0]?.snapshot.meta.lastIncludedIndex, 7n);
  assert.deepEqual(
    (await bucket.list()).map(({ meta }) => meta.lastIncludedIndex),
    [7n, 5n],
    "it is left to the others",
  );
  await fill(one, 1);
  while (other.status().appliedIndex < 8n) await turns(1);
  assert.isTrue((await other.snapshot().result).taken);
  await one.close();
  await other.close();
});

test("shared: recovery uses the snapshot before one that cannot be loaded, and the log", async () => {
  const log = new MemorySharedLog();
  const bucket = storage();
  const one = await openShared(log, bucket);
  await fill(one, 5);
  await one.snapshot().result;
  await fill(one, 5);
  await one.snapshot().result;
  await fill(one, 1);
  const { state } = one.machine;
  await one.close();
  const other = await openShared(log, bucket, { machine: without(10n) });
  assert.equal(other.machine.state, state);
  assert.deepEqual(other.status().unusable.map(({ snapshot }) => snapshot.meta.lastIncludedIndex), [10n]);
  await other.close();
});

test("shared: of the snapshots that the log leads on from, each is tried, and then the sources", async () => {
  const log = new MemorySharedLog();
  const bucket = storage();
  const one = await openShared(log, bucket);
  await fill(one, 10);
  await one.close();
  await commit(bucket, { lastIncludedIndex: 8n }, "at 8 ");
  await commit(bucket, { lastIncludedIndex: 9n }, "at 9 ");
  await log.purge(6n);
  const mended = await openShared(log, bucket, { machine: without(9n) });
  assert.equal(mended.machine.state, "at 8 9:x 10:x ");
  await mended.close();

  const error = await rejects(openShared(log, bucket, { machine: without(8n, 9n) }), "NOT_FOUND");
  assert.include(error.message, "a newer program's");

  const there = storage();
  await commit(there, { lastIncludedIndex: 10n }, "at 10 ");
  const handler = snapshotHandler(there);
  const fetched = await openShared(log, bucket, {
    machine: without(8n, 9n),
    onNotification: () => ({ sources: [{ url: "http://there", fetch: handler }] }),
  });
  await fetched.propose(bytes("y"));
  assert.equal(fetched.machine.state, "at 10 11:y ");
  await fetched.close();
  await handler.close();
});

test("shared: opening is given up when it is told to", async () => {
  const log = new MemorySharedLog();
  const bucket = storage();
  const one = await openShared(log, bucket);
  await fill(one, 10);
  await one.close();
  const stop = new AbortController();
  const machine = new Probe();
  machine.onApply = () => stop.abort();
  await rejects(openShared(log, bucket, { machine, signal: stop.signal }), "CANCELLED");
});

test("shared: a state that could not be restored is not built upon: nothing of the log is applied any more", async () => {
  const log = new MemorySharedLog();
  const bucket = storage();
  const replica = await openShared(log, bucket);
  const other = await openShared(log, storage());
  await fill(replica, 3);
  const there = storage();
  await commit(there, { lastIncludedIndex: 9n }, "installed 9 ");
  const install = bucket.install.bind(bucket);
  bucket.install = async (manifest) => {
    const installing = await install(manifest);
    const { commit } = installing;
    installing.commit = (options = {}) =>
      commit.call(installing, {
        ...options,
        check: async (reader) => {
          await options.check?.(reader);
          throw new SnapshotError("NO_SPACE", "no");
        },
      });
    return installing;
  };
  const reader = await there.open();
  await rejects(replica.install(archive(reader)).result, "NO_SPACE");
  const { state } = replica.machine;
  await other.propose(bytes("y"));
  await turns();
  assert.equal(replica.machine.state, state);
  assert.equal(replica.status().appliedIndex, 3n);
  await rejects(replica.propose(bytes("z")), "UNAVAILABLE");
  await reader.close();
  await replica.close();
  await other.close();
});
