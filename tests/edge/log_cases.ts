// What a log in a Durable Object must do beyond the contract of all logs. Runs in the object.

import type { LogEntry } from "../../mod.ts";
import { DurableObjectLog, type DurableStorage } from "../../src/durable_object.ts";
import type { ConformanceCase } from "../../src/testing/check.ts";
import { assert, noise, rejects } from "../support/harness.ts";

function entries(from: number, count: number, size = 3): LogEntry[] {
  return Array.from({ length: count }, (_, i) => ({ index: BigInt(from + i), term: 1n, data: new Uint8Array(size) }));
}

async function read(log: DurableObjectLog, from: bigint): Promise<LogEntry[]> {
  const all: LogEntry[] = [];
  for await (const entry of log.entries(from)) all.push(entry);
  return all;
}

/** A storage of which something fails. */
function failing(storage: DurableStorage, fails: (sql: string) => string | undefined, sync?: string): DurableStorage {
  return {
    ...fake(storage),
    sql: {
      exec(sql, ...bindings) {
        const message = fails(sql);
        if (message !== undefined) throw new Error(message);
        return storage.sql.exec(sql, ...bindings);
      },
    },
    sync: () => sync === undefined ? storage.sync() : Promise.reject(new Error(sync)),
  };
}

function fake(storage: DurableStorage): DurableStorage {
  return {
    sql: storage.sql,
    transactionSync: (closure) => storage.transactionSync(closure),
    sync: () => storage.sync(),
    getAlarm: () => storage.getAlarm(),
    setAlarm: (time) => storage.setAlarm(time),
    deleteAlarm: () => storage.deleteAlarm(),
  };
}

/**
 * @param make makes an empty log
 * @param storage where that is
 */
