/**
 * A durable log in the SQL storage of a Durable Object.
 *
 * @module
 */

import { able, checkFunction } from "../checks.ts";
import type { SnapshotError } from "../errors.ts";
import { Entry, type LogEntry } from "../state/mod.ts";
import { DataParts, FIRST_PART } from "./data_parts.ts";
import {
  type EntryRow,
  type SqlBatch,
  type SqlBounds,
  type SqlDigest,
  SqlLog,
  type SqlTables,
  type SqlWrite,
  wrap,
} from "../log/mod.ts";
import { integerOf, totalOf } from "./sql_numbers.ts";
import type { DurableSqlStorage, SqlRow, SqlValue } from "./sql_storage.ts";

/** Entries read at once: 4 MiB at most, since a row has no more than `FIRST_PART` bytes of data. */
const READ_BATCH = 256;
/** Entries written with one statement, which may have 100 values: takes half the time of one by one. */
const WRITE_BATCH = 14;
/** Entries dropped in one transaction: other work gets its turn in between. */
const PURGE_BATCH = 10_000n;
/** The table of the entries; names of a log's tables begin with `snapstream_`, all others are the object's own. */
const TABLE = "snapstream_entries";
/** The columns of a position. */
const POSITION = "CAST(idx AS TEXT) AS idx, CAST(term AS TEXT) AS term";

/** A row, with the number of bytes in further rows. */
interface DurableRow extends EntryRow {
  readonly rest: unknown;
}

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
export class DurableObjectLog extends SqlLog {
  private constructor(tables: DurableObjectTables) {
    super(tables);
  }

  /**
   * Opens the log of a Durable Object; makes it if there is none. Reads a few rows, however long the log is.
   *
   * @param storage the object's `ctx.storage`; the object's class must have SQLite (`new_sqlite_classes`)
   * @param appended called after entries were written
   * @throws {SnapshotError} `CORRUPT` if it is no log, or its first entry is missing; `UNAVAILABLE` without SQLite
   */
  static async open(storage: DurableSqlStorage, appended: () => void = () => {}): Promise<DurableObjectLog> {
    able("the storage of a Durable Object", "transactionSync", "sync")(storage, "storage");
    checkFunction(appended, "appended");
    return new DurableObjectLog(new DurableObjectTables(storage, appended));
  }
}

/** The tables of a log in the storage of a Durable Object. */
class DurableObjectTables implements SqlTables<DurableRow> {
  readonly name = TABLE;
  readonly #storage: DurableSqlStorage;
  readonly #parts: DataParts;
  readonly #appended: () => void;
  /** Bytes of data of all entries ever appended, up to and with the last; and those before the first. */
  #total: number;
  #totalBefore: number;
  /** The failure after which it is not known what is in the storage. */
  #failure: SnapshotError | undefined;

