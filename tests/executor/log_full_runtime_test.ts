// A log that has no room: what a replica does about it by itself.

import {
  type ExecutorEvent,
  KeyValueMachine,
  type LogEntry,
  MemoryLog,
  MemoryStorage,
  Operation,
  Replica,
  SnapshotError,
  utf8Codec,
} from "../../mod.ts";
import { assert, rejects, test, turns } from "../support/harness.ts";

/** A log that has room for some entries; purging it fails as often as is said. */
class SmallLog extends MemoryLog {
  room = 3n;
  failures = 0;

  override append(entries: readonly LogEntry[]): Promise<void> {
    if (this.lastIndex - this.firstIndex + 1n < this.room) return super.append(entries);
    return Promise.reject(new SnapshotError("NO_SPACE", "The log is full"));
  }

  override purge(index: bigint): Promise<void> {
    if (this.failures-- > 0) return Promise.reject(new SnapshotError("NO_SPACE", "The disk is full"));
    return super.purge(index);
  }
}

async function onSmallLog(
  work: (
    replica: Replica<KeyValueMachine<string>>,
    log: SmallLog,
    until: (type: string) => Promise<void>,
    storage: MemoryStorage,
  ) => Promise<void>,
  { retain = 1, gap = 1 }: { readonly retain?: number; readonly gap?: number } = {},
): Promise<void> {
  const log = new SmallLog();
  const seen: string[] = [];
  let wake = () => {};
  const storage = new MemoryStorage({ retain });
  const replica = await Replica.open({
    machine: new KeyValueMachine(utf8Codec()),
    log,
    storage,
    triggers: { interval: 0, entries: 0 },
    retry: { initial: 1, max: 1 },
    purge: { gap },
    onEvent: ({ type }: ExecutorEvent) => {
      seen.push(type);
      wake();
    },
  });
  const until = async (type: string) => {
    while (!seen.includes(type)) await new Promise<void>((resolve) => wake = resolve);
    seen.length = 0;
  };
  try {
    await work(replica, log, until, storage);
  } finally {
    await replica.close();
  }
}

test("a log without room has a snapshot taken, and is purged behind it", () =>
  onSmallLog(async (replica, log, until) => {
    const put = (value: string) => replica.propose(replica.machine.put("key", value));
    for (const value of ["a", "b", "c"]) await put(value);
    await rejects(put("refused"), "NO_SPACE");
    await until("purged");
    assert.equal(log.firstIndex, 4n);
    await put("d");
    assert.equal(replica.machine.get("key"), "d");
  }));

test("a purge that failed on a full disk is tried again, though nothing new can be saved", () =>
  onSmallLog(async (replica, log, until) => {
    const put = (value: string) => replica.propose(replica.machine.put("key", value));
    for (const value of ["a", "b", "c"]) await put(value);
    log.failures = 2;
    await replica.snapshot().result;
    await until("purged");
    await put("d");
  }));

test("a log that is full of what a snapshot has is purged when a proposal was refused", () =>
  onSmallLog(async (replica, log, until) => {
    const put = (value: string) => replica.propose(replica.machine.put("key", value));
    for (const value of ["a", "b"]) await put(value);
    await replica.snapshot().result;
    await until("purged");
    log.room = 0n;
    await rejects(put("refused"), "NO_SPACE"); // nothing to be purged: no harm
    log.room = 1n;
    await put("c");
    await rejects(put("refused"), "NO_SPACE");
    await until("purged");
    await put("d");
  }));

test("a full log is purged behind the only snapshot, though two are to be kept, and though it has few entries", () =>
  onSmallLog(
    async (replica, log, until) => {
      const put = (value: string) => replica.propose(replica.machine.put("key", value));
      for (let round = 0; round < 3; round++) {
        for (const value of ["a", "b", "c"]) await put(value);
        const { firstIndex } = log;
        await rejects(put("refused"), "NO_SPACE");
        await until("purged");
        assert.isAbove(Number(log.firstIndex), Number(firstIndex));
        while (log.lastIndex >= log.firstIndex) await log.purge(log.lastIndex); // as if all of it had gone
      }
    },
    { retain: 2, gap: 1024 },
  ));

test("a log that is not full keeps what it has behind the only snapshot of two", () =>
  onSmallLog(async (replica, log) => {
    for (const value of ["a", "b", "c"]) await replica.propose(replica.machine.put("key", value));
    await replica.snapshot().result;
    await turns();
    assert.equal(log.firstIndex, 1n);
  }, { retain: 2 }));

test("a full log is purged though a follower lacks its entries, which can install a snapshot", () =>
  onSmallLog(async (replica, log, until) => {
    const put = (value: string) => replica.propose(replica.machine.put("key", value));
    replica.log!.acknowledge("behind", 1n);
    for (const value of ["a", "b"]) await put(value);
    await replica.snapshot().result;
    await until("purged");
    assert.equal(log.firstIndex, 2n, "it is kept for the follower while there is room");
    for (const value of ["c", "d"]) await put(value);
    await rejects(put("refused"), "NO_SPACE");
    await until("purged");
    assert.isAbove(Number(log.firstIndex), 2);
    await put("e");
  }));

test("a full log is not purged behind a snapshot that cannot be read whole", () =>
  onSmallLog(
    async (replica, log, until, storage) => {
      const put = (value: string) => replica.propose(replica.machine.put("key", value));
      const open = storage.open.bind(storage);
      storage.open = async (index) => {
        const reader = await open(index);
        const verify = () => new Operation(() => Promise.reject(new SnapshotError("UNAVAILABLE", "The disk fails")));
        return Object.assign(Object.create(reader), { verify, close: () => reader.close() });
      };
      for (const value of ["a", "b", "c"]) await put(value);
      await rejects(put("refused"), "NO_SPACE");
      await until("unusable");
      assert.equal(log.firstIndex, 1n);
      storage.open = open;
    },
    { retain: 2 },
  ));
