/**
 * Data that is too long for one row of a Durable Object's storage (2 MB), in several rows.
 *
 * @module
 */

import { concat } from "../stream/mod.ts";
import type { DurableSqlStorage } from "./sql_storage.ts";
import { damaged, wrap } from "../log/mod.ts";

/** Bytes of an entry's data in its own row. Small, since many such rows are read at once. */
export const FIRST_PART: number = 16 * 1024;
/** Bytes in each further row. */
const PART = 1024 * 1024;

/** The data of entries behind their first part. */
export class DataParts {
  readonly #storage: DurableSqlStorage;
  readonly #name: string;

  /**
   * @param storage where they are
   * @param name the log's name, for messages
   */
  constructor(storage: DurableSqlStorage, name: string) {
    this.#storage = storage;
    this.#name = name;
  }

  /** Makes their table if there is none. */
  static create(storage: DurableSqlStorage): void {
    storage.sql.exec(`CREATE TABLE IF NOT EXISTS snapstream_parts
      (idx INTEGER, part INTEGER, data BLOB NOT NULL, PRIMARY KEY (idx, part)) WITHOUT ROWID`);
  }

  /** Writes the bytes that do not fit into the entry's own row, and returns their number. */
  write(index: bigint, data: Uint8Array): number {
    for (let at = FIRST_PART, part = 0; at < data.length; at += PART, part++) {
      const bytes = data.subarray(at, at + PART);
      this.#storage.sql.exec("INSERT INTO snapstream_parts VALUES (?, ?, ?)", String(index), part, bytes);
    }
    return Math.max(data.length - FIRST_PART, 0);
  }

  /**
   * Puts the data of an entry together.
   *
   * @param index the entry
   * @param first the bytes of its own row
   * @param rest the number of further bytes, as its own row says
   * @throws {SnapshotError} `CORRUPT` if there is another number of them
   */
  read(index: bigint, first: Uint8Array, rest: unknown): Uint8Array {
    const parts: Uint8Array[] = [first];
    let length = 0;
    for (let part = 0; typeof rest === "number" && length < rest; part++) {
      const bytes = this.#part(index, part);
      if (bytes === undefined) break;
      parts.push(bytes);
      length += bytes.length;
    }
    if (length === rest) return concat(parts);
    throw damaged(this.#name, `entry ${index} has ${length} bytes in further rows and should have ${rest}`, index);
  }

  /** Drops the parts of all entries up to and with an index; without one, of all entries. */
  drop(upTo?: bigint): void {
    if (upTo === undefined) this.#storage.sql.exec("DELETE FROM snapstream_parts");
    else this.#storage.sql.exec("DELETE FROM snapstream_parts WHERE idx <= ?", String(upTo));
  }

  /** Reads one part, not several: they are large. */
  #part(index: bigint, part: number): Uint8Array | undefined {
    try {
      const query = "SELECT data FROM snapstream_parts WHERE idx = ? AND part = ?";
      const [row] = this.#storage.sql.exec(query, String(index), part).toArray();
      return row?.["data"] instanceof ArrayBuffer ? new Uint8Array(row["data"]) : undefined;
    } catch (error) {
      throw wrap(error, "read", this.#name);
    }
  }
}
