// The parameters of what needs a disk, each with a value of every kind; nothing in the directory changes.

import { readdirSync, statSync } from "node:fs";
import { OpfsLog } from "../../src/opfs.ts";
import { SqliteLog } from "../../src/sqlite.ts";
import { DirectoryBucket } from "../../src/bucket/directory/bucket.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { Random } from "../support/random.ts";
import { memoryOpfs, UNTOUCHED, withOpfs } from "../support/memory_opfs.ts";
import { save } from "../support/samples.ts";
import { inTemp } from "../support/temp.ts";
import { give, isRight } from "./check.ts";
import type { Slot } from "./slot.ts";
import { bucketSlots, logSlots, serverSlots, sqliteSlots, storageSlots } from "./slots_disk.ts";
import { KINDS, valueOf } from "./values.ts";
import type { World } from "./world.ts";

/** What there is below a directory, with sizes; but for the journal of a database, which reading may begin. */
function treeOf(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: "utf8" }).filter((name) => !/-(wal|shm)$/.test(name))
    .map((name) => `${name} ${statSync(`${directory}/${name}`).size}`).sort();
}

/** Gives each parameter a value of every kind. */
async function checkAll(slots: readonly Slot[], directory: string): Promise<void> {
  const before = treeOf(directory);
  const wrong: string[] = [];
  for (const slot of slots) {
    for (let kind = 0; kind < KINDS; kind++) {
      const value = valueOf(kind, new Random(kind));
      if (isRight(slot, value)) continue;
      const outcome = await give(slot, {} as World, value);
      if (outcome.wrong !== undefined) wrong.push(outcome.wrong);
    }
    assert.deepEqual(treeOf(directory), before, `${slot.of}, ${slot.name}`);
  }
  if (wrong.length > 0) throw new Error(wrong.slice(0, 20).join("\n"));
}

test("boundary: a directory storage refuses what is not for it, and nothing on the disk changes", () =>
  inTemp(async (directory) => {
    const storage = await DirectoryStorage.open(`${directory}/storage`);
    await save(storage, 5n, { state: new Uint8Array(1000) });
    await checkAll(storageSlots(directory, storage), directory);
    await rejects(DirectoryStorage.open(`${directory}/new`, { durability: "ful" as "full" }), "MALFORMED");
    await storage.close();
  }));

test("boundary: a directory bucket refuses what is not for it, and nothing on the disk changes", () =>
  inTemp(async (directory) => {
    const bucket = await DirectoryBucket.open(`${directory}/bucket`);
    await bucket.put("a", new Uint8Array(10));
    await checkAll(bucketSlots(directory, bucket), directory);
  }));

test("boundary: what is kept in SQLite refuses what is not for it, and nothing of it is written", () =>
  inTemp(async (directory) => {
    const path = `${directory}/log.db`;
    const log = await SqliteLog.open(path);
    await log.append([{ index: 1n, term: 1n, data: new Uint8Array(1) }]);
    await checkAll(sqliteSlots(directory, log), directory);
    assert.deepEqual([log.firstIndex, log.lastIndex, log.byteLength], [1n, 1n, 1]);
    await log.close();
    const again = await SqliteLog.open(path);
    assert.strictEqual(again.lastIndex, 1n);
    await again.close();
  }));

test("boundary: a log in OPFS refuses what is not for it, and nothing of it is written", () =>
  inTemp((directory) =>
    withOpfs(memoryOpfs(new Map(), UNTOUCHED), async () => {
      const log = await OpfsLog.open("log");
      await log.append([{ index: 1n, term: 1n, data: new Uint8Array(1) }]);
      await checkAll(logSlots("OpfsLog", log), directory);
      assert.deepEqual([log.firstIndex, log.lastIndex, log.byteLength], [1n, 1n, 1]);
      await log.close();
      const again = await OpfsLog.open("log");
      assert.strictEqual(again.lastIndex, 1n);
      await again.close();
    })
  ));

test("boundary: a server refuses what is not for it, and listens to nobody", () =>
  inTemp((directory) => checkAll(serverSlots(), directory)));
