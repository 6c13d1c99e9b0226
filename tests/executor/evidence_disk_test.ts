// What a replica makes of a disk that fails for a moment, and what is left of a start that failed.

import { readdir, truncate } from "node:fs/promises";
import {
  archive,
  MemoryStorage,
  pull,
  Replica,
  type ReplicaOptions,
  SnapshotError,
  snapshotHandler,
} from "../../mod.ts";
import { SqliteLog } from "../../src/log/sqlite.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { SpoiledStorage } from "../support/faulty_medium.ts";
import { FaultyDisk } from "../support/faulty_disk.ts";
import { assert, bytesOf, pieces, rejects, test } from "../support/harness.ts";
import { fill } from "../support/parts.ts";
import { commit, Probe, readText } from "../support/probe.ts";
import { inTemp } from "../support/temp.ts";

/** As a program does it that does not clean up after a start that failed. */
async function open(
  directory: string,
  fails: (what: string) => boolean = () => false,
  options: Partial<ReplicaOptions<Probe>> = {},
): Promise<Replica<Probe>> {
  const disk = new FaultyDisk(fails);
  const storage = await DirectoryStorage.open(`${directory}/snapshots`, { disk, durability: "none" });
  const log = await SqliteLog.open(`${directory}/log.db`);
  const triggers = { interval: 0, entries: 0 };
  return await Replica.open({ machine: new Probe(), clock: new FakeClock(), log, storage, triggers, ...options });
}

/** Snapshots at 10, 20 and 30, of which two are kept, and a log up to 35. */
async function filled(directory: string): Promise<string> {
  const replica = await open(directory, undefined, { purge: { gap: 1 } });
  for (let i = 0; i < 3; i++) {
    await fill(replica, 10);
    await replica.snapshot().result;
  }
  await fill(replica, 5);
  const { state } = replica.machine;
  assert.equal(replica.status().firstIndex, 21n);
  await replica.close();
  return state;
}

const names = async (directory: string) =>
  (await readdir(`${directory}/snapshots`)).filter((name) => !name.startsWith(".")).sort();
const NEWEST = /snapshot_0+30\/state$/;
const OLDER = /snapshot_0+20\/state$/;

test("EIO on the newest's file: snapshot 20 and the log give everything; it stays, and the next start uses it", () =>
  inTemp(async (directory) => {
    const state = await filled(directory);
    const before = await names(directory);
    const replica = await open(directory, (what) => what.startsWith("read") && NEWEST.test(what));
    assert.equal(replica.machine.state, state);
    const [unusable] = replica.status().unusable;
    assert.deepEqual([unusable?.snapshot.meta.lastIncludedIndex, (unusable?.error as SnapshotError).code], [
      30n,
      "UNAVAILABLE",
    ]);
    await replica.close();
    assert.deepEqual(await names(directory), before);
    const again = await open(directory);
    assert.equal(again.status().snapshot?.meta.lastIncludedIndex, 30n);
    assert.deepEqual(again.status().unusable, []);
    await again.close();
  }));

test("EIO on an older one's file, which nobody needs: nothing is said; but the log is not purged behind it", () =>
  inTemp(async (directory) => {
    const state = await filled(directory);
    const replica = await open(directory, (what) => what.startsWith("read") && OLDER.test(what), { purge: { gap: 1 } });
    assert.equal(replica.machine.state, state);
    assert.deepEqual(replica.status().unusable, []);
    await replica.purge();
    assert.equal(replica.status().firstIndex, 21n);
    await replica.close();
  }));

test("EIO on both, and the log begins after the older: the newest's own error, and nothing is moved", () =>
  inTemp(async (directory) => {
    const state = await filled(directory);
    const before = await names(directory);
    const error = await rejects(
      open(directory, (what) => what.startsWith("read") && (NEWEST.test(what) || OLDER.test(what))),
      "UNAVAILABLE",
    );
    assert.match(error.message, /snapshot_0+30/);
    assert.deepEqual(await names(directory), before);
    const again = await open(directory); // in the same process: nothing is locked
    assert.equal(again.machine.state, state);
    await again.close();
  }));

test("a leader whose newest cannot be read serves and pushes the one before it, and the newest again when it can", () =>
  inTemp(async (directory) => {
    await filled(directory);
    let fails = true;
    const disk = new FaultyDisk((what) => fails && what.startsWith("read") && NEWEST.test(what));
    const storage = await DirectoryStorage.open(`${directory}/snapshots`, { disk, durability: "none" });
    const handler = snapshotHandler(storage, { allowWrites: true });
    const source = { url: "http://leader", fetch: handler };
    await rejects(pull(new MemoryStorage(), [source], { retryFor: 0 }).result, "UNAVAILABLE");
    const { snapshot } = await pull(new MemoryStorage(), [source]).result;
    assert.equal(snapshot.meta.lastIncludedIndex, 20n);
    const reader = await storage.open();
    assert.equal(reader.meta.lastIncludedIndex, 20n);
    await reader.close();
    assert.equal((await storage.list())[0]?.meta.lastIncludedIndex, 30n, "it is there still");
    fails = false;
    const monotonic = performance.now.bind(performance);
    performance.now = () => monotonic() + 61_000;
    try {
      const again = await storage.open();
      assert.equal(again.meta.lastIncludedIndex, 30n);
      await again.close();
    } finally {
      performance.now = monotonic;
    }
    await handler.close();
    await storage.close();
  }));

