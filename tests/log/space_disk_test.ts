// How much room a log takes: in bytes and pages of its files.

import { copyFileSync, existsSync, rmSync, statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { setImmediate } from "node:timers";
import type { LogEntry } from "../../mod.ts";
import { SqliteLog } from "../../src/sqlite.ts";
import { assert, noise, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";

const MIB = 1024 * 1024;
/** Pages that hold nothing, tables, and what is rounded up. */
const SLACK = MIB / 2;

function entries(from: number, count: number, size: number): LogEntry[] {
  return Array.from({ length: count }, (_, i) => {
    const index = from + i;
    return { index: BigInt(index), term: 1n, data: noise(size, index) };
  });
}

function sizeOf(path: string): number {
  return existsSync(path) ? statSync(path).size : 0;
}

async function contentOf(log: SqliteLog): Promise<[bigint, string][]> {
  const found: [bigint, string][] = [];
  for await (const { index, data } of log.entries(log.firstIndex)) found.push([index, data.join()]);
  return found;
}

const wanted = (list: readonly LogEntry[]): [bigint, string][] => list.map(({ index, data }) => [index, data.join()]);

/** Does something with a new log. */
function onLog(work: (log: SqliteLog, path: string) => Promise<void>): Promise<void> {
  return inTemp(async (directory) => {
    const path = `${directory}/log.db`;
    const log = await SqliteLog.open(path);
    try {
      await work(log, path);
    } finally {
      await log.close();
    }
  });
}

/** Fills a log: as many bytes as are said, and more. */
async function fill(log: SqliteLog, bytes: number, size: number): Promise<void> {
  const count = Math.ceil(64 * 1024 / size);
  const until = log.byteLength + bytes;
  while (log.byteLength < until) await log.append(entries(Number(log.lastIndex) + 1, count, size));
}

/** A log as the first versions made it: its file cannot shrink. */
function oldLog(path: string, from: number, count: number, size: number, purged: number): void {
  const database = new DatabaseSync(path);
  database.exec(`
    PRAGMA journal_mode = WAL;
    CREATE TABLE entries (idx INTEGER PRIMARY KEY, term INTEGER NOT NULL, data BLOB NOT NULL, configuration TEXT);
    CREATE TABLE base (id INTEGER PRIMARY KEY CHECK (id = 0), idx INTEGER NOT NULL, term INTEGER NOT NULL);
    INSERT INTO base VALUES (0, ${purged}, 1);
    BEGIN`);
  const insert = database.prepare("INSERT INTO entries VALUES (?, 1, ?, NULL)");
  for (const { index, data } of entries(from, count, size)) insert.run(index, data);
  database.exec("COMMIT");
  database.prepare("DELETE FROM entries WHERE idx <= ?").run(purged);
  database.close();
}

for (const size of [100, 3000, 50_000]) {
  test(`SqliteLog: what is purged of entries of ${size} bytes is given back, and what is kept is as it was`, () =>
    onLog(async (log, path) => {
      await fill(log, 5 * MIB, size);
      assert.isAbove(sizeOf(path) + sizeOf(`${path}-wal`), 5 * MIB);
      const kept = Math.ceil(200_000 / size);
      await log.purge(log.lastIndex - BigInt(kept));
      assert.isBelow(sizeOf(path), 200_000 * 1.5 + SLACK);
      const last = Number(log.lastIndex);
      assert.deepEqual(await contentOf(log), wanted(entries(last - kept + 1, kept, size)));
      await log.purge(log.lastIndex);
      assert.isBelow(sizeOf(path), SLACK);
      await log.append(entries(last + 1, 1, size));
      await log.close();
      const again = await SqliteLog.open(path);
      assert.deepEqual(await contentOf(again), wanted(entries(last + 1, 1, size)));
      await again.close();
    }));
}

test("SqliteLog: a reset gives everything back", () =>
  onLog(async (log, path) => {
    await fill(log, 4 * MIB, 5000);
    await log.reset(9000n, 2n);
    assert.isBelow(sizeOf(path), SLACK);
    assert.isAtMost(sizeOf(`${path}-wal`), 2 * MIB);
    await log.append([{ index: 9001n, term: 2n, data: noise(10, 1) }]);
  }));

test("SqliteLog: appends that come while much is purged stay, and their room is not given back under them", () =>
  onLog(async (log, path) => {
    await fill(log, 4 * MIB, 2000);
    const before = Number(log.lastIndex);
    const purging = log.purge(log.lastIndex);
    let isPurged = false;
    void purging.finally(() => isPurged = true);
    let count = 0;
    while (!isPurged) {
      await log.append(entries(before + 1 + count++, 1, 2000));
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    await purging;
    assert.isAbove(count, 1);
    assert.deepEqual(await contentOf(log), wanted(entries(before + 1, count, 2000)));
    assert.isBelow(sizeOf(path), SLACK + count * 4096);
  }));

test("SqliteLog: the write-ahead log is cut again after a transaction of many megabytes", () =>
  onLog(async (log, path) => {
    await log.append(entries(1, 1, 12 * MIB));
    await log.append(entries(2, 1, 10));
    await log.append(entries(3, 1, 10));
    assert.isAtMost(sizeOf(`${path}-wal`), 2 * MIB);
    await log.purge(3n);
    assert.isBelow(sizeOf(path), SLACK);
    assert.isAtMost(sizeOf(`${path}-wal`), 2 * MIB);
  }));

test("SqliteLog: what is kept aside grows with the log up to four megabytes, and what was there is found again", () =>
  onLog(async (log, path) => {
    const reserve = `${path}-reserve`;
    await log.append(entries(1, 1, 10));
    assert.isAtMost(sizeOf(reserve), 256 * 1024);
    await fill(log, 6 * MIB, 50_000);
    const kept = sizeOf(reserve);
    assert.isAtLeast(kept, 2 * MIB);
    assert.isAtMost(kept, 4 * MIB);
    await log.close();
    const again = await SqliteLog.open(path);
    assert.isAtLeast(sizeOf(reserve), kept);
    await again.close();
    rmSync(reserve);
    const lost = await SqliteLog.open(path);
    await lost.append(entries(Number(lost.lastIndex) + 1, 1, 10));
    assert.equal(sizeOf(reserve), 0, "the room may be somebody else's");
    await lost.purge(lost.lastIndex);
    assert.isAtLeast(sizeOf(reserve), 2 * MIB, "it is made of what was purged");
    assert.isBelow(sizeOf(path), SLACK);
    await lost.close();
  }));

test("SqliteLog: the file of an earlier version shrinks when it is opened, and as it is purged", () =>
  inTemp(async (directory) => {
    const path = `${directory}/log.db`;
    oldLog(path, 1, 2000, 4000, 1996);
    assert.isAbove(sizeOf(path), 7 * MIB);
    const log = await SqliteLog.open(path);
    assert.isBelow(sizeOf(path), SLACK);
    assert.deepEqual(await contentOf(log), wanted(entries(1997, 4, 4000)));
    await fill(log, 2 * MIB, 4000);
    await log.purge(log.lastIndex);
    assert.isBelow(sizeOf(path), SLACK);
    await log.close();
    const full = `${directory}/full.db`;
    oldLog(full, 1, 2000, 4000, 0);
    const large = await SqliteLog.open(full);
    assert.isAbove(sizeOf(full), 7 * MIB); // all of it is in use: to write it anew would take long
    assert.equal(large.lastIndex, 2000n);
    await large.purge(1990n);
    assert.isBelow(sizeOf(full), SLACK);
    assert.deepEqual(await contentOf(large), wanted(entries(1991, 10, 4000)));
    await large.close();
  }));

test("SqliteLog: a crash at any point of giving back loses nothing, and the next opening gives back the rest", () =>
  onLog(async (log, path) => {
    await fill(log, 3 * MIB, 3000);
    const last = Number(log.lastIndex);
    let isPurged = false;
    const purging = log.purge(log.lastIndex - 20n).finally(() => isPurged = true);
    const copies: string[] = [];
    while (!isPurged) {
      const copy = `${path}.${copies.push(`${path}.${copies.length}`) - 1}`;
      for (const end of ["", "-wal"]) copyFileSync(`${path}${end}`, `${copy}${end}`);
      await new Promise<void>((resolve) => void setImmediate(resolve));
    }
    await purging;
    assert.isAbove(copies.length, 3);
    for (const copy of copies) {
      const crashed = await SqliteLog.open(copy);
      assert.isAtMost(Number(crashed.firstIndex), last - 19);
      assert.equal(Number(crashed.lastIndex), last);
      assert.isBelow(sizeOf(copy), crashed.byteLength * 1.5 + SLACK);
      await crashed.purge(crashed.lastIndex - 20n);
      assert.deepEqual(await contentOf(crashed), wanted(entries(last - 19, 20, 3000)));
      await crashed.close();
    }
  }));
