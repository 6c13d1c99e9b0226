import { rm, truncate, writeFile } from "node:fs/promises";
import { DatabaseSync } from "node:sqlite";
import { type LogEntry, SnapshotError } from "../../mod.ts";
import { SqliteLog } from "../../src/log/sqlite.ts";
import { assert, noise, rejects, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { checkLog } from "../support/log_model.ts";

function entries(from: number, count: number, size = 3): LogEntry[] {
  return Array.from({ length: count }, (_, i) => ({ index: BigInt(from + i), term: 1n, data: new Uint8Array(size) }));
}

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

test("SqliteLog: a model of it", () =>
  inTemp(async (directory) => {
    let count = 0;
    await checkLog(async () => {
      const path = `${directory}/${count++}.db`;
      return {
        log: await SqliteLog.open(path),
        reopen: async (log) => {
          await log.close();
          return await SqliteLog.open(path);
        },
      };
    }, 30);
  }));

test("SqliteLog: a batch of which one entry cannot be written leaves nothing, on the disk nor in the figures", () =>
  onLog(async (log, path) => {
    await log.append(entries(1, 2));
    const configuration = {
      peers: [],
      toJSON() {
        throw new Error("it cannot be written");
      },
    };
    const unwritable = { index: 4n, term: 9n, data: new Uint8Array(1), configuration };
    await rejects(log.append([...entries(3, 1), unwritable]), "UNAVAILABLE");
    assert.deepEqual([log.lastIndex, log.byteLength], [2n, 6]);
    await log.append(entries(3, 1));
    await log.close();
    const again = await SqliteLog.open(path);
    assert.deepEqual([again.lastIndex, again.byteLength], [3n, 9]);
    await again.close();
  }));

test("SqliteLog: entries of any sizes come in order, and large ones are read one by one", () =>
  onLog(async (log) => {
    const sizes = [0, 3, 2_000_000, 5, 600_000, 600_000, 600_000, 0, 1_100_000, 7];
    await log.append(sizes.map((size, i) => ({ index: BigInt(i + 1), term: 1n, data: noise(size, i) })));
    let next = 0;
    for await (const { index, data } of log.entries(1n)) {
      assert.strictEqual(index, BigInt(next + 1));
      assert.deepEqual(data, noise(sizes[next]!, next), `entry ${index}`);
      next++;
    }
    assert.strictEqual(next, sizes.length);
    const reading = log.entries(3n)[Symbol.asyncIterator]();
    await reading.next();
    await log.purge(4n);
    await rejects(reading.next(), "NOT_FOUND"); // it was not read with the one before
  }));

test("SqliteLog: large entries are read one by one after it was opened again, too", () =>
  onLog(async (first, path) => {
    await first.append([0, 1, 2].map((i) => ({ index: BigInt(i + 1), term: 1n, data: noise(1_000_000, i) })));
    await first.close();
    const log = await SqliteLog.open(path);
    const reading = log.entries(1n)[Symbol.asyncIterator]();
    await reading.next();
    await log.purge(2n);
    await rejects(reading.next(), "NOT_FOUND");
    await log.close();
  }));

test("SqliteLog: a second one on the same file is BUSY, in the same process too, until the first is closed", () =>
  onLog(async (log, path) => {
    await rejects(SqliteLog.open(path), "BUSY");
    await log.append(entries(1, 1));
    await log.close();
    await (await SqliteLog.open(path)).close();
  }));

test("SqliteLog: after closing, everything is CLOSED", () =>
  onLog(async (log) => {
    await log.append(entries(1, 100));
    const reader = log.entries(1n)[Symbol.asyncIterator]();
    await reader.next();
    await Promise.all([log.close(), log.close()]);
    await rejects(log.append(entries(101, 1)), "CLOSED");
    await rejects(log.append([]), "CLOSED");
    await rejects(log.term(1n), "CLOSED");
    await rejects(log.purge(1n), "CLOSED");
    await rejects(log.reset(1n, 1n), "CLOSED");
    await rejects(log.entries(1n)[Symbol.asyncIterator]().next(), "CLOSED");
    await rejects(async () => {
      while (!(await reader.next()).done);
    }, "CLOSED");
  }));

test("SqliteLog: a large purge goes in steps between which others get their turn", () =>
  onLog(async (log) => {
    await log.append(entries(1, 35_000, 1));
    const purging = log.purge(34_000n);
    const first = log.firstIndex;
    await log.append(entries(35_001, 10, 1));
    await purging;
    assert.isBelow(Number(first), 34_001);
    assert.deepEqual([log.firstIndex, log.lastIndex, log.byteLength], [34_001n, 35_010n, 1010]);
  }));

test("SqliteLog: a long log is counted in steps when it is opened, and none is left out or taken for there", () =>
  onLog(async (log, path) => {
    await log.append(entries(1, 45_000));
    await log.purge(17n);
    await log.close();
    let turns = 0;
    const timer = setInterval(() => turns++, 0);
    const again = await SqliteLog.open(path);
    clearInterval(timer);
    assert.deepEqual([again.firstIndex, again.lastIndex, again.byteLength], [18n, 45_000n, 3 * (45_000 - 17)]);
    assert.isAbove(turns, 0);
    await again.close();
    const database = new DatabaseSync(path);
    database.exec("DELETE FROM entries WHERE idx = 30000");
    database.close();
    const error = await rejects(SqliteLog.open(path), "CORRUPT");
    assert.deepEqual([error.expected, error.actual], [44_983n, 44_982n]);
  }));

test("SqliteLog: a reset or another purge in the middle of a large purge", () =>
  onLog(async (log) => {
    await log.append(entries(1, 35_000, 1));
    const purging = log.purge(34_000n);
    await log.reset(5n, 1n); // lower than what is being purged
    await log.append(entries(6, 3, 1));
    await purging;
    // Nothing of the new entries may go with the old ones.
    assert.deepEqual([log.firstIndex, log.lastIndex, log.byteLength], [6n, 8n, 3]);
    await log.append(entries(9, 35_000, 1));
    await Promise.all([log.purge(30_000n), log.purge(20_000n)]);
    assert.equal(log.firstIndex, 30_001n);
  }));

test("SqliteLog: who reads while it is purged learns of it, or has read further already", () =>
  onLog(async (log) => {
    await log.append(entries(1, 1000));
    const seen: bigint[] = [];
    await rejects(async () => {
      for await (const { index } of log.entries(1n)) {
        seen.push(index);
        if (index === 10n) await log.purge(900n);
      }
    }, "NOT_FOUND");
    assert.deepEqual(seen, seen.map((_, i) => BigInt(i + 1)), "without a gap");
  }));

test("SqliteLog: a file that is no log is CORRUPT, one that cannot be made FORBIDDEN", () =>
  inTemp(async (directory) => {
    await writeFile(`${directory}/noise`, noise(10_000, 1));
    await rejects(SqliteLog.open(`${directory}/noise`), "CORRUPT");
    await rejects(SqliteLog.open(`${directory}/noise/log.db`), "FORBIDDEN");
    await rejects(SqliteLog.open(directory), "FORBIDDEN");
  }));

test("SqliteLog: a log that lost entries, or its end, is CORRUPT", () =>
  onLog(async (log, path) => {
    await log.append(entries(1, 5000, 100));
    await log.close();
    const database = new DatabaseSync(path);
    database.exec("DELETE FROM entries WHERE idx = 1000");
    database.close();
    const error = await rejects(SqliteLog.open(path), "CORRUPT");
    assert.deepEqual([error.expected, error.actual], [5000n, 4999n]);
    await truncate(path, 20_000);
    await rejects(SqliteLog.open(path), "CORRUPT");
  }));

test("SqliteLog: an entry of ten megabytes, and data that lies in a larger buffer", () =>
  onLog(async (log) => {
    const large = noise(10_000_000, 1);
    const part = large.subarray(5, 9);
    await log.append([{ index: 1n, term: 1n, data: large }, { index: 2n, term: 1n, data: part }]);
    const read: Uint8Array[] = [];
    for await (const { data } of log.entries(1n)) read.push(new Uint8Array(data));
    assert.equal(read[0]!.length, large.length);
    assert.deepEqual(read[0]!.slice(-1000), large.slice(-1000));
    assert.deepEqual(read[1], new Uint8Array(part));
  }));

test("SqliteLog: an entry of no bytes, also of an array that has none behind it", () =>
  onLog(async (log) => {
    const none = [new Uint8Array(0), new Uint8Array(new Uint32Array(0).buffer), new Uint8Array(3).subarray(1, 1)];
    await log.append(none.map((data, i) => ({ index: BigInt(i + 1), term: 1n, data })));
    const read = await Array.fromAsync(log.entries(1n));
    assert.deepEqual(read.map(({ data }) => data), Array(3).fill(new Uint8Array(0)));
  }));

/** Does something to the rows of a log with six entries, and opens it again. */
async function afterSql(path: string, sql: string): Promise<SqliteLog> {
  const log = await SqliteLog.open(path);
  await log.append([...entries(1, 5), { ...entries(6, 1)[0]!, configuration: { peers: ["a"] } }]);
  await log.close();
  const database = new DatabaseSync(path);
  database.exec(sql);
  database.close();
  return await SqliteLog.open(path);
}

// Found by `deno task fuzz --target sqlite-log`: each was a TypeError, a SyntaxError, UNAVAILABLE, or an entry of no log.
const DAMAGE: Readonly<Record<string, string>> = {
  "an index that is no integer": "UPDATE base SET idx = 1.5",
  "an index that is a text": "UPDATE base SET idx = 'x'",
  "an index below 0": "UPDATE base SET idx = -5; UPDATE entries SET idx = idx - 100; UPDATE entries SET idx = idx + 95",
  "a base of another kind": "DROP TABLE base; CREATE VIEW base AS SELECT 0, 0 idx, 0 term",
  "a gap, and as many before the first": "DELETE FROM entries WHERE idx < 4; UPDATE base SET idx = 3; " +
    "UPDATE entries SET idx = 1 WHERE idx = 4",
  "another column": "ALTER TABLE entries RENAME COLUMN data TO bytes",
};

for (const [what, sql] of Object.entries(DAMAGE)) {
  test(`SqliteLog: ${what} is damage, and found on opening`, () =>
    inTemp(async (directory) => void await rejects(afterSql(`${directory}/log.db`, sql), "CORRUPT")));
}

const DAMAGED_ROWS: Readonly<Record<string, string>> = {
  "a term that is a text": "UPDATE entries SET term = 'x' WHERE idx = 2",
  "a term below 0": "UPDATE entries SET term = -1 WHERE idx = 2",
  "a term that falls": "UPDATE entries SET term = 9 WHERE idx = 2",
  "data that is no bytes": "UPDATE entries SET data = 'text' WHERE idx = 2",
  "a configuration that is no JSON": "UPDATE entries SET configuration = '{' WHERE idx = 2",
  "a configuration without peers": "UPDATE entries SET configuration = '{}' WHERE idx = 2",
  "a configuration of bytes": "UPDATE entries SET configuration = x'00' WHERE idx = 2",
};

for (const [what, sql] of Object.entries(DAMAGED_ROWS)) {
  test(`SqliteLog: ${what} is damage, and found as it is read`, () =>
    inTemp(async (directory) => {
      const log = await afterSql(`${directory}/log.db`, sql);
      await rejects(() => Array.fromAsync(log.entries(1n)), "CORRUPT");
      await log.close();
    }));
}

for (const replaced of [false, true]) {
  test(`a log whose file was ${replaced ? "replaced" : "removed"} acknowledges nothing any more: another process may have it`, () =>
    inTemp(async (directory) => {
      const path = `${directory}/log.db`;
      const log = await SqliteLog.open(path);
      await log.append([{ index: 1n, term: 1n, data: new Uint8Array(1) }]);
      for (const end of ["", "-wal", "-shm"]) await rm(path + end, { force: true });
      const second = replaced ? await SqliteLog.open(path) : undefined;
      const entry = { index: 2n, term: 1n, data: new Uint8Array(1) };
      assert.match((await rejects(log.append([entry]), "BUSY")).message, /removed or replaced/);
      await rejects(log.purge(1n), "BUSY");
      await rejects(log.reset(9n, 1n), "BUSY");
      await second?.append([{ index: 1n, term: 1n, data: new Uint8Array(1) }]);
      await log.close();
      await second?.close();
    }));
}

test("SqliteLog: makes the directories above it; what is in the way of them is named", () =>
  inTemp(async (directory) => {
    const log = await SqliteLog.open(`${directory}/a/b/c/log.db`);
    await log.append(entries(1, 1));
    await log.close();
    const again = await SqliteLog.open(`${directory}/a/b/c/log.db`);
    assert.strictEqual(again.lastIndex, 1n);
    await again.close();
    await writeFile(`${directory}/file`, "");
    const error = await SqliteLog.open(`${directory}/file/log.db`).catch((error) => error);
    assert.instanceOf(error, SnapshotError);
    assert.include(error.message, `${directory}/file`);
  }));