test("a warning that its listener throws at keeps nothing from being opened", () =>
  inTemp(async (directory) => {
    const state = await filled(directory);
    await truncate(`${directory}/snapshots/snapshot_00000000000000000030/__raft_snapshot_meta`, 10);
    const onWarning = () => {
      throw new Error("the listener's own affair");
    };
    const storage = await DirectoryStorage.open(`${directory}/snapshots`, { durability: "none", onWarning });
    const log = await SqliteLog.open(`${directory}/log.db`);
    const replica = await Replica.open({ machine: new Probe(), clock: new FakeClock(), log, storage });
    assert.equal(replica.machine.state, state);
    await storage.quarantine(20n, "and another one");
    await replica.close();
  }));

test("a start that failed, wherever: storage and log can be opened again in this process", () =>
  inTemp(async (directory) => {
    const state = await filled(directory);
    const machine = new Probe();
    machine.onApply = () => {
      throw new Error("not this one");
    };
    await rejects(open(directory, undefined, { machine }), "UNAVAILABLE");
    machine.onApply = () => {};
    const loading = new Probe();
    loading.onLoad = () => {
      throw new SnapshotError("UNSUPPORTED", "a newer program's");
    };
    await rejects(open(directory, undefined, { machine: loading }), "UNSUPPORTED");
    const again = await open(directory);
    assert.equal(again.machine.state, state);
    await again.close();
  }));

test("snapshots that the machine cannot load are PUT: the good ones, the log and the next start are as before", () =>
  inTemp(async (directory) => {
    const state = await filled(directory);
    const picky = () => {
      const machine = new Probe();
      machine.onLoad = async (reader) => {
        if ((await readText(reader)).startsWith("bad")) throw new SnapshotError("MALFORMED", "This is no state");
      };
      return machine;
    };
    const storage = await DirectoryStorage.open(`${directory}/snapshots`, { durability: "none" });
    const log = await SqliteLog.open(`${directory}/log.db`);
    const replica = await Replica.open({ machine: picky(), clock: new FakeClock(), log, storage });
    const before = await names(directory);
    const handler = snapshotHandler(storage, { allowWrites: true, target: replica });
    for (const index of [40n, 50n]) {
      const there = new MemoryStorage();
      await commit(there, { lastIncludedIndex: index }, "bad");
      const body = pieces(await bytesOf(archive(await there.open()))) as unknown as BodyInit;
      const request = new Request(
        `http://a/snapshots/${index}`,
        { method: "PUT", body, duplex: "half" } as RequestInit,
      );
      const response = await handler(request);
      assert.deepEqual([response.status, (await response.json()).code], [422, "MALFORMED"]);
    }
    assert.deepEqual(await names(directory), before);
    assert.equal(replica.status().firstIndex, 21n);
    await handler.close();
    await replica.close();
    const again = await open(directory, undefined, { machine: picky() });
    assert.equal(again.machine.state, state);
    await again.close();
  }));

for (const [what, spoils] of [["its bytes are wrong", true], ["the machine finds it corrupt", false]] as const) {
  test(`ten installs of a copy that is bad at the source, since ${what}: none is kept as a corrupt one`, () =>
    inTemp(async (directory) => {
      const state = await filled(directory);
      const before = await names(directory);
      const replica = await open(directory);
      if (!spoils) replica.machine.check = () => Promise.reject(new SnapshotError("CORRUPT", "It cannot be read"));
      for (let i = 0; i < 10; i++) {
        const there = new SpoiledStorage();
        await commit(there, { lastIncludedIndex: BigInt(40 + i), peers: ["p"] }, `bad ${i} `);
        if (spoils) there.spoil(BigInt(40 + i));
        const handler = snapshotHandler(there, { allowWrites: true });
        const source = { url: "http://there", fetch: handler };
        await rejects(replica.install([source], { retryFor: 0 }).result, "CORRUPT");
        await handler.close();
        await there.close();
      }
      assert.equal(replica.machine.state, state);
      const left = await names(directory);
      assert.deepEqual(left.filter((name) => !name.startsWith("install-")), before);
      assert.isAtMost(left.length - before.length, 4, "what was received of each, to be resumed");
      await replica.close();
    }));
}
