/**
 * A durable log in one file, on the SQLite that Deno, Node and Bun have built in.
 *
 * @example
 * ```ts
 * import { SqliteLog } from "@snapstream/snapstream/sqlite";
 *
 * const directory = await Deno.makeTempDir();
 * await using log = await SqliteLog.open(`${directory}/log.db`);
 * await log.append([{ index: 1n, term: 1n, data: new TextEncoder().encode("hello") }]); // durable from here on
 * console.assert(log.lastIndex === 1n);
 * ```
 *
 * @module
 */

import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { yieldTurn } from "../async/mod.ts";
import { checkOptions, checkPath } from "../checks.ts";
import { hasCode, SnapshotError } from "../errors.ts";
import { defaultDisk, lookNow } from "../fs/mod.ts";
import { checkGroup } from "../snapshot/mod.ts";
import type { LogEntry } from "../state/mod.ts";
import { type SqlBatch, type SqlBounds, type SqlDigest, SqlLog, type SqlTables, type SqlWrite } from "./sql.ts";
import { type EntryRow, numberOf, wrap } from "./sql_rows.ts";
import { LogSpace } from "./sqlite_space.ts";
import { type Totals, totalsOf } from "./sqlite_totals.ts";

/** Entries read at once, and bytes of them if they are more than one: the thread is the database's meanwhile. */
const READ_BATCH = 256;
const READ_BYTES = 1024 * 1024;
/** Entries inserted by one call, and the values of each. */
const [WRITE_BATCH, VALUES] = [16, 5];
/** Bytes that a transaction writes beside the entries, about: a few pages. */
const WRITTEN_BYTES = 16 * 1024;
/** Entries dropped in one transaction: others get their turn in between. */
const PURGE_BATCH = 10_000;
/** Bytes dropped in one: about as many are written for it. Of a long entry only its first page counts. */
const PURGE_BYTES = 512 * 1024;

/**
 * The age of a look at the file, in milliseconds, after which it is looked at before a write too, and not only before
 * the write is acknowledged. Writing takes as long: a look just before it would say no more.
 */
const LOOK_AFTER = 5;

/** Options of {@linkcode SqliteLog.open}. */
export interface SqliteLogOptions {
  /**
   * The group whose entries these are: kept in the file, which cannot be opened as another's from then on. By default
   * what is in the file, if anything is.
   */
  readonly group?: string;
}

/**
 * Keeps entries in an SQLite database (write-ahead log, `synchronous = FULL`): what {@linkcode append} has resolved
 * for survives a power failure. One process at a time has it open: if its file is removed or replaced, so that another
 * one could open it, nothing is acknowledged any more (`BUSY`).
 *
 * Purging gives room back to the file system. Beside the file lie its write-ahead log, of 2 MiB and one transaction,
 * and `…-reserve`: room of up to 4 MiB, so that a log that has filled the disk can still be purged.
 */
export class SqliteLog extends SqlLog {
  private constructor(tables: SqliteTables) {
    super(tables);
    const expected = this.lastIndex - this.firstIndex + 1n;
    if (tables.count === expected) return;
    throw new SnapshotError(
      "CORRUPT",
      `${tables.name} has ${tables.count} entries from ${this.firstIndex} up to ${this.lastIndex}: some are missing`,
      { file: tables.name, expected, actual: tables.count },
    );
  }

