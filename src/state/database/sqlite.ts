/**
 * State in SQLite, by way of `node:sqlite`: on Deno, Node and Bun.
 *
 * @module
 */

import { statSync } from "node:fs";
import { DatabaseSync, type StatementSync } from "node:sqlite";
import { checkOptions, checkPath, checkText } from "../../checks.ts";
import { messageOf, SnapshotError, type SnapshotErrorCode } from "../../errors.ts";
import { type FileLock, lockFile } from "../../fs/mod.ts";
import { unusedKey } from "./stored_keys.ts";
import type { Change, Engine, EngineView, Pair, Readable } from "./engine.ts";
import { Pace } from "../pace.ts";
import { makeShrinkable, sizeOf, SqlitePages } from "../../sqlite/mod.ts";

/** Rows that are read, or deleted, at once; the thread is SQLite's meanwhile. */
const PAGE = 256;
/** A longer value is read by itself, so that a page cannot be of any size. */
const LONG = 64 * 1024;
/** The longest wait for a write of another process, in milliseconds. */
const BUSY_TIMEOUT = 5000;
/** The size that the file of the write-ahead log is cut to, in bytes. */
const WAL_BYTES = 4 * 1024 * 1024;
/** Pages that may hold nothing, and which part of all: they are used again, and it costs to give them back. */
const SPARE = { pages: 256, part: 1 / 8 };
/** Memory for pages of the database, in KiB: keys come in no order, and the default of 2 MiB is soon too little. */
const CACHE = 64 * 1024;

const DEFAULT_TABLE = "keyed_state";

/** Options of {@linkcode sqliteEngine}. */
export interface SqliteEngineOptions {
  /**
   * The table that the state is in; made if it is not there.
   *
   * @default {"keyed_state"}
   */
  readonly table?: string;
}

/**
 * A table of an SQLite database for a `StoredState`. Saves read from connections of their own, so that writing goes on.
 * What else is in the database does not matter.
 *
 * One state at a time has a table open: `…-lock` beside the file, which stays empty, ends with its owner. Once it, or
 * the file itself, was removed nothing is written any more: another process may have made them anew.
 *
 * What was written survives a crash of the process. A power failure may take the last writes, each whole; a replica's
 * log has what they were of (`synchronous = NORMAL`).
 *
 * The file shrinks as entries are deleted, down to what is in it, an eighth, and 1 MiB, if it is made here
 * (`auto_vacuum = INCREMENTAL`). One that is there already keeps its mode: `PRAGMA auto_vacuum = INCREMENTAL; VACUUM`
 * makes it one that shrinks, once, while nobody else has it open. The write-ahead log beside it is cut to 4 MiB. Only
 * what is written while a save runs can make it longer, since a save reads the database as it was; it is cut when the
 * save ends.
 *
 * @param path the file; made if it is not there. It gets write-ahead logging (`journal_mode = WAL`), which stays with
 *   it.
 * @param options which table
 * @throws {SnapshotError} `BUSY` if another state, here or in another process, has the table open; `UNAVAILABLE`,
 *   `FORBIDDEN` or `CORRUPT` if it cannot be opened
 *
 * @example
 * ```ts ignore
 * import { StoredState, stringKeys, utf8Codec } from "@snapstream/snapstream";
 * import { sqliteEngine } from "@snapstream/snapstream/sqlite";
 *
 * const state = await StoredState.open(sqliteEngine("state.db"), { keys: stringKeys(), incremental: true });
 * await state.value("names", utf8Codec()).set("7", "Ada");
 * await state.close();
 * ```
 */
