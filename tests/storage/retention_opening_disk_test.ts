// What stays after a commit into a directory of many snapshots, of which the opening looked at the newest few only.

import { truncate } from "node:fs/promises";
import type { SnapshotInfo } from "../../mod.ts";
import { DirectoryStorage, type DirectoryStorageOptions } from "../../src/fs.ts";
import { assert, bytesOf, noise, pieces, test } from "../support/harness.ts";
import { directoryOf } from "../support/directory_storage.ts";
import { FaultyDisk } from "../support/faulty_disk.ts";
import { inTemp } from "../support/temp.ts";

const COUNT = 20;

/** Commits a snapshot whose time is its index. */
async function commit(storage: DirectoryStorage, index: number): Promise<void> {
  const writer = await storage.create();
  await pieces(noise(10, index)).pipeTo(writer.file("state"));
  await writer.commit({ lastIncludedIndex: BigInt(index), lastIncludedTerm: 1n, peers: [], createdAt: index });
}

/** The numbers from one down to another. */
function down(from: number, to: number): number[] {
  return Array.from({ length: from - to + 1 }, (_, i) => from - i);
}

function indices(infos: readonly SnapshotInfo[]): number[] {
  return infos.map(({ meta }) => Number(meta.lastIncludedIndex));
}

/** Opens a directory of 20 snapshots, commits the next, and returns what is there then, also to the next opening. */
function kept(
  options: DirectoryStorageOptions,
  before: (root: string) => Promise<unknown> = () => Promise.resolve(),
  work: (storage: DirectoryStorage) => Promise<void> = (storage) => commit(storage, COUNT + 1),
): Promise<number[]> {
  return inTemp(async (root) => {
    const made = await DirectoryStorage.open(root, { durability: "none", retain: 1000 });
    for (let i = 1; i <= COUNT; i++) await commit(made, i);
    await made.close();
    await before(root);
    const storage = await DirectoryStorage.open(root, options);
    await work(storage);
    const here = indices(await storage.list());
    await storage.close();
    const { disk: _, ...again } = options;
    const reopened = await DirectoryStorage.open(root, again);
    const after = indices(await reopened.list());
    await reopened.close();
    assert.includeMembers(after, here);
    return after;
  });
}

test("retention of many: a function chooses among all of them", async () => {
  const lists: number[][] = [];
  const retain = (list: readonly SnapshotInfo[]) => {
    lists.push(indices(list));
    return list.filter(({ meta }) => meta.lastIncludedIndex % 5n === 0n);
  };
  assert.deepEqual(await kept({ retain }), [21, 20, 15, 10, 5]);
  assert.deepEqual(lists[0], down(21, 1));
});

test("retention of many: by age", async () => {
  assert.deepEqual(await kept({ retain: { count: 2, age: 14 } }), down(21, 7));
  assert.deepEqual(await kept({ retain: { count: 12, age: 3 } }), down(21, 10));
});

test("retention of many: an old one that is being read stays until then", async () => {
  const left = await kept({ retain: 3 }, undefined, async (storage) => {
    const reader = await storage.open(4n);
    await commit(storage, 21);
    assert.deepEqual(indices(await storage.list()), [21, 20, 19, 4]);
    assert.deepEqual(await bytesOf(reader.file("state")), noise(10, 4));
    await reader.close();
  });
  assert.deepEqual(left, [21, 20, 19]);
});

test("retention of many: one that is bad and was not looked at does not count, by whatever is chosen", async () => {
  const damage = (root: string) => truncate(`${directoryOf(root, 11n)}/state`, 9);
  const expected = [...down(21, 12), 10, 9];
  assert.deepEqual(await kept({ retain: 12 }, damage), expected);
  assert.deepEqual(await kept({ retain: { count: 12, age: 0 } }, damage), expected);
  assert.deepEqual(await kept({ retain: (list) => list.slice(0, 12) }, damage), expected);
});

test("retention of many: one that cannot be read now stays, and does not count", async () => {
  for (const retain of [12, { count: 12 }, (list: readonly SnapshotInfo[]) => list.slice(0, 12)]) {
    const disk = new FaultyDisk((what) => /00011\/(state|__raft_snapshot_meta)$/.test(what));
    assert.deepEqual(await kept({ retain, disk }), down(21, 9));
  }
});

test("retention of many: all that are older are bad, and as many as there are stay", async () => {
  const damage = async (root: string) => {
    for (const index of down(12, 1)) await truncate(`${directoryOf(root, BigInt(index))}/state`, 9);
  };
  assert.deepEqual(await kept({ retain: 12 }, damage), down(21, 13));
});
