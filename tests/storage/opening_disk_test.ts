// Opening a directory of many snapshots: it looks at the newest few, and at all before anything depends on them.

import { truncate } from "node:fs/promises";
import type { SnapshotError } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { directoryOf } from "../support/directory_storage.ts";
import { FaultyDisk } from "../support/faulty_disk.ts";
import { assert, bytesOf, noise, pieces, rejects, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";

async function commit(storage: DirectoryStorage, index: bigint, group?: string): Promise<void> {
  const writer = await storage.create();
  await pieces(noise(10, Number(index))).pipeTo(writer.file("state"));
  const meta = { lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [], ...(group !== undefined && { group }) };
  await writer.commit(meta);
}

/** A directory with snapshots 1 to `count`. */
async function make(root: string, count: number, group?: string): Promise<void> {
  const storage = await DirectoryStorage.open(root, { durability: "none", retain: 1000 });
  for (let i = 1; i <= count; i++) await commit(storage, BigInt(i), i === 1 ? group : undefined);
  await storage.close();
}

function indices(infos: readonly { readonly meta: { readonly lastIncludedIndex: bigint } }[]): number[] {
  return infos.map(({ meta }) => Number(meta.lastIncludedIndex));
}

/** The numbers from one down to another. */
function down(from: number, to: number): number[] {
  return Array.from({ length: from - to + 1 }, (_, i) => from - i);
}

test("opening: it and reading the newest snapshot cost the same, however many older ones there are", () =>
  inTemp(async (directory) => {
    const costs: number[] = [];
    for (const count of [2, 40]) {
      const root = `${directory}/${count}`;
      await make(root, count);
      let steps = 0;
      const disk = new FaultyDisk(() => {
        steps++;
        return false;
      });
      const storage = await DirectoryStorage.open(root, { disk, retain: 1000 });
      const reader = await storage.open();
      assert.deepEqual(await bytesOf(reader.file("state")), noise(10, count));
      costs.push(steps);
      await reader.close();
      assert.deepEqual(indices(await storage.list()), down(count, 1));
      await storage.close();
    }
    assert.equal(costs[0], costs[1]);
  }));

test("opening: an old snapshot is opened by its index, and another that is not there is not", () =>
  inTemp(async (root) => {
    await make(root, 20);
    const storage = await DirectoryStorage.open(root, { retain: 1000 });
    const reader = await storage.open(3n);
    assert.deepEqual(await bytesOf(reader.file("state")), noise(10, 3));
    await reader.close();
    await rejects(storage.open(21n), "NOT_FOUND");
    await storage.close();
  }));

test("opening: an old snapshot that is bad is quarantined when it is looked at, and told of", () =>
  inTemp(async (root) => {
    await make(root, 20);
    await truncate(`${directoryOf(root, 3n)}/state`, 9);
    const warnings: SnapshotError[] = [];
    const storage = await DirectoryStorage.open(root, { retain: 1000, onWarning: (error) => warnings.push(error) });
    assert.deepEqual([storage.damaged.length, warnings.length], [0, 0]);
    assert.deepEqual(indices(await storage.list()), [...down(20, 4), 2, 1]);
    assert.deepEqual(warnings.map(({ code, fields }) => [code, fields.index]), [["CORRUPT", 3n]]);
    assert.deepEqual((await storage.quarantined()).map(({ index }) => index), [3n]);
    await storage.close();
  }));

test("opening: an old snapshot that cannot be read stays, is told of once, and belongs to it when it can be", () =>
  inTemp(async (root) => {
    await make(root, 20);
    let isAway = true;
    const disk = new FaultyDisk((what) => isAway && what.startsWith("open") || isAway && /00003\/state$/.test(what));
    const warnings: SnapshotError[] = [];
    const storage = await DirectoryStorage.open(root, { disk, retain: 1000, onWarning: (it) => warnings.push(it) });
    assert.deepEqual(indices(await storage.list()), [...down(20, 4), 2, 1]);
    assert.deepEqual((await storage.unreadable()).map(({ index }) => index), [3n]);
    assert.deepEqual(warnings.map(({ code, fields }) => [code, fields.index]), [["UNAVAILABLE", 3n]]);
    isAway = false;
    assert.deepEqual(indices(await storage.list()), down(20, 1));
    assert.equal(warnings.length, 1);
    await storage.close();
  }));

test("opening: a commit retires old snapshots that nobody had looked at, and takes the group from one", () =>
  inTemp(async (root) => {
    await make(root, 20, "orders");
    const storage = await DirectoryStorage.open(root, { retain: 3 });
    await commit(storage, 21n);
    assert.deepEqual(indices(await storage.list()), [21, 20, 19]);
    assert.equal((await storage.list())[0]!.meta.group, "orders");
    await storage.close();
  }));

test("opening: if the newest ten are bad, the next is found", () =>
  inTemp(async (root) => {
    await make(root, 20);
    for (const index of down(20, 11)) await truncate(`${directoryOf(root, BigInt(index))}/state`, 9);
    const storage = await DirectoryStorage.open(root, { retain: 1000 });
    assert.equal(storage.damaged.length, 10);
    const reader = await storage.open();
    assert.equal(reader.meta.lastIncludedIndex, 10n);
    await reader.close();
    await storage.close();
  }));

test("opening: reading only, all are looked at, since their owner may remove them", () =>
  inTemp(async (root) => {
    await make(root, 20);
    const looked = new Set<string>();
    const disk = new FaultyDisk((what) => {
      const [found] = /snapshot_\d+/.exec(what) ?? [];
      if (found !== undefined) looked.add(found);
      return false;
    });
    const storage = await DirectoryStorage.open(root, { disk, readOnly: true });
    assert.equal(looked.size, 20);
    await storage.close();
  }));
