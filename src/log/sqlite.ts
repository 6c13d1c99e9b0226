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

import type { DatabaseSync, StatementSync } from "node:sqlite";
import { lstatSync } from "node:fs";
import { setImmediate } from "node:timers";
import { checkIndex, checkOptions, checkPath } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import { boundGroup, checkGroup } from "../snapshot/mod.ts";
import type { LogEntry } from "../state/mod.ts";
import { checkFollows, type LogStorage, purged } from "./log.ts";
import { entryOf, groupOfRow, numberOf, type Row, wrap } from "./sqlite_rows.ts";
import { LogSpace } from "./sqlite_space.ts";

export type { LogStorage } from "./log.ts";

/** Entries read at once, and bytes of them if they are more than one: the thread is the database's meanwhile. */
const READ_BATCH = 64;
const READ_BYTES = 1024 * 1024;
/** Entries dropped in one transaction: others get their turn in between. */
const PURGE_BATCH = 10_000;
/** Bytes dropped in one: about as many are written for it. Of a long entry only its first page counts. */
const PURGE_BYTES = 512 * 1024;

/** Entries counted at once when a log is opened: others get their turn in between. */
const COUNT_BATCH = 5000;

/** Totals that an opening counts. */
interface Totals {
  readonly count: bigint;
  /** The first entry; nothing if there is none. */
  readonly first: bigint | undefined;
  /** Bytes of all entries' data. */
  readonly bytes: number;
}

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
export class SqliteLog implements LogStorage {
  readonly #path: string;
  readonly #database: DatabaseSync;
  readonly #space: LogSpace;
  readonly #insert: StatementSync;
  readonly #select: StatementSync;
  readonly #sizes: StatementSync;
  #firstIndex: bigint;
  #lastIndex: bigint;
  #lastTerm: bigint;
  #termBefore: bigint;
  #byteLength: number;
  #resets = 0;
  #closed = false;
  /** Identifies the locked file: it must still be what lies at the path. */
  readonly #file: string | undefined;
  #group: string | undefined;