  constructor(storage: DurableSqlStorage, appended: () => void) {
    this.#storage = storage;
    this.#appended = appended;
    this.#parts = new DataParts(storage, TABLE);
    this.#transaction("open", () => {
      storage.sql.exec(`
        CREATE TABLE IF NOT EXISTS ${TABLE} (idx INTEGER PRIMARY KEY, term INTEGER NOT NULL, data BLOB NOT NULL,
          rest INTEGER NOT NULL, configuration TEXT, total INTEGER NOT NULL, time INTEGER);
        CREATE TABLE IF NOT EXISTS snapstream_base (id INTEGER PRIMARY KEY CHECK (id = 0), idx INTEGER NOT NULL,
          term INTEGER NOT NULL, total INTEGER NOT NULL);
        INSERT OR IGNORE INTO snapstream_base VALUES (0, 0, 0, 0);
        CREATE TABLE IF NOT EXISTS snapstream_group (id INTEGER PRIMARY KEY CHECK (id = 0), name TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS snapstream_digest (id INTEGER PRIMARY KEY CHECK (id = 0), idx INTEGER NOT NULL,
          digest BLOB NOT NULL);
      `);
      const columns = storage.sql.exec(`SELECT name FROM pragma_table_info('${TABLE}')`).toArray();
      if (!columns.some(({ name }) => name === "time")) { // a release before this one made none
        storage.sql.exec(`ALTER TABLE ${TABLE} ADD COLUMN time INTEGER`);
      }
      DataParts.create(storage);
    });
    this.#totalBefore = totalOf(this.#one("SELECT total FROM snapstream_base")?.["total"], TABLE);
    const last = this.#one(`SELECT total FROM ${TABLE} ORDER BY idx DESC LIMIT 1`);
    this.#total = last === undefined ? this.#totalBefore : totalOf(last["total"], TABLE, this.#totalBefore);
  }

  get byteLength(): number {
    return this.#total - this.#totalBefore;
  }

  bounds(): SqlBounds {
    return {
      base: positionOf(this.#one(`SELECT ${POSITION} FROM snapstream_base`)) ?? {},
      first: positionOf(this.#one(`SELECT CAST(min(idx) AS TEXT) AS idx FROM ${TABLE}`))?.idx,
      last: positionOf(this.#one(`SELECT ${POSITION} FROM ${TABLE} ORDER BY ${TABLE}.idx DESC LIMIT 1`)),
    };
  }

  group(): SqlRow | undefined {
    return this.#one("SELECT name FROM snapstream_group");
  }

  setGroup(name: string): void {
    this.#transaction("name the group of", () => {
      this.#storage.sql.exec("INSERT INTO snapstream_group VALUES (0, ?)", name);
    });
  }

  digest(): SqlDigest | undefined {
    const row = this.#one("SELECT CAST(idx AS TEXT) AS idx, digest FROM snapstream_digest");
    if (row === undefined) return undefined;
    const digest = row["digest"];
    return { idx: integerOf(row["idx"]), digest: digest instanceof ArrayBuffer ? new Uint8Array(digest) : undefined };
  }

  setDigest(index: bigint, digest: Uint8Array): void {
    this.#transaction("append to", () => this.#writeDigest(index, digest));
  }

  #writeDigest(index: bigint, digest: Uint8Array): void {
    this.#storage.sql.exec("INSERT OR REPLACE INTO snapstream_digest VALUES (0, ?, ?)", String(index), digest);
  }

  rows(from: bigint): DurableRow[] {
    const rows = this.#query(
      `SELECT ${POSITION}, data, rest, configuration, time FROM ${TABLE} WHERE idx >= ? ORDER BY ${TABLE}.idx LIMIT ?`,
      String(from),
      READ_BATCH,
    );
    return rows.map(({ data, configuration, rest, time, ...position }) => ({
      ...positionOf(position)!,
      data: data instanceof ArrayBuffer ? new Uint8Array(data) : undefined,
      configuration,
      rest,
      time: typeof time === "number" && Number.isSafeInteger(time) ? BigInt(time) : time,
    }));
  }

  whole(entry: LogEntry, { rest }: DurableRow): LogEntry {
    const { index, term, data, time, configuration } = entry;
    return rest === 0 ? entry : new Entry(index, term, this.#parts.read(index, data, rest), time, configuration);
  }

  term(index: bigint): unknown {
    return positionOf(this.#one(`SELECT ${POSITION} FROM ${TABLE} WHERE idx = ?`, String(index)))?.term;
  }

  insert(entries: readonly LogEntry[]): void {
    let total = this.#total;
    this.#transaction("append to", () => {
      for (let at = 0; at < entries.length; at += WRITE_BATCH) {
        const rows: SqlValue[][] = [];
        for (const { index, term, data, configuration, time = null } of entries.slice(at, at + WRITE_BATCH)) {
          total += data.length;
          const rest = this.#parts.write(index, data);
          const peers = configuration === undefined ? null : JSON.stringify(configuration);
          rows.push([String(index), String(term), data.subarray(0, FIRST_PART), rest, peers, total, time]);
        }
        const values = rows.map(() => "(?, ?, ?, ?, ?, ?, ?)").join();
        this.#storage.sql.exec(
          `INSERT INTO ${TABLE} (idx, term, data, rest, configuration, total, time) VALUES ${values}`,
          ...rows.flat(),
        );
      }
    });
    this.#total = total;
  }

  batch(first: bigint, target: bigint): SqlBatch {
    const limit = first + PURGE_BATCH - 1n;
    const upTo = limit < target ? limit : target;
    const total = this.#one(`SELECT total FROM ${TABLE} WHERE idx = ?`, String(upTo))?.["total"];
    return { upTo, bytes: totalOf(total, TABLE, this.#totalBefore) - this.#totalBefore };
  }

  drop({ upTo, bytes }: SqlBatch, term: bigint, digest: Uint8Array | undefined): void {
    this.#replace("purge", upTo, term, this.#totalBefore + bytes, () => {
      this.#storage.sql.exec(`DELETE FROM ${TABLE} WHERE idx <= ?`, String(upTo));
      this.#parts.drop(upTo);
      if (digest !== undefined) this.#writeDigest(upTo, digest);
    });
  }

  clear(index: bigint, term: bigint): void {
    this.#replace("reset", index, term, 0, () => {
      this.#storage.sql.exec(`DELETE FROM ${TABLE}`);
      this.#parts.drop();
    });
    this.#total = 0;
  }

  /** Waits until all writes are durable. If that fails it is unknown which are; mostly the object is reset then. */
  async written(how: SqlWrite): Promise<void> {
    if (how === "append to") this.#appended(); // the log says by now what it has
    try {
      await this.#storage.sync();
    } catch (error) {
      throw this.#failure = wrap(error, how === "drop" ? "purge" : how, TABLE);
    }
  }

  check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  close(): void {}

  /** Drops entries, and sets what comes before the first one that is left. */
  #replace(what: string, index: bigint, term: bigint, total: number, drop: () => void): void {
    this.#transaction(what, () => {
      drop();
      const base = "UPDATE snapstream_base SET idx = ?, term = ?, total = ?";
      this.#storage.sql.exec(base, String(index), String(term), total);
    });
    this.#totalBefore = total;
  }

  #one(sql: string, ...bindings: SqlValue[]): SqlRow | undefined {
    return this.#query(sql, ...bindings)[0];
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
}

/** The index and the term of a row, which are text there. */
function positionOf(row: SqlRow | undefined): { readonly idx: unknown; readonly term: unknown } | undefined {
  return row && { idx: integerOf(row["idx"]), term: integerOf(row["term"]) };
}
