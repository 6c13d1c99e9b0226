/**
 * A durable log in the SQL storage of a Durable Object.
 *
 * @module
 */

import { able, checkFunction, checkIndex } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import type { LogEntry } from "../state/mod.ts";
import { DataParts, FIRST_PART } from "./data_parts.ts";
import { checkFollows, damaged, entryOf, type LogStorage, numberOf, purged, wrap } from "../log/mod.ts";
import { integerOf, totalOf } from "./sql_numbers.ts";
import type { DurableSqlStorage, SqlRow, SqlValue } from "./sql_storage.ts";

/** Entries read at once: 4 MiB at most, since a row has no more than `FIRST_PART` bytes of data. */
const READ_BATCH = 256;
/** Entries written with one statement, which may have 100 values: takes half the time of one by one. */
const WRITE_BATCH = 16;
/** Entries dropped in one transaction: other work gets its turn in between. */
const PURGE_BATCH = 10_000n;
/** The table of the entries; names of a log's tables begin with `snapstream_`, all others are the object's own. */
const TABLE = "snapstream_entries";

/**
 * Keeps entries in the SQL storage of a Durable Object, in tables called `snapstream_…`: one log an object. When
 * {@linkcode append} resolves the entries are durable, and not only held back by the output gate.
 *
 * Indices and terms go in and out as decimal text, since the storage takes and gives numbers as doubles; SQLite makes
 * integers of them. Data of any size is kept: long data continues in further rows.
 *
 * Not to be used while `storage.transaction()` runs: its rollback would take back what was appended meanwhile.
 *
 * @example
 * ```ts
 * import { DurableObjectLog, type DurableSqlStorage } from "@snapstream/snapstream/durable-object";
 *
 * async function append(ctx: { readonly storage: DurableSqlStorage }): Promise<void> {
 *   const log = await DurableObjectLog.open(ctx.storage);
 *   await log.append([{ index: 1n, term: 1n, data: new TextEncoder().encode("hello") }]); // durable from here on
 * }
 * console.assert(typeof append === "function");
 * ```
 */
export class DurableObjectLog implements LogStorage {
  readonly #storage: DurableSqlStorage;
  readonly #parts: DataParts;
  readonly #appended: () => void;
  #firstIndex: bigint;
  #lastIndex: bigint;
  #lastTerm: bigint;
  #termBefore: bigint;
  /** Bytes of data of all entries ever appended, up to and with the last; and those before the first. */
  #total: number;
  #totalBefore: number;
  #resets = 0;
  /** The failure after which it is not known what is in the storage. */
  #failure: SnapshotError | undefined;
  #closed = false;