  private constructor(
    path: string,
    database: DatabaseSync,
    space: LogSpace,
    { count, first, bytes }: Totals,
    group: string | undefined,
  ) {
    this.#group = group;
    this.#path = path;
    this.#database = database;
    this.#space = space;
    this.#file = fileAt(path);
    // On Node 22 bytes of which there are none are bound as NULL.
    this.#insert = database.prepare(
      "INSERT INTO entries (idx, term, data, configuration) VALUES (?, ?, ifnull(?, x''), ?)",
    );
    this.#select = database.prepare(
      "SELECT idx, term, data, configuration FROM entries WHERE idx >= ? ORDER BY idx LIMIT ?",
    );
    this.#select.setReadBigInts(true);
    this.#sizes = database.prepare("SELECT length(data) AS size FROM entries WHERE idx >= ? ORDER BY idx LIMIT ?");
    const base = this.#one("SELECT idx, term FROM base") ?? {};
    const last = this.#one("SELECT idx, term FROM entries ORDER BY idx DESC LIMIT 1");
    const before = numberOf(base["idx"], "the index before its first entry", path);
    this.#firstIndex = before + 1n;
    this.#termBefore = numberOf(base["term"], "the term before its first entry", path);
    this.#lastIndex = last === undefined ? before : numberOf(last["idx"], "its last index", path);
    this.#lastTerm = last === undefined
      ? this.#termBefore
      : numberOf(last["term"], "its last term", path, this.#termBefore);
    this.#byteLength = bytes;
    if (count !== this.#lastIndex - before || (last !== undefined && first !== this.#firstIndex)) {
      throw new SnapshotError(
        "CORRUPT",
        `${path} has ${count} entries after ${before} up to ${this.#lastIndex}: some are missing`,
        {
          file: path,
          expected: this.#lastIndex - before,
          actual: count,
        },
      );
    }
  }

  /**
   * Opens a log; makes it if there is none.
   *
   * @param path the file; two more lie beside it
   * @param options see {@linkcode SqliteLogOptions}
   * @throws {SnapshotError} `BUSY` if a process has it open, `CORRUPT` if it is no log or has lost entries,
   *   `FORBIDDEN` if it cannot be made, or has entries of another group
   */
  static async open(path: string, options: SqliteLogOptions = {}): Promise<SqliteLog> {
    checkPath(path, "path");
    checkOptions(options, { group: checkGroup });
    const { DatabaseSync } = await import("node:sqlite");
    let database: DatabaseSync | undefined;
    try {
      const opened = database = new DatabaseSync(path);
      const space = new LogSpace(opened, path);
      opened.exec("BEGIN IMMEDIATE");
      opened.exec(`
        CREATE TABLE IF NOT EXISTS entries
          (idx INTEGER PRIMARY KEY, term INTEGER NOT NULL, data BLOB NOT NULL, configuration TEXT);
        CREATE TABLE IF NOT EXISTS base
          (id INTEGER PRIMARY KEY CHECK (id = 0), idx INTEGER NOT NULL, term INTEGER NOT NULL);
        INSERT OR IGNORE INTO base VALUES (0, 0, 0);
        CREATE TABLE IF NOT EXISTS log_group (id INTEGER PRIMARY KEY CHECK (id = 0), name TEXT NOT NULL);
      `);
      const group = bindGroup(opened, path, options.group);
      opened.exec("COMMIT");
      await space.trim(() => true, true); // a crash may have come in between
      return new SqliteLog(path, opened, space, await totalsOf(opened), group);
    } catch (error) {
      database?.close();
      throw wrap(error, "open", path);
    }
  }

  /** The group whose entries these are, if the file says it. */
  get group(): string | undefined {
    return this.#group;
  }

  bindGroup(group: string): void {
    checkGroup(group, "group");
    this.#check();
    this.#transaction("name the group of", () => this.#group = bindGroup(this.#database, this.#path, group));
  }

  get firstIndex(): bigint {
    return this.#firstIndex;
  }

  get lastIndex(): bigint {
    return this.#lastIndex;
  }

  get byteLength(): number {
    return this.#byteLength;
  }

  async append(entries: readonly LogEntry[]): Promise<void> {
    this.#check();
    const own = checkFollows(entries, this.#lastIndex, this.#lastTerm);
    const last = own.at(-1);
    if (last === undefined) return;
    let bytes = 0;
    for (const { data } of own) bytes += data.length;
    this.#space.fill(() =>
      this.#transaction("append to", () => {
        for (const { index, term, data, configuration } of own) {
          this.#insert.run(index, term, data, configuration === undefined ? null : JSON.stringify(configuration));
        }
      })
    );
    this.#lastIndex = last.index;
    this.#lastTerm = last.term;
    this.#byteLength += bytes;
  }

  async *entries(from: bigint): AsyncGenerator<LogEntry, void, undefined> {
    checkIndex(from, "from");
    for (let next = from;;) {
      this.#check();
      if (next < this.#firstIndex) throw purged(next, this.#firstIndex);
      const rows = this.#rows(next);
      if (rows.length === 0 && next > this.#lastIndex) return;
      let term = next === this.#firstIndex ? this.#termBefore : 0n;
      for (const row of rows.length === 0 ? [undefined] : rows) {
        const entry = entryOf(row, next, term, this.#path);
        ({ term } = entry);
        next++;
        yield entry;
      }
    }
  }

  async term(index: bigint): Promise<bigint | undefined> {
    checkIndex(index, "index");
    this.#check();
    if (index === this.#firstIndex - 1n) return this.#termBefore;
    if (index < this.#firstIndex || index > this.#lastIndex) return undefined;
    return this.#termOf(index);
  }

  async purge(index: bigint): Promise<void> {
    checkIndex(index, "index");
    const target = index < this.#lastIndex ? index : this.#lastIndex;
    const resets = this.#resets; // after one, other entries may have these indices
    let dropped = false;
    while (this.#firstIndex <= target && this.#resets === resets) {
      this.#check();
      const { upTo, bytes } = this.#batch(target);
      const term = this.#termOf(upTo);
      this.#space.free(() =>
        this.#transaction("purge", () => {
          this.#database.prepare("DELETE FROM entries WHERE idx <= ?").run(upTo);
          this.#database.prepare("UPDATE base SET idx = ?, term = ?").run(upTo, term);
        })
      );
      this.#firstIndex = upTo + 1n;
      this.#termBefore = term;
      this.#byteLength -= bytes;
      dropped = true;
      this.#space.step();
      if (upTo < target) await new Promise<void>((resolve) => void setImmediate(resolve));
    }
    if (dropped) await this.#trim();
  }

  async reset(index: bigint, term: bigint): Promise<void> {
    checkIndex(index, "index");
    checkIndex(term, "term");
    this.#check();
    this.#space.freeDurably(() =>
      this.#transaction("reset", () => {
        this.#database.exec("DELETE FROM entries");
        this.#database.prepare("UPDATE base SET idx = ?, term = ?").run(index, term);
      })
    );
    this.#resets++;
    this.#firstIndex = index + 1n;
    this.#lastIndex = index;
    this.#lastTerm = this.#termBefore = term;
    this.#byteLength = 0;
    await this.#trim();
  }

  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#database.close();
    }
    return Promise.resolve();
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The first entries, up to a target, that can be dropped together. */
  #batch(target: bigint): { readonly upTo: bigint; readonly bytes: number } {
    // No more rows are looked at than may be dropped, about: each costs the reading of a page.
    const average = this.#byteLength / Number(this.#lastIndex - this.#firstIndex + 1n);
    const rows = Math.min(PURGE_BATCH, Math.ceil(2 * PURGE_BYTES / Math.min(average + 32, 4096)));
    const batch = this.#one(
      `SELECT max(idx) AS upTo, sum(bytes) AS bytes FROM (
         SELECT idx, bytes, sum(min(bytes, 4096) + 32) OVER (ORDER BY idx) AS dropped FROM (
           SELECT idx, length(data) AS bytes FROM entries WHERE idx <= ? ORDER BY idx LIMIT ${rows}
         )
       ) WHERE dropped <= ${PURGE_BYTES}`,
      target,
    );
    return { upTo: numberOf(batch?.["upTo"], "its first index", this.#path), bytes: Number(batch!["bytes"]) };
  }

  #trim(): Promise<void> {
    return this.#space.trim(() => !this.#closed);
  }

  #check(): void {
    if (this.#closed) throw new SnapshotError("CLOSED", "The log was closed");
  }

  #termOf(index: bigint): bigint {
    const { term } = this.#one("SELECT term FROM entries WHERE idx = ?", index) ?? {};
    return numberOf(term, `the term of entry ${index}`, this.#path, this.#termBefore);
  }

  #one(sql: string, ...parameters: bigint[]): Readonly<Record<string, unknown>> | undefined {
    try {
      const statement = this.#database.prepare(sql);
      statement.setReadBigInts(true);
      return statement.get(...parameters) ?? undefined;
    } catch (error) {
      throw wrap(error, "read", this.#path);
    }
  }

  #rows(from: bigint): Row[] {
    try {
      let [count, bytes] = [0, 0];
      for (const { size } of this.#sizes.all(from, READ_BATCH) as { readonly size: unknown }[]) {
        bytes += Number(size);
        if (count > 0 && bytes > READ_BYTES) break;
        count++;
      }
      return this.#select.all(from, count) as unknown as Row[];
    } catch (error) {
      throw wrap(error, "read", this.#path);
    }
  }

  #transaction(what: string, work: () => void): void {
    try {
      this.#database.exec("BEGIN IMMEDIATE");
      try {
        work();
        this.#checkFile();
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
      throw wrap(error, what, this.#path);
    }
  }

  #checkFile(): void {
    if (this.#file === undefined || this.#file === fileAt(this.#path)) return;
    throw new SnapshotError(
      "BUSY",
      `The log ${this.#path} was removed or replaced: another process may have opened it, and nothing is ` +
        `written by this one any more. Close it, and open it again`,
      { file: this.#path },
    );
  }
}

/** Identifies the file at a path by device and inode; nothing if there is none, or it may not be looked at. */
function fileAt(path: string): string | undefined {
  try {
    const { dev, ino } = lstatSync(path, { bigint: true });
    return `${dev} ${ino}`;
  } catch {
    return undefined;
  }
}

/** Counts the entries of a database that nobody else can write to. */
async function totalsOf(database: DatabaseSync): Promise<Totals> {
  const statement = database.prepare(`
    SELECT count(*) AS count, min(idx) AS first, max(idx) AS last, ifnull(sum(bytes), 0) AS bytes
    FROM (SELECT idx, length(data) AS bytes FROM entries WHERE idx > ? ORDER BY idx LIMIT ${COUNT_BATCH})
  `);
  statement.setReadBigInts(true);
  let [count, bytes] = [0n, 0n];
  let first: bigint | undefined;
  for (let last = -(2n ** 63n);;) {
    const counted = statement.get(last) as Record<"count" | "first" | "last" | "bytes", bigint>;
    if (counted.count === 0n) break;
    first ??= counted.first;
    count += counted.count;
    bytes += counted.bytes;
    last = counted.last;
    if (counted.count < COUNT_BATCH) break;
    await new Promise<void>((resolve) => void setImmediate(resolve));
  }
  return { count, first, bytes: Number(bytes) };
}

/** The group of a log: what the file says, or from now on what whoever opens it says. */
function bindGroup(database: DatabaseSync, path: string, group: string | undefined): string | undefined {
  const found = groupOfRow(database.prepare("SELECT name FROM log_group").get(), path);
  if (group === undefined || group === found) return found;
  const bound = boundGroup(found, group, `The log ${path}`);
  database.prepare("INSERT INTO log_group VALUES (0, ?)").run(bound);
  return bound;
}