export function sqliteEngine(path: string, options: SqliteEngineOptions = {}): Engine {
  checkPath(path, "path");
  const { table: name = DEFAULT_TABLE } = checkOptions(options, { table: checkText });
  const table = `"${name.replaceAll(`"`, `""`)}"`;
  try {
    return new SqliteEngine(path, table, name === DEFAULT_TABLE ? "" : `${encodeURIComponent(name.toLowerCase())}-`);
  } catch (error) {
    if (error instanceof SnapshotError) throw error;
    throw new SnapshotError(codeOf(error), `Cannot open ${path}: ${messageOf(error)}`, { file: path, cause: error });
  }
}

class SqliteEngine implements Engine {
  readonly #path: string;
  readonly #inode: number;
  readonly #database: DatabaseSync;
  readonly #table: string;
  readonly #now: Reading;
  readonly #put: StatementSync;
  readonly #delete: StatementSync;
  readonly #clear: StatementSync;
  /** All calls are synchronous: who only ever waits for them would keep the event loop to himself. */
  readonly #pace = new Pace();
  /** Connections for views, opened before they are needed: to open one takes longer than a view may. */
  readonly #free: ViewConnection[] = [];
  readonly #pages: SqlitePages;
  readonly #truncate: StatementSync;
  readonly #lock: FileLock;
  /** Views that are open. */
  #views = 0;

  constructor(path: string, table: string, lockName: string) {
    this.#path = path;
    this.#database = new DatabaseSync(path);
    this.#table = table;
    let lock: FileLock | undefined;
    try {
      // By the path as SQLite resolves it: several links may lead to one file.
      const { file } = this.#database.prepare("PRAGMA database_list").get() as { readonly file: string };
      this.#lock = lock = lockFile(DatabaseSync, `${file}-${lockName}lock`);
      makeShrinkable(this.#database);
      this.#database.prepare(`PRAGMA journal_size_limit = ${WAL_BYTES}`).get();
      this.#database.exec(
        `PRAGMA busy_timeout = ${BUSY_TIMEOUT}; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -${CACHE};
         CREATE TABLE IF NOT EXISTS ${table} (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID`,
      );
      this.#inode = statSync(path).ino;
      this.#put = this.#database.prepare(`INSERT OR REPLACE INTO ${table} (key, value) VALUES (?, ?)`);
      this.#delete = this.#database.prepare(`DELETE FROM ${table} WHERE key = ?`);
      this.#clear = this.#database.prepare(
        `DELETE FROM ${table} WHERE key IN (SELECT key FROM ${table} WHERE key >= ? AND key < ? LIMIT ${PAGE})`,
      );
      this.#pages = new SqlitePages(this.#database);
      this.#truncate = this.#database.prepare("PRAGMA wal_checkpoint(TRUNCATE)");
      this.#now = new Reading(this.#database, table, this.#pace);
      this.#free.push(new ViewConnection(path, table, this.#pace));
    } catch (error) {
      this.#database.close();
      void lock?.release();
      throw error;
    }
  }

  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    return this.#now.getMany(keys);
  }

  entries(from: Uint8Array, to: Uint8Array): AsyncIterable<readonly Pair[]> {
    return this.#now.entries(from, to);
  }

  async write(changes: readonly Change[]): Promise<void> {
    this.#checkOwned();
    this.#database.exec("BEGIN IMMEDIATE");
    try {
      for (const { key, value } of changes) {
        if (value === undefined) this.#delete.run(key);
        else this.#put.run(key, value);
      }
      this.#database.exec("COMMIT");
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec("ROLLBACK");
      throw error;
    }
    this.#shrink();
    await this.#pace.turn();
  }

  async clear(from: Uint8Array, to: Uint8Array): Promise<void> {
    for (;;) {
      this.#checkOwned();
      const isAll = Number(this.#clear.run(from, to).changes) < PAGE;
      this.#shrink();
      if (isAll) return;
      await this.#pace.turn();
    }
  }

  /** Commits something with a sync of the write-ahead log, and so of all that was committed to it before. */
  async sync(): Promise<void> {
    this.#checkOwned();
    const key = unusedKey();
    this.#database.exec("PRAGMA synchronous = FULL");
    try {
      await this.write([{ key, value: key }, { key, value: undefined }]);
    } finally {
      this.#database.exec("PRAGMA synchronous = NORMAL");
    }
  }

  view(): EngineView {
    const connection = this.#free.pop() ?? new ViewConnection(this.#path, this.#table, this.#pace);
    connection.begin();
    this.#views++;
    const checkFile = () => this.#checkFile();
    return {
      getMany: (keys) => connection.reading.getMany(keys),
      async *entries(from, to) {
        checkFile(); // not when the view is taken: looking takes longer than that may
        yield* connection.reading.entries(from, to);
      },
      close: async () => {
        this.#views--;
        connection.end();
        this.#free.push(connection);
        this.#cutWal();
      },
    };
  }

  /**
   * Gives back some pages that hold nothing. Not under a view: all that is moved would lie in the write-ahead log as
   * well.
   */
  #shrink(): void {
    if (this.#views > 0 || !this.#pages.canShrink) return;
    const { free } = this.#pages;
    if (free <= SPARE.pages || free <= SPARE.pages + this.#pages.count * SPARE.part) return;
    try {
      this.#pages.step();
    } catch {
      // what was to be written is written, and this is tried after the next
    }
  }

  /** Cuts the write-ahead log, which no checkpoint could while a view was open. */
  #cutWal(): void {
    if (this.#views > 0 || sizeOf(`${this.#path}-wal`) <= WAL_BYTES) return;
    try {
      this.#database.exec("PRAGMA busy_timeout = 0"); // another process's view is not waited for
      this.#truncate.get();
    } catch {
      // it is cut after the next view
    } finally {
      this.#database.exec(`PRAGMA busy_timeout = ${BUSY_TIMEOUT}`);
    }
  }

  /** Fails if the file is not at its path any more: SQLite itself goes on in one that nobody can find. */
  #checkFile(): void {
    let found: number | undefined;
    try {
      found = statSync(this.#path).ino;
    } catch {
      // it is not there, or cannot be found
    }
    if (found === this.#inode) return;
    throw new SnapshotError(
      "UNAVAILABLE",
      `${this.#path} was deleted or replaced: what is in it is lost when it is closed`,
      { file: this.#path },
    );
  }

  /** Fails unless what is written now is in the file at the path, and of nobody else. */
  #checkOwned(): void {
    this.#checkFile();
    if (this.#lock.isHeldNow()) return;
    throw new SnapshotError(
      "BUSY",
      `The lock beside ${this.#path} was removed or replaced: another process may have the state open, and this one ` +
        `changes nothing any more. Close the state, and open it again`,
      { file: this.#path },
    );
  }

  async close(): Promise<void> {
    for (const connection of this.#free.splice(0)) connection.close(); // before the last writer, who then tidies up
    try {
      this.#database.close();
    } finally {
      await this.#lock.release();
    }
  }

  codeOf(error: unknown): SnapshotErrorCode {
    return codeOf(error);
  }
}

/** A connection that only reads. */
class ViewConnection {
  readonly reading: Reading;
  readonly #database: DatabaseSync;
  readonly #begin: StatementSync;
  readonly #pin: StatementSync;
  readonly #end: StatementSync;

  constructor(path: string, table: string, pace: Pace) {
    this.#database = new DatabaseSync(path, { readOnly: true });
    try {
      this.#begin = this.#database.prepare("BEGIN");
      this.#pin = this.#database.prepare("SELECT 1 FROM sqlite_schema LIMIT 1");
      this.#end = this.#database.prepare("COMMIT");
      this.reading = new Reading(this.#database, table, pace);
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  /** From now on it sees what is committed now; or it is closed. */
  begin(): void {
    this.#orClosed(() => {
      this.#begin.run();
      this.#pin.get(); // `BEGIN` alone does not look at the file yet
    });
  }

  /** Lets go of that; or it is closed. */
  end(): void {
    this.#orClosed(() => this.#end.run());
  }

  #orClosed(work: () => unknown): void {
    try {
      work();
    } catch (error) {
      this.#database.close();
      throw error;
    }
  }

  close(): void {
    this.#database.close();
  }
}

/**
 * Reading from a connection, a page at a time: a statement that is left open in the middle ends early on some runtimes.
 */
class Reading implements Readable {
  readonly #get: StatementSync;
  readonly #first: StatementSync;
  readonly #next: StatementSync;
  readonly #pace: Pace;

  constructor(database: DatabaseSync, table: string, pace: Pace) {
    this.#pace = pace;
    const page = (from: string) =>
      database.prepare(
        `SELECT key, CASE WHEN length(value) <= ${LONG} THEN value END AS value
         FROM ${table} WHERE key ${from} ? AND key < ? ORDER BY key LIMIT ${PAGE}`,
      );
    this.#get = database.prepare(`SELECT value FROM ${table} WHERE key = ?`);
    this.#first = page(">=");
    this.#next = page(">");
  }

  async getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    const values = keys.map((key) => this.#value(key));
    await this.#pace.turn();
    return values;
  }

  async *entries(from: Uint8Array, to: Uint8Array): AsyncGenerator<readonly Pair[], void, undefined> {
    let rows = this.#first.all(from, to);
    for (;;) {
      if (rows.length > 0) yield* this.#pairs(rows);
      await this.#pace.turn();
      if (rows.length < PAGE) return;
      rows = this.#next.all(rows.at(-1)!.key as Uint8Array, to);
    }
  }

  /** The entries of a page: all that are short together, a long one by itself. */
  *#pairs(rows: ReturnType<StatementSync["all"]>): Generator<readonly Pair[], void, undefined> {
    let pairs: Pair[] = [];
    for (const { key, value } of rows as unknown as { readonly key: Uint8Array; readonly value: Uint8Array | null }[]) {
      if (value !== null) {
        pairs.push([key, value]);
        continue;
      }
      if (pairs.length > 0) yield pairs;
      pairs = [];
      const long = this.#value(key);
      if (long !== undefined) yield [[key, long]];
    }
    if (pairs.length > 0) yield pairs;
  }

  #value(key: Uint8Array): Uint8Array | undefined {
    return (this.#get.get(key) as { readonly value: Uint8Array } | undefined)?.value;
  }
}

/** Returns the code for an error of SQLite (https://www.sqlite.org/rescode.html): by its number, or by its text where a
 * runtime does not give the number. */
function codeOf(error: unknown): SnapshotErrorCode {
  const { code, errcode = 0 } = error as { readonly code?: string; readonly errcode?: number };
  if (code === "ERR_INVALID_STATE") return "CLOSED";
  const text = String(error);
  const primary = errcode & 0xff;
  if (primary === 13 || /is full/.test(text)) return "NO_SPACE";
  if (primary === 5 || primary === 6 || /is locked/.test(text)) return "BUSY";
  if (primary === 11 || primary === 26 || /malformed|not a database/.test(text)) return "CORRUPT";
  return primary === 8 || primary === 3 || /readonly|permission/.test(text) ? "FORBIDDEN" : "UNAVAILABLE";
}
