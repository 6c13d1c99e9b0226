// Logs whose database was damaged, by bytes, or has rows that no log wrote.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { type LogEntry, SnapshotError } from "../../../mod.ts";
import { SqliteLog } from "../../../src/log/sqlite.ts";
import type { Random } from "../../support/random.ts";
import { noise } from "../../support/harness.ts";
import { mutate, someBytes } from "../mutate.ts";
import { law, must, type Target } from "../target.ts";

const CONFIGURATIONS = [
  ...['{"peers":["a"]}', '{"peers":[],"oldPeers":["b"]}', "{", "null", "[]", "1", '{"peers":1}', '{"peers":[1]}', ""],
  ...['{"oldPeers":[]}', '{"__proto__":{"peers":[]}}', '{"peers":["a"],"oldPeers":"b"}'],
];
const STATEMENTS = [
  ...["DELETE FROM base", "DROP TABLE base", "DROP TABLE entries", "DELETE FROM entries WHERE idx = 7"],
  ...[
    "DELETE FROM entries WHERE idx < 6",
    "DELETE FROM entries",
    "UPDATE entries SET idx = -idx",
    "PRAGMA user_version = 9",
  ],
  ...[
    "UPDATE entries SET idx = idx + 9223372036854775000",
    "CREATE TABLE other (x)",
    "UPDATE entries SET term = 99 - idx",
  ],
  ...["ALTER TABLE entries RENAME COLUMN data TO d", "ALTER TABLE entries DROP COLUMN configuration", "VACUUM"],
  ...["DROP TABLE base; CREATE TABLE base (id, idx, term); INSERT INTO base VALUES (0, 'x', 1)"],
  ...[
    "DROP TABLE base; CREATE TABLE base (id, idx, term)",
    "DROP TABLE base; CREATE VIEW base AS SELECT 0, 4 idx, 1 term",
  ],
  ...["ALTER TABLE entries RENAME TO e; CREATE VIEW entries AS SELECT * FROM e"],
];

/** A value of any type that SQLite has. */
function someValue(random: Random): SQLInputValue {
  const any = [0, -1, 1.5, 4, 8n, 2n ** 63n - 1n, -(2n ** 63n), null, "", "x", "9", NaN, Infinity, noise(4, 1)];
  return random.pick<SQLInputValue>([...any, random.pick(CONFIGURATIONS), someBytes(random, 9)]);
}

/** Changes bytes that are not 0, in their places: else the pages are none any more. */
function overwrite(bytes: Uint8Array, random: Random): Uint8Array {
  const copy = bytes.slice();
  const used = Array.from(copy.keys()).filter((i) => copy[i] !== 0);
  for (let times = random.pick([1, 1, 2, 5]); times > 0; times--) {
    const at = random.pick(used);
    copy.set(mutate(copy.subarray(at, at + 2), random).subarray(0, 2), at);
  }
  return copy;
}

/** Changes what is in a database, as far as the database lets one. */
function changeRows(path: string, random: Random): void {
  const database = new DatabaseSync(path);
  const tryTo = (work: () => void) => {
    try {
      work();
    } catch {
      // the database's own rules do not let it happen
    }
  };
  for (let times = random.pick([1, 1, 2]); times > 0; times--) {
    const what = random.below(6);
    const column = random.pick(["idx", "term", "data", "configuration", "configuration"]);
    const value = column === "configuration" && random.chance(0.8) ? random.pick(CONFIGURATIONS) : someValue(random);
    if (what < 3) {
      tryTo(() => database.prepare(`UPDATE entries SET ${column} = ? WHERE idx = ?`).run(value, 5 + random.below(9)));
    } else if (what === 3) {
      tryTo(() => database.prepare(`UPDATE base SET ${random.pick(["idx", "term"])} = ?`).run(someValue(random)));
    } else if (what === 4) {
      const row = [random.pick([14, 15, 3, 4]), someValue(random), someValue(random), random.pick(CONFIGURATIONS)];
      tryTo(() =>
        database.prepare("INSERT INTO entries (idx, term, data, configuration) VALUES (?, ?, ?, ?)").run(...row)
      );
    } else tryTo(() => database.exec(random.pick(STATEMENTS)));
  }
  database.close();
}