  private constructor(storage: DurableSqlStorage, appended: () => void) {
    this.#storage = storage;
    this.#appended = appended;
    this.#parts = new DataParts(storage, TABLE);
    const [base = {}] = this.#query(
      "SELECT CAST(idx AS TEXT) AS idx, CAST(term AS TEXT) AS term, total FROM snapstream_base",
    );
    const [last] = this.#query(
      `SELECT CAST(idx AS TEXT) AS idx, CAST(term AS TEXT) AS term, total FROM ${TABLE}
        ORDER BY ${TABLE}.idx DESC LIMIT 1`,
    );
    const before = numberOf(integerOf(base["idx"]), "the index before its first entry", TABLE);
    this.#firstIndex = before + 1n;
    this.#termBefore = numberOf(integerOf(base["term"]), "the term before its first entry", TABLE);
    this.#totalBefore = totalOf(base["total"], TABLE);
    this.#lastIndex = last === undefined ? before : numberOf(integerOf(last["idx"]), "its last index", TABLE);
    this.#lastTerm = last === undefined
      ? this.#termBefore
      : numberOf(integerOf(last["term"]), "its last term", TABLE, this.#termBefore);
    this.#total = last === undefined ? this.#totalBefore : totalOf(last["total"], TABLE, this.#totalBefore);
    const [first] = this.#query(`SELECT CAST(min(idx) AS TEXT) AS idx FROM ${TABLE}`);
    if (last !== undefined && integerOf(first?.["idx"]) !== this.#firstIndex) {
      throw damaged(TABLE, `entry ${this.#firstIndex} is missing`, this.#firstIndex);
    }
  }

  /**
   * Opens the log of a Durable Object; makes it if there is none. Reads three rows, however long the log is.
   *
   * @param storage the object's `ctx.storage`; the object's class must have SQLite (`new_sqlite_classes`)
   * @param appended called after entries were written
   * @throws {SnapshotError} `CORRUPT` if it is no log, or its first entry is missing; `UNAVAILABLE` without SQLite
   */
  static async open(storage: DurableSqlStorage, appended: () => void = () => {}): Promise<DurableObjectLog> {
    able("the storage of a Durable Object", "transactionSync", "sync")(storage, "storage");
    checkFunction(appended, "appended");
    try {
      storage.transactionSync(() => {
        storage.sql.exec(`
          CREATE TABLE IF NOT EXISTS ${TABLE} (idx INTEGER PRIMARY KEY, term INTEGER NOT NULL, data BLOB NOT NULL,
            rest INTEGER NOT NULL, configuration TEXT, total INTEGER NOT NULL);
          CREATE TABLE IF NOT EXISTS snapstream_base (id INTEGER PRIMARY KEY CHECK (id = 0), idx INTEGER NOT NULL,
            term INTEGER NOT NULL, total INTEGER NOT NULL);
          INSERT OR IGNORE INTO snapstream_base VALUES (0, 0, 0, 0);
        `);
        DataParts.create(storage);
      });
    } catch (error) {
      throw wrap(error, "open", TABLE);
    }
    return new DurableObjectLog(storage, appended);
  }

  get firstIndex(): bigint {
    return this.#firstIndex;
  }

  get lastIndex(): bigint {
    return this.#lastIndex;
  }

  get byteLength(): number {
    return this.#total - this.#totalBefore;
  }

  async append(entries: readonly LogEntry[]): Promise<void> {
    this.#check();
    const own = checkFollows(entries, this.#lastIndex, this.#lastTerm);
    const last = own.at(-1);
    if (last === undefined) return;
    let total = this.#total;
    this.#transaction("append to", () => {
      for (let at = 0; at < own.length; at += WRITE_BATCH) {
        const rows: SqlValue[][] = [];
        for (const { index, term, data, configuration } of own.slice(at, at + WRITE_BATCH)) {
          total += data.length;
          const rest = this.#parts.write(index, data);
          const peers = configuration === undefined ? null : JSON.stringify(configuration);
          rows.push([String(index), String(term), data.subarray(0, FIRST_PART), rest, peers, total]);
        }
        const values = rows.map(() => "(?, ?, ?, ?, ?, ?)").join();
        this.#storage.sql.exec(
          `INSERT INTO ${TABLE} (idx, term, data, rest, configuration, total) VALUES ${values}`,
          ...rows.flat(),
        );
      }
    });
    this.#lastIndex = last.index;
    this.#lastTerm = last.term;
    this.#total = total;
    this.#appended();
    await this.#sync("append to");
  }

  async *entries(from: bigint): AsyncGenerator<LogEntry, void, undefined> {
    checkIndex(from, "from");
    for (let next = from;;) {
      this.#check();
      if (next < this.#firstIndex) throw purged(next, this.#firstIndex);
      const rows = this.#query(
        `SELECT CAST(idx AS TEXT) AS idx, CAST(term AS TEXT) AS term, data, rest, configuration FROM ${TABLE}
          WHERE idx >= ? ORDER BY ${TABLE}.idx LIMIT ?`,
        String(next),
        READ_BATCH,
      );
      if (rows.length === 0 && next > this.#lastIndex) return;
      const resets = this.#resets;
      let term = next === this.#firstIndex ? this.#termBefore : 0n;
      for (const row of rows.length === 0 ? [undefined] : rows) {
        if (this.#resets !== resets || next < this.#firstIndex) break; // changed meanwhile: the rows may be outdated
        const entry = this.#entry(row, next, term);
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
    return this.#at(index).term;
  }

  async purge(index: bigint): Promise<void> {
    checkIndex(index, "index");
    const target = index < this.#lastIndex ? index : this.#lastIndex;
    const resets = this.#resets; // after one, other entries may have these indices
    while (this.#firstIndex <= target && this.#resets === resets) {
      this.#check();
      const limit = this.#firstIndex + PURGE_BATCH - 1n;
      const upTo = limit < target ? limit : target;
      const { term, total } = this.#at(upTo);
      this.#transaction("purge", () => {
        this.#storage.sql.exec(`DELETE FROM ${TABLE} WHERE idx <= ?`, String(upTo));
        this.#parts.drop(upTo);
        this.#setBase(upTo, term, total);
      });
      this.#firstIndex = upTo + 1n;
      this.#termBefore = term;
      this.#totalBefore = total;
      await this.#sync("purge");
    }
  }

  async reset(index: bigint, term: bigint): Promise<void> {
    checkIndex(index, "index");
    checkIndex(term, "term");
    this.#check();
    this.#transaction("reset", () => {
      this.#storage.sql.exec(`DELETE FROM ${TABLE}`);
      this.#parts.drop();
      this.#setBase(index, term, 0);
    });
    this.#resets++;
    this.#firstIndex = index + 1n;
    this.#lastIndex = index;
    this.#lastTerm = this.#termBefore = term;
    this.#total = this.#totalBefore = 0;
    await this.#sync("reset");
  }

  close(): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #check(): void {
    if (this.#closed) throw new SnapshotError("CLOSED", "The log was closed");
    if (this.#failure !== undefined) throw this.#failure;
  }

  #entry(row: SqlRow | undefined, index: bigint, leastTerm: bigint): LogEntry {
    const { data } = row ?? {};
    const entry = entryOf(
      {
        idx: integerOf(row?.["idx"]),
        term: integerOf(row?.["term"]),
        data: data instanceof ArrayBuffer ? new Uint8Array(data) : undefined,
        configuration: row?.["configuration"],
      },
      index,
      leastTerm,
      TABLE,
    );
    return row?.["rest"] === 0 ? entry : { ...entry, data: this.#parts.read(index, entry.data, row?.["rest"]) };
  }

  #at(index: bigint): { readonly term: bigint; readonly total: number } {
    const [row] = this.#query(`SELECT CAST(term AS TEXT) AS term, total FROM ${TABLE} WHERE idx = ?`, String(index));
    return {
      term: numberOf(integerOf(row?.["term"]), `the term of entry ${index}`, TABLE, this.#termBefore),
      total: totalOf(row?.["total"], TABLE, this.#totalBefore),
    };
  }

  #setBase(index: bigint, term: bigint, total: number): void {
    this.#storage.sql.exec(
      "UPDATE snapstream_base SET idx = ?, term = ?, total = ?",
      String(index),
      String(term),
      total,
    );
  }

  #query(sql: string, ...bindings: SqlValue[]): SqlRow[] {
    try {
      return this.#storage.sql.exec(sql, ...bindings).toArray();
    } catch (error) {
      throw wrap(error, "read", TABLE);
    }
  }

  #transaction(what: string, work: () => void): void {
    try {
      this.#storage.transactionSync(work);
    } catch (error) {
      throw wrap(error, what, TABLE);
    }
  }

  /** Waits until all writes are durable. If that fails it is unknown which are; mostly the object is reset then. */
  async #sync(what: string): Promise<void> {
    try {
      await this.#storage.sync();
    } catch (error) {
      throw this.#failure = wrap(error, what, TABLE);
    }
  }
}