  /**
   * Opens a log; makes it, and the directories above it, if there is none.
   *
   * @param path the file; two more lie beside it
   * @param options see {@linkcode SqliteLogOptions}
   * @throws {SnapshotError} `BUSY` if a process has it open, `CORRUPT` if it is no log or has lost entries,
   *   `FORBIDDEN` if it cannot be made, or has entries of another group
   */
  static async open(path: string, options: SqliteLogOptions = {}): Promise<SqliteLog> {
    checkPath(path, "path");
    const { group } = checkOptions(options, { group: checkGroup });
    const { DatabaseSync } = await import("node:sqlite");
    if (!existsSync(path)) await makeParents(path);
    let database: DatabaseSync | undefined;
    try {
      const opened = database = new DatabaseSync(path);
      const space = new LogSpace(opened, path);
      space.settle();
      opened.exec(`
        BEGIN IMMEDIATE;
        CREATE TABLE IF NOT EXISTS entries
          (idx INTEGER PRIMARY KEY, term INTEGER NOT NULL, data BLOB NOT NULL, configuration TEXT, time INTEGER);
        CREATE TABLE IF NOT EXISTS base
          (id INTEGER PRIMARY KEY CHECK (id = 0), idx INTEGER NOT NULL, term INTEGER NOT NULL);
        INSERT OR IGNORE INTO base VALUES (0, 0, 0);
        CREATE TABLE IF NOT EXISTS log_group (id INTEGER PRIMARY KEY CHECK (id = 0), name TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS log_digest
          (id INTEGER PRIMARY KEY CHECK (id = 0), idx INTEGER NOT NULL, digest BLOB NOT NULL);
        ${hasTime(opened) ? "" : "ALTER TABLE entries ADD COLUMN time INTEGER;"}
        COMMIT;
      `);
      await space.trim(() => true, true); // a crash may have come in between
      const log = new SqliteLog(new SqliteTables(path, opened, space, await totalsOf(opened)));
      if (group !== undefined) await log.bindGroup(group);
      return log;
    } catch (error) {
      database?.close();
      throw wrap(error, "open", path);
    }
  }
}

/**
 * Makes the directories above a new log, and their names durable, which SQLite does for the file only. Those that are
 * there too: the process that made them may have been killed before.
 */
async function makeParents(path: string): Promise<void> {
  const disk = defaultDisk();
  const directory = dirname(resolve(path));
  try {
    await disk.makeDirectory(directory);
  } catch (error) {
    if (hasCode(error, "FORBIDDEN")) return; // it may be there all the same: opening the file says more
    if (!hasCode(error, "BUSY")) throw error; // what is there is no directory, and nobody's lock
    throw new SnapshotError("FORBIDDEN", error.message, { ...error.fields, cause: error });
  }
  try {
    for (let at = directory; dirname(at) !== at; at = dirname(at)) await disk.syncDirectory(at);
  } catch (error) {
    if (!hasCode(error, "UNSUPPORTED", "FORBIDDEN")) throw error; // no such file system, or another user's directory
  }
}

/** The tables of a log in a file of its own. */
class SqliteTables implements SqlTables {
  readonly name: string;
  /** The number of entries when it was opened. */
  readonly count: bigint;
  byteLength: number;
  /** No entry has more bytes of data. */
  #longest: number;
  readonly #database: DatabaseSync;
  readonly #space: LogSpace;
  readonly #insert: StatementSync;
  /** Inserts {@linkcode WRITE_BATCH} entries: a call costs as much as three rows. */
  readonly #insertMany: StatementSync;
  readonly #select: StatementSync;
  readonly #size: StatementSync;
  readonly #sizes: StatementSync;
  /** Identifies the locked file: it must still be what lies at the path. */
  readonly #file: string | undefined;
  /** The time of the last look at that. */
  #looked = -Infinity;
  #closed = false;