/** What must hold of what a log gives. */
function checkEntry(entry: LogEntry, index: bigint, termBefore: bigint): void {
  law(entry.index === index, `entry ${entry.index} comes where ${index} should`);
  law(typeof entry.term === "bigint" && entry.term >= termBefore, `the term ${entry.term} is none`);
  law(entry.data instanceof Uint8Array, `entry ${index} has no bytes`);
  if (!("configuration" in entry)) return;
  const { peers, oldPeers = [] } = entry.configuration ?? {};
  const areTexts = (list: unknown) => Array.isArray(list) && list.every((peer) => typeof peer === "string");
  law(areTexts(peers) && areTexts(oldPeers), `the configuration of entry ${index} is none`);
}

/** Reads everything, then changes something, which must go on from what was read. */
async function useLog(path: string, random: Random): Promise<void> {
  const log = await SqliteLog.open(path);
  try {
    law(
      log.firstIndex >= 1n && log.lastIndex >= log.firstIndex - 1n,
      `it goes from ${log.firstIndex} to ${log.lastIndex}`,
    );
    law(Number.isSafeInteger(log.byteLength) && log.byteLength >= 0, "it has a size");
    let next = log.firstIndex;
    let bytes = 0;
    let term = await log.term(next - 1n) ?? 0n;
    law(typeof term === "bigint" && term >= 0n, "the term before the first is one");
    for await (const entry of log.entries(next)) {
      checkEntry(entry, next, term);
      law(await log.term(next) === entry.term, "an entry has one term");
      ({ term } = entry);
      bytes += entry.data.length;
      next++;
    }
    law(next === log.lastIndex + 1n, `the entries end before ${next}, and the log with ${log.lastIndex}`);
    law(bytes === log.byteLength, `it has ${bytes} bytes, and says ${log.byteLength}`);
    if (random.chance(0.5)) await log.purge(log.firstIndex + BigInt(random.below(6)));
    if (random.chance(0.1)) await log.reset(20n, term);
    const last = log.lastIndex + 1n;
    await log.append([{ index: last, term: await log.term(last - 1n) ?? term, data: Uint8Array.of(1) }]);
    law(log.lastIndex === last, "it goes on");
  } finally {
    await log.close();
  }
}

export const sqliteLog: Target = {
  name: "sqlite-log",
  share: 3,
  codes: ["CORRUPT", "MALFORMED"],
  async prepare() {
    const directory = mkdtempSync(`${tmpdir()}/snapstream-fuzz-`);
    const path = `${directory}/log.db`;
    const log = await SqliteLog.open(path);
    await log.append(Array.from({ length: 13 }, (_, i) => ({
      index: BigInt(i + 1),
      term: BigInt(1 + Math.floor(i / 4)),
      data: noise(i * 37, i),
      ...(i === 9 && { configuration: { peers: ["a", "b"], oldPeers: ["a"] } }),
    })));
    await log.purge(4n);
    const read = (path: string) => new Uint8Array(readFileSync(path)); // a Buffer's slice would be no copy
    const wal = read(`${path}-wal`); // as a crash leaves them
    const early = read(path);
    await log.close();
    const database = read(path);
    rmSync(directory, { recursive: true });
    return async (random) => {
      const directory = mkdtempSync(`${tmpdir()}/snapstream-fuzz-`);
      const path = `${directory}/log.db`;
      try {
        const what = random.below(10);
        if (what < 2) {
          writeFileSync(path, random.chance(0.5) ? early : mutate(early, random));
          writeFileSync(`${path}-wal`, mutate(wal, random));
        } else if (what < 5) {
          writeFileSync(path, random.chance(0.3) ? mutate(database, random) : overwrite(database, random));
        } else {
          writeFileSync(path, database);
          changeRows(path, random);
        }
        await useLog(path, random);
        await must("what was written is read again", () => useLog(path, random));
      } catch (error) {
        if (error instanceof SnapshotError) law(error.file === undefined || error.file === path, "it says which file");
        throw error;
      } finally {
        rmSync(directory, { recursive: true });
      }
    };
  },
};
