// Commands that are proposed one at a time, and by several at once, against the same rows in `node:sqlite`; how many of
// them share a write; and a replay of them, against selecting them and applying them.

import { DatabaseSync } from "node:sqlite";
import { jsonCodec, KeyValueMachine, type LogEntry, MemoryStorage, Replica } from "../../mod.ts";
import { SqliteLog } from "../../src/log/sqlite.ts";
import { inTemp } from "../support/temp.ts";
import { report, Rounds } from "./report.ts";

const COMMANDS = 2048;
const REPLAYED = 50_000;
const machine = () => new KeyValueMachine(jsonCodec<{ readonly value: number }>());

/** The rows that a log would have, so many in a transaction; each is durable when it returns. */
function plain(path: string, together: number): void {
  const database = new DatabaseSync(path);
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA locking_mode = EXCLUSIVE");
  database.exec("CREATE TABLE entries (idx INTEGER PRIMARY KEY, term INTEGER, data BLOB, configuration TEXT)");
  const insert = database.prepare("INSERT INTO entries VALUES (?, ?, ?, ?)");
  for (let i = 0; i < COMMANDS;) {
    database.exec("BEGIN IMMEDIATE");
    for (let n = 0; n < together; n++, i++) {
      insert.run(i + 1, 1, new TextEncoder().encode(JSON.stringify({ put: [`key${i}`, { value: i }] })), null);
    }
    database.exec("COMMIT");
  }
  database.close();
}

/** The log, which counts how often it is written to. */
class CountedLog {
  writes = 0;
  static of(log: SqliteLog): SqliteLog & CountedLog {
    const append = log.append.bind(log);
    return Object.assign(log, {
      writes: 0,
      append(this: CountedLog, entries: readonly LogEntry[]) {
        this.writes++;
        return append(entries);
      },
    });
  }
}

/** Opens a replica, which applies the whole log. */
async function replay(path: string): Promise<void> {
  const log = await SqliteLog.open(path);
  await (await Replica.open({ machine: machine(), log, storage: new MemoryStorage() })).close();
}

/** Applies the same entries without a replica. */
function selectAndApply(path: string): void {
  const database = new DatabaseSync(path);
  const select = database.prepare("SELECT idx, term, data FROM entries WHERE idx >= ? ORDER BY idx LIMIT 256");
  const target = machine();
  for (let next = 1; next <= REPLAYED;) {
    for (const { idx, term, data } of select.all(next) as { idx: number; term: number; data: Uint8Array }[]) {
      target.apply({ index: BigInt(idx), term: BigInt(term), data });
      next = idx + 1;
    }
  }
  database.close();
}

/** Fills a log. */
async function fill(path: string): Promise<void> {
  const log = await SqliteLog.open(path);
  const made = machine();
  for (let at = 0; at < REPLAYED; at += 1000) {
    await log.append(Array.from({ length: 1000 }, (_, i) => {
      const data = made.put(`key${(at + i) % 5000}`, { value: at + i });
      return { index: BigInt(at + i + 1), term: 1n, data, time: 1_700_000_000_000 };
    }));
  }
  await log.close();
}

let writes = 0;

async function propose(path: string, callers: number): Promise<void> {
  const log = CountedLog.of(await SqliteLog.open(path));
  const replica = await Replica.open({ machine: machine(), log, storage: new MemoryStorage() });
  let next = 0;
  await Promise.all(Array.from({ length: callers }, async () => {
    while (next < COMMANDS) {
      const i = next++;
      await replica.propose(replica.machine.put(`key${i}`, { value: i }));
    }
  }));
  writes = log.writes;
  await replica.close();
}

await inTemp(async (directory) => {
  const rounds = new Rounds();
  let file = 0;
  const path = () => `${directory}/log${file++}`;
  const filled = path();
  await fill(filled);
  await rounds.run(5, {
    "node:sqlite, 1": () => Promise.resolve(plain(path(), 1)),
    "1 in flight": () => propose(path(), 1),
    "node:sqlite, 32": () => Promise.resolve(plain(path(), 32)),
    "32 in flight": () => propose(path(), 32),
    "select and apply": () => Promise.resolve(selectAndApply(filled)),
    "replay": () => replay(filled),
  });
  for (const [count, atLeast] of [[1, 0.85], [32, 0.8]] as const) {
    const name = `${count} in flight`;
    report("propose", name, COMMANDS / rounds.median(name), "commands/s");
    report("propose", `${name}: cpu a command`, rounds.cpu(name) / COMMANDS * 1e6, "us");
    report("propose", `node:sqlite, ${count}: cpu a row`, rounds.cpu(`node:sqlite, ${count}`) / COMMANDS * 1e6, "us");
    report("propose", `${name} / node:sqlite`, rounds.ratio(`node:sqlite, ${count}`, name), "ratio", { atLeast });
    await propose(path(), count);
    report("propose", `${name}: commands a write`, COMMANDS / writes, "commands");
  }
  report("propose", "replay", REPLAYED / rounds.median("replay"), "entries/s");
  report("propose", "replay: cpu an entry", rounds.cpu("replay") / REPLAYED * 1e6, "us");
  report("propose", "select and apply: cpu an entry", rounds.cpu("select and apply") / REPLAYED * 1e6, "us");
  report("propose", "replay / select and apply", rounds.ratio("select and apply", "replay"), "ratio", { atLeast: 0.9 });
  rounds.reportNoise("propose");
});
