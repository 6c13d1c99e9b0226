// A power failure while a log is written: of what a transaction adds to the write-ahead log any part may be missing. What
// is found is what was there before it, or all of it.

import type { LogEntry } from "../../mod.ts";
import { SqliteLog } from "../../src/sqlite.ts";
import { Random } from "../support/random.ts";
import { assert, noise } from "../support/harness.ts";
import { inTemp, memoryDirectory } from "../support/temp.ts";
import { filesOf, type LogFiles, putFiles } from "./log_files.ts";

/** Bytes at the beginning of a write-ahead log, which has another salt each time. */
const WAL_HEADER = 32;
const SECTOR = 512;

/** What a log has. */
async function contentOf(path: string): Promise<string> {
  const log = await SqliteLog.open(path);
  const found = [`${log.firstIndex} ${log.lastIndex} ${log.byteLength}`];
  for await (const { index, term, data } of log.entries(log.firstIndex)) found.push(`${index} ${term} ${data.length}`);
  await log.close();
  return found.join();
}

/** Cuts each transaction of a log, at a share of the places. */
export async function cutLog(seed: number, share: number, counts: { cuts: number }): Promise<void> {
  const random = new Random(seed);
  await inTemp(async (directory) => {
    const path = `${directory}/log.db`;
    const log = await SqliteLog.open(path);
    const entries = (from: bigint, count: number): LogEntry[] =>
      Array.from(
        { length: count },
        (_, i) => ({ index: from + BigInt(i), term: 1n, data: noise(random.below(3000), i) }),
      );
    await log.append(entries(1n, 3));
    let before = filesOf(path);
    for (
      const change of [
        () => log.append(entries(4n, 1)),
        () => log.append(entries(5n, 5)),
        () => log.purge(6n),
        () => log.append(entries(10n, 2)),
        () => log.reset(50n, 2n),
      ]
    ) {
      await change();
      const after = filesOf(path);
      await cut(`${directory}/cut.db`, before, after, random, share, counts);
      before = after;
    }
    await log.close();
  }, await memoryDirectory());
}

async function cut(
  path: string,
  before: LogFiles,
  after: LogFiles,
  random: Random,
  share: number,
  counts: { cuts: number },
): Promise<void> {
  const read = async (files: LogFiles) => {
    putFiles(path, files);
    return await contentOf(path);
  };
  const [old, whole] = [await read(before), await read(after)];
  assert.notEqual(old, whole);
  const { database } = before;
  const start = firstDifference(before.wal, after.wal);
  // If it is written from its beginning again, all that was in it is in the database by then, synced.
  const isAnew = start < WAL_HEADER;
  if (isAnew) assert.equal(await read({ database, wal: new Uint8Array(0) }), old);
  const there = Math.max(before.wal.length, after.wal.length);
  for (let end = start; end <= after.wal.length; end += SECTOR >> 1) {
    if (!random.chance(share)) continue;
    const torn = new Uint8Array(there);
    torn.set(before.wal);
    torn.set(after.wal.subarray(0, end));
    const lost = after.wal.slice();
    for (let at = start - start % SECTOR; at < lost.length; at += SECTOR) {
      if (random.chance(0.3)) lost.fill(0, Math.max(at, start), Math.min(at + SECTOR, lost.length));
    }
    for (const wal of [torn, lost]) {
      counts.cuts++;
      assert.include([old, whole], await read({ database, wal }));
    }
  }
  assert.equal(await read(after), whole);
}

/** The place of the first byte that two arrays do not have alike; the end of the shorter one if there is none. */
function firstDifference(a: Uint8Array, b: Uint8Array): number {
  const end = Math.min(a.length, b.length);
  for (let at = 0; at < end; at++) if (a[at] !== b[at]) return at;
  return end;
}
