// A replica on a small file system that really fills up. full_disk_child DIRECTORY: a mounted file system of a few MiB.

import { rmSync, statfsSync, writeFileSync } from "node:fs";
import process from "node:process";
import { hasCode, KeyValueMachine, Replica, type SnapshotInfo, utf8Codec } from "../../mod.ts";
import { SqliteLog } from "../../src/sqlite.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { assert, noise } from "../support/harness.ts";

const [, , directory] = process.argv as [string, string, string];
const root = `${directory}/snapshots`;
const filler = `${directory}/filler`;
const counts = { saves: 0, full: 0, proposals: 0, refused: 0 };

/** Leaves so many bytes free, and no more. */
function leave(free: number): void {
  rmSync(filler, { force: true });
  const { bavail, bsize } = statfsSync(directory);
  writeFileSync(filler, noise(Math.max(bavail * bsize - free, 0), 1));
}

/** What something gives; nothing if the disk is full, and it says so. */
async function unlessFull<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (!hasCode(error, "NO_SPACE")) throw error;
    return undefined;
  }
}

async function open(): Promise<{ replica: Replica<KeyValueMachine<string>>; storage: DirectoryStorage }> {
  const storage = await DirectoryStorage.open(root);
  assert.deepEqual(storage.damaged, []);
  const log = await SqliteLog.open(`${directory}/log.db`);
  const triggers = { interval: 0, entries: 0 };
  const machine = new KeyValueMachine(utf8Codec());
  return { replica: await Replica.open({ machine, log, storage, triggers, purge: { gap: 1 } }), storage };
}

/** Fails unless all snapshots of a storage are whole. */
async function verify(storage: DirectoryStorage, newest: SnapshotInfo | undefined): Promise<void> {
  const list = await storage.list();
  assert.equal(list[0]?.meta.lastIncludedIndex, newest?.meta.lastIncludedIndex);
  for (const { meta } of list) {
    const reader = await storage.open(meta.lastIncludedIndex);
    assert.deepEqual((await reader.verify().result).bad, []);
    await reader.close();
  }
}

let { replica, storage } = await open();
const expected = new Map<string, string>();
let newest: SnapshotInfo | undefined;
const put = async (i: number) => {
  const [key, value] = [`k${i % 40}`, `${i} `.repeat(1000)];
  if (await unlessFull(replica.propose(replica.machine.put(key, value))) === undefined) counts.refused++;
  else {
    counts.proposals++;
    expected.set(key, value);
  }
};
for (let i = 0; i < 60; i++) await put(i);
newest = (await replica.snapshot().result).snapshot;
// At every boundary of a block from nothing to more than a snapshot needs.
for (let free = 0, i = 100; free < 500_000; free += free < 100_000 ? 4096 : 40_960, i += 3) {
  leave(free);
  for (let k = 0; k < 3; k++) await put(i + k);
  while (replica.status().state !== "idle") await new Promise((resolve) => setTimeout(resolve, 1)); // saves by itself
  const result = await unlessFull(replica.snapshot().result);
  if (result?.snapshot !== undefined) newest = result.snapshot;
  if (result === undefined) counts.full++;
  else counts.saves++;
  await verify(storage, newest);
  if (i % 4 === 0) { // as it is now, full: another process finds all that was acknowledged
    await replica.close();
    ({ replica, storage } = await open());
    assert.deepEqual(new Map(replica.machine.entries()), expected);
  }
}
leave(2_000_000);
await put(1000);
while (replica.status().state !== "idle") await new Promise((resolve) => setTimeout(resolve, 1));
newest = (await replica.snapshot().result).snapshot;
await verify(storage, newest);
await replica.close();
({ replica, storage } = await open());
assert.deepEqual(new Map(replica.machine.entries()), expected);
await replica.close();
assert.isAbove(counts.full, 5);
assert.isAbove(counts.saves, 1);
console.log(JSON.stringify(counts));