export function logCases(
  make: () => Promise<{ readonly log: DurableObjectLog }>,
  storage: DurableStorage,
): ConformanceCase[] {
  const cases: ConformanceCase[] = [];
  const add = (name: string, body: (log: DurableObjectLog) => Promise<void>) =>
    cases.push({ name, run: async () => await body((await make()).log) });

  add("a batch of which one entry cannot be written leaves nothing, in the storage nor in the figures", async (log) => {
    await log.append(entries(1, 2));
    const tooHigh = { index: 4n, term: 2n ** 63n, data: new Uint8Array(1) };
    await rejects(log.append([...entries(3, 1), tooHigh]), "MALFORMED");
    const peers = Array.from({ length: 30 }, () => "x".repeat(100_000));
    const tooLong = { index: 4n, term: 1n, data: new Uint8Array(1), configuration: { peers } };
    await rejects(log.append([...entries(3, 1), tooLong]), "UNAVAILABLE");
    assert.deepEqual([log.lastIndex, log.byteLength], [2n, 6]);
    await log.append(entries(3, 1));
    const again = await DurableObjectLog.open(storage);
    assert.deepEqual([again.lastIndex, again.byteLength], [3n, 9]);
    assert.equal((await read(again, 1n)).length, 3);
  });

  add("entries of any size, of which parts lie in larger buffers", async (log) => {
    const large = noise(10_000_000, 1);
    const sizes = [0, 1, 16_383, 16_384, 16_385, 16_384 + 1_048_576, 16_384 + 1_048_577, 9_999_990];
    const all = sizes.map((size, i) => ({ index: BigInt(i + 1), term: 1n, data: large.subarray(i + 1, i + 1 + size) }));
    await log.append(all);
    const again = await DurableObjectLog.open(storage);
    assert.equal(again.byteLength, sizes.reduce((sum, size) => sum + size, 0));
    const got = await read(again, 1n);
    assert.deepEqual(got.map(({ data }) => data.length), sizes);
    for (const [i, { data }] of got.entries()) {
      assert.isTrue(data.every((byte, at) => byte === large[i + 1 + at]), `entry ${i + 1}`);
    }
    await again.purge(7n);
    const [{ left }] = storage.sql.exec("SELECT count(DISTINCT idx) AS left FROM snapstream_parts").toArray() as [
      { left: number },
    ];
    assert.equal(left, 1, "the parts of purged entries are gone too");
    assert.equal((await read(again, 8n))[0]!.data.length, 9_999_990);
  });

  add("a large purge goes in steps between which others get their turn", async (log) => {
    await log.append(entries(1, 35_000, 1));
    const purging = log.purge(34_000n);
    const first = log.firstIndex;
    await log.append(entries(35_001, 10, 1));
    await purging;
    assert.isBelow(Number(first), 34_001);
    assert.deepEqual([log.firstIndex, log.lastIndex, log.byteLength], [34_001n, 35_010n, 1010]);
  });

  add("a reset or another purge in the middle of a large purge", async (log) => {
    await log.append(entries(1, 35_000, 1));
    const purging = log.purge(34_000n);
    await log.reset(5n, 1n); // lower than what is being purged
    await log.append(entries(6, 3, 1));
    await purging;
    assert.deepEqual([log.firstIndex, log.lastIndex, log.byteLength], [6n, 8n, 3]);
    await log.append(entries(9, 35_000, 1));
    await Promise.all([log.purge(30_000n), log.purge(20_000n)]);
    assert.equal(log.firstIndex, 30_001n);
  });

  add("who reads while it is purged learns of it, or has read further already", async (log) => {
    await log.append(entries(1, 1000));
    const seen: bigint[] = [];
    await rejects(async () => {
      for await (const { index } of log.entries(1n)) {
        seen.push(index);
        if (index === 10n) await log.purge(900n);
      }
    }, "NOT_FOUND");
    assert.deepEqual(seen, seen.map((_, i) => BigInt(i + 1)), "without a gap");
  });

  add("after closing, everything is CLOSED", async (log) => {
    await log.append(entries(1, 1000));
    const reader = log.entries(1n)[Symbol.asyncIterator]();
    await reader.next();
    await log.close();
    await rejects(log.append(entries(1001, 1)), "CLOSED");
    await rejects(log.term(1n), "CLOSED");
    await rejects(log.purge(1n), "CLOSED");
    await rejects(log.reset(1n, 1n), "CLOSED");
    await rejects(async () => {
      while (!(await reader.next()).done);
    }, "CLOSED");
  });

  add("a log that lost entries, parts of one, or its base, is CORRUPT", async (log) => {
    await log.append([...entries(1, 500), ...entries(501, 1, 3_000_000), ...entries(502, 1)]);
    storage.sql.exec("DELETE FROM snapstream_entries WHERE idx = 400");
    const missing = await rejects(read(await DurableObjectLog.open(storage), 1n), "CORRUPT");
    assert.equal(missing.index, 400n);
    storage.sql.exec("DELETE FROM snapstream_parts WHERE part = 1");
    assert.equal((await rejects(read(await DurableObjectLog.open(storage), 450n), "CORRUPT")).index, 501n);
    storage.sql.exec("DELETE FROM snapstream_entries WHERE idx = 1");
    await rejects(DurableObjectLog.open(storage), "CORRUPT");
    storage.sql.exec("UPDATE snapstream_base SET term = 'x'");
    await rejects(DurableObjectLog.open(storage), "CORRUPT");
    storage.sql.exec("DROP TABLE snapstream_entries; CREATE TABLE snapstream_entries (a)");
    await rejects(DurableObjectLog.open(storage), "CORRUPT");
    storage.sql.exec("DROP TABLE snapstream_entries; DROP TABLE snapstream_base");
  });

  add("a group is bound for good, for every log of the object", async (log) => {
    const other = await DurableObjectLog.open(storage);
    await log.bindGroup("users");
    assert.match((await rejects(other.bindGroup("orders"), "FORBIDDEN")).message, /is of group "users"/);
    assert.equal(other.group, undefined, "it is not of the one that was refused");
    await other.bindGroup("users");
    await other.append(entries(1, 2));
    await other.reset(9n, 1n);
    assert.equal((await DurableObjectLog.open(storage)).group, "users");
    const broken = await DurableObjectLog.open(failing(storage, () => undefined, "the storage was reset"));
    await rejects(broken.bindGroup("users"), "UNAVAILABLE");
  });

  add("a storage that is full is NO_SPACE, and nothing is changed", async (log) => {
    await log.append(entries(1, 10));
    let left = 1;
    const full = (sql: string) =>
      sql.startsWith("INSERT INTO") && left-- <= 0 ? "database or disk is full: SQLITE_FULL" : undefined;
    const filled = await DurableObjectLog.open(failing(storage, full));
    await rejects(filled.append(entries(11, 50)), "NO_SPACE");
    assert.deepEqual([filled.lastIndex, filled.byteLength], [10n, 30]);
    left = 100;
    await filled.append(entries(11, 50));
    assert.equal((await read(await DurableObjectLog.open(storage), 1n)).length, 60);
  });

  add("what could not be made durable is not acknowledged, nor is anything after it", async (log) => {
    await log.append(entries(1, 10));
    const broken = await DurableObjectLog.open(failing(storage, () => undefined, "the storage was reset"));
    await rejects(broken.append(entries(11, 1)), "UNAVAILABLE");
    await rejects(broken.append(entries(12, 1)), "UNAVAILABLE");
    await rejects(read(broken, 1n), "UNAVAILABLE");
  });
  return cases;
}