  constructor(path: string, database: DatabaseSync, space: LogSpace, { count, bytes, longest }: Totals) {
    this.name = path;
    this.count = count;
    this.byteLength = bytes;
    this.#longest = longest;
    this.#database = database;
    this.#space = space;
    this.#file = fileAt(path);
    // On Node 22 bytes of which there are none are bound as NULL.
    const insert = (rows: number) =>
      database.prepare(
        `INSERT INTO entries (idx, term, data, configuration, time) VALUES ${
          Array<string>(rows).fill("(?, ?, ifnull(?, x''), ?, ?)").join()
        }`,
      );
    [this.#insert, this.#insertMany] = [insert(1), insert(WRITE_BATCH)];
    this.#select = database.prepare(
      "SELECT idx, term, data, configuration, time FROM entries WHERE idx >= ? ORDER BY idx LIMIT ?",
    );
    this.#sizes = database.prepare("SELECT length(data) AS size FROM entries WHERE idx >= ? ORDER BY idx LIMIT ?");
    this.#size = database.prepare(
      "SELECT sum(size) AS size FROM (SELECT length(data) AS size FROM entries WHERE idx >= ? ORDER BY idx LIMIT ?)",
    );
  }

  bounds(): SqlBounds {
    return {
      base: this.#one("SELECT idx, term FROM base") ?? {},
      first: this.#one("SELECT min(idx) AS idx FROM entries")?.["idx"],
      last: this.#one("SELECT idx, term FROM entries ORDER BY idx DESC LIMIT 1"),
    };
  }

  group(): Readonly<Record<string, unknown>> | undefined {
    return this.#one("SELECT name FROM log_group");
  }

  setGroup(name: string): void {
    this.#transaction(
      "name the group of",
      () => this.#database.prepare("INSERT INTO log_group VALUES (0, ?)").run(name),
    );
  }

  digest(): SqlDigest | undefined {
    return this.#one("SELECT idx, digest FROM log_digest");
  }

  setDigest(index: bigint, digest: Uint8Array): void {
    this.#transaction("append to", () => this.#writeDigest(index, digest));
  }

  #writeDigest(index: bigint, digest: Uint8Array): void {
    this.#database.prepare("INSERT OR REPLACE INTO log_digest VALUES (0, ?, ?)").run(index, digest);
  }

  rows(from: bigint): EntryRow[] {
    try {
      const count = this.#countFrom(from);
      try {
        return this.#select.all(from, count) as unknown as EntryRow[];
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
        this.#select.setReadBigInts(true); // an integer of it is no safe one: the rows after it will have more of them
        return this.#select.all(from, count) as unknown as EntryRow[];
      }
    } catch (error) {
      throw wrap(error, "read", this.name);
    }
  }

  /** Returns the number of entries from an index on that are not too many bytes; one at least. */
  #countFrom(from: bigint): number {
    if (this.#longest * READ_BATCH <= READ_BYTES) return READ_BATCH;
    if (Number(this.#size.get(from, READ_BATCH)!["size"]) <= READ_BYTES) return READ_BATCH;
    let [count, bytes] = [0, 0];
    for (const { size } of this.#sizes.all(from, READ_BATCH)) {
      bytes += Number(size);
      if (count > 0 && bytes > READ_BYTES) break;
      count++;
    }
    return count;
  }

  whole(entry: LogEntry): LogEntry {
    return entry;
  }

  term(index: bigint): unknown {
    return this.#one("SELECT term FROM entries WHERE idx = ?", index)?.["term"];
  }

  insert(entries: readonly LogEntry[]): void {
    let bytes = 0;
    for (const { data: { length } } of entries) {
      bytes += length;
      if (length > this.#longest) this.#longest = length;
    }
    this.#space.fill(() => this.#transaction("append to", () => this.#insertAll(entries)), WRITTEN_BYTES + bytes);
    this.byteLength += bytes;
  }

  #insertAll(entries: readonly LogEntry[]): void {
    let values: SQLInputValue[] = [];
    const many = entries.length - entries.length % WRITE_BATCH;
    for (let i = 0; i < entries.length; i++) {
      const { index, term, data, configuration, time = null } = entries[i]!;
      values.push(index, term, data, configuration === undefined ? null : JSON.stringify(configuration), time);
      if (i < many && values.length < VALUES * WRITE_BATCH) continue;
      (i < many ? this.#insertMany : this.#insert).run(...values);
      values = [];
    }
  }

  batch(first: bigint, target: bigint, last: bigint): SqlBatch {
    // No more rows are looked at than may be dropped, about: each costs the reading of a page.
    const average = this.byteLength / Number(last - first + 1n);
    const rows = Math.min(PURGE_BATCH, Math.ceil(2 * PURGE_BYTES / Math.min(average + 32, 4096)));
    const batch = this.#one(
      `SELECT max(idx) AS upTo, sum(bytes) AS bytes FROM (
         SELECT idx, bytes, sum(min(bytes, 4096) + 32) OVER (ORDER BY idx) AS dropped FROM (
           SELECT idx, length(data) AS bytes FROM entries WHERE idx <= ? ORDER BY idx LIMIT ${rows}
         )
       ) WHERE dropped <= ${PURGE_BYTES}`,
      target,
    );
    return { upTo: numberOf(batch?.["upTo"], "its first index", this.name), bytes: Number(batch!["bytes"]) };
  }

  drop({ upTo, bytes }: SqlBatch, term: bigint, digest: Uint8Array | undefined): void {
    this.#space.free(() =>
      this.#transaction("purge", () => {
        this.#database.prepare("DELETE FROM entries WHERE idx <= ?").run(upTo);
        this.#database.prepare("UPDATE base SET idx = ?, term = ?").run(upTo, term);
        if (digest !== undefined) this.#writeDigest(upTo, digest);
      })
    );
    this.byteLength -= bytes;
    this.#space.step();
  }

  clear(index: bigint, term: bigint): void {
    this.#space.freeDurably(() =>
      this.#transaction("reset", () => {
        this.#database.exec("DELETE FROM entries");
        this.#database.prepare("UPDATE base SET idx = ?, term = ?").run(index, term);
      })
    );
    this.byteLength = 0;
  }

  /** Gives back the room of what was purged: all that was written is durable already. */
  async written(how: SqlWrite): Promise<void> {
    if (how === "drop") await yieldTurn();
    else if (how === "purge" || how === "reset") await this.#space.trim(() => !this.#closed);
  }

  check(): void {}

  close(): void {
    this.#closed = true;
    this.#database.close();
  }

  #one(sql: string, ...parameters: bigint[]): Readonly<Record<string, unknown>> | undefined {
    try {
      const statement = this.#database.prepare(sql);
      statement.setReadBigInts(true);
      return statement.get(...parameters) ?? undefined;
    } catch (error) {
      throw wrap(error, "read", this.name);
    }
  }

  #transaction(what: string, work: () => void): void {
    try {
      this.#database.exec("BEGIN IMMEDIATE");
      try {
        work();
        if (performance.now() - this.#looked >= LOOK_AFTER) this.#checkFile();
        this.#database.exec("COMMIT");
      } catch (error) {
        try {
          this.#database.exec("ROLLBACK");
        } catch {
          // SQLite rolled it back itself, as it does when the disk is full
        }
        throw error;
      }
      this.#checkFile(); // somebody else may have it since
    } catch (error) {
      throw wrap(error, what, this.name);
    }
  }

  #checkFile(): void {
    this.#looked = performance.now();
    if (this.#file === undefined || this.#file === fileAt(this.name)) return;
    throw new SnapshotError(
      "BUSY",
      `The log ${this.name} was removed or replaced: another process may have opened it, and nothing is ` +
        `written by this one any more. Close it, and open it again`,
      { file: this.name },
    );
  }
}

/** Reports whether entries have a column for their time, or will have: a release before this one made none. */
function hasTime(database: DatabaseSync): boolean {
  const columns = database.prepare("PRAGMA table_info(entries)").all() as { readonly name: string }[];
  return columns.length === 0 || columns.some(({ name }) => name === "time");
}

/** Identifies the file at a path; nothing if there is none, or it may not be looked at. */
function fileAt(path: string): string | undefined {
  try {
    return lookNow(path)?.identity;
  } catch {
    return undefined;
  }
}
