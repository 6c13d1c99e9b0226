/**
 * Database files of SQLite, read page by page.
 *
 * ```text
 * page 1 = header of 100 bytes, then a page of the schema
 * page   = kind u8 (2, 5: inner; 10, 13: leaf), free u16, cells u16, content u16, fragments u8, inner: right child u32;
 *          cell pointers u16*; big-endian
 * table  = leaf: size varint, row varint, record         inner: child u32, row varint
 * index  = leaf: size varint, record                     inner: child u32, size varint, record
 * ```
 *
 * Nothing has a checksum: it is checked that pages fit together.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { concat } from "../../stream/mod.ts";
import { PageSet } from "../bytes/page_set.ts";
import { readExactly, type SourceFile } from "../files.ts";
import { parseRecord, type SqliteValue, varint } from "./record.ts";

/** The first bytes of a database. */
export const MAGIC = "SQLite format 3\0";
/** The bytes of the header. */
export const HEADER = 100;
const MAX_DEPTH = 50;
/** The most bytes of a row that are read into memory. */
const MAX_ROW = 32 * 1024 * 1024;

/** The header of a database. */
export interface SqliteHeader {
  readonly pageSize: number;
  readonly usable: number;
  readonly pages: number;
  readonly encoding: "utf-8" | "utf-16le" | "utf-16be";
  readonly wal: boolean;
  readonly userVersion: number;
  readonly applicationId: number;
  readonly firstFree: number;
  readonly freePages: number;
  readonly autoVacuum: boolean;
}

/** A table or an index. */
export interface SqliteTree {
  readonly kind: string;
  readonly name: string;
  readonly root: number;
  readonly sql: string;
}

/** A row: its number, if the table has them, and its columns. */
export interface SqliteRow {
  readonly row: bigint | undefined;
  readonly columns: readonly SqliteValue[];
}

/** Reads the header. */
export function parseHeader(bytes: Uint8Array, size: number, file: string): SqliteHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const corrupt = (what: string) =>
    new SnapshotError("CORRUPT", `${JSON.stringify(file)} is damaged: ${what}`, { file });
  if (bytes.length < HEADER) throw corrupt("it is shorter than the header of a database");
  const raw = view.getUint16(16);
  const pageSize = raw === 1 ? 65_536 : raw;
  if (pageSize < 512 || (pageSize & pageSize - 1) !== 0) throw corrupt(`a page cannot have ${pageSize} bytes`);
  const usable = pageSize - view.getUint8(20);
  if (usable < 480 || view.getUint8(21) !== 64 || view.getUint8(22) !== 32 || view.getUint8(23) !== 32) {
    throw corrupt("the fractions of its pages are not those of any version");
  }
  const said = view.getUint32(24) === view.getUint32(92) ? view.getUint32(28) : 0;
  const pages = said || size / pageSize; // before 3.7 it was not said
  if (size < pages * pageSize || size % pageSize !== 0) {
    throw new SnapshotError(
      "CORRUPT",
      `${JSON.stringify(file)} has ${size} bytes, not ${pages * pageSize}: it was cut short`,
      {
        file,
        expected: pages * pageSize,
        actual: size,
      },
    );
  }
  const encoding = (["utf-8", "utf-16le", "utf-16be"] as const)[view.getUint32(56) - 1];
  if (encoding === undefined) throw corrupt("its texts have an encoding that there is not");
  return {
    ...{ pageSize, usable, pages, encoding, wal: view.getUint8(18) === 2 },
    ...{ userVersion: view.getInt32(60), applicationId: view.getUint32(68) },
    ...{ firstFree: view.getUint32(32), freePages: view.getUint32(36), autoVacuum: view.getUint32(52) !== 0 },
  };
}

/** A database. */
export class SqliteDatabase {
  readonly #file: SourceFile;
  readonly #name: string;
  readonly #onPage: (bytes: number) => void;
  readonly #seen: PageSet;
  /** Its header. */
  readonly header: SqliteHeader;

  private constructor(file: SourceFile, name: string, header: SqliteHeader, onPage: (bytes: number) => void) {
    this.#file = file;
    this.#name = name;
    this.#onPage = onPage;
    this.#seen = new PageSet(header.pages + 1);
    this.header = header;
  }

  /** Opens a database, of which each page may be read once: one that is met twice is damage. */
  static async open(file: SourceFile, name: string, onPage: (bytes: number) => void): Promise<SqliteDatabase> {
    const header = await file.read(0, Math.min(HEADER, file.size));
    return new SqliteDatabase(file, name, parseHeader(header, file.size, name), onPage);
  }

  /** The schema: all tables and indices that have pages. */
  async trees(): Promise<SqliteTree[]> {
    const trees: SqliteTree[] = [];
    for await (const { columns } of this.rows(1)) {
      const [kind, name, , root, sql] = columns;
      if (typeof root !== "bigint" || root === 0n) continue; // a view, a trigger or a virtual table
      if (root > BigInt(this.header.pages)) throw this.#corrupt(1, "a table begins behind the last page");
      trees.push({ kind: String(kind), name: String(name), root: Number(root), sql: String(sql ?? "") });
      if (trees.length > 100_000) throw this.#corrupt(1, "it has more tables than there can be");
    }
    return trees;
  }

  /** The rows of a tree, in the order of their keys. */
  async *rows(page: number, depth = 0): AsyncGenerator<SqliteRow, void, undefined> {
    if (depth > MAX_DEPTH) throw this.#corrupt(page, "it is deeper than any tree of SQLite");
    const bytes = await this.#page(page);
    const at = page === 1 ? HEADER : 0;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const kind = view.getUint8(at);
    const [isInner, isTable] = [kind === 2 || kind === 5, kind === 5 || kind === 13];
    if (!isInner && kind !== 10 && kind !== 13) throw this.#corrupt(page, "it is of no kind that there is");
    const pointers = at + (isInner ? 12 : 8);
    const count = view.getUint16(at + 3);
    if (pointers + count * 2 > this.header.usable) throw this.#corrupt(page, "its cells are behind its end");
    for (let i = 0; i < count; i++) {
      let cell = view.getUint16(pointers + i * 2);
      if (cell < pointers + count * 2 || cell + 4 > this.header.usable) {
        throw this.#corrupt(page, "a cell is behind its end");
      }
      if (isInner) {
        yield* this.rows(this.#inside(view.getUint32(cell), page), depth + 1);
        cell += 4;
        if (isTable) continue;
      }
      yield await this.#row(bytes, cell, isTable, page);
    }
    if (isInner) yield* this.rows(this.#inside(view.getUint32(at + 8), page), depth + 1);
  }

  /** Reads the list of free pages, none of which may be in use. */
  async checkFree(): Promise<void> {
    let left = this.header.freePages;
    for (let trunk = this.header.firstFree; trunk !== 0;) {
      const bytes = await this.#page(this.#inside(trunk, 1));
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const count = view.getUint32(4);
      if (8 + count * 4 > this.header.usable) throw this.#corrupt(trunk, "its list of free pages is longer than it");
      for (let i = 0; i < count; i++) this.#mark(this.#inside(view.getUint32(8 + i * 4), trunk));
      left -= count + 1;
      trunk = view.getUint32(0);
    }
    if (left !== 0) throw this.#corrupt(1, "it has not as many free pages as it says");
  }

  async #row(bytes: Uint8Array, cell: number, isTable: boolean, page: number): Promise<SqliteRow> {
    const size = varint(bytes, cell);
    const row = size && isTable ? varint(bytes, size.end) : undefined;
    const start = (row ?? size)?.end;
    if (size === undefined || start === undefined) throw this.#corrupt(page, "a cell has no size");
    const length = Number(size.value);
    if (size.value > BigInt(MAX_ROW)) {
      throw new SnapshotError(
        "UNSUPPORTED",
        `${JSON.stringify(this.#name)} has a row of ${size.value} bytes, over ${MAX_ROW}`,
        {
          file: this.#name,
        },
      );
    }
    const payload = await this.#payload(bytes, start, length, isTable, page);
    const columns = parseRecord(payload, this.header.encoding);
    if (columns === undefined) throw this.#corrupt(page, "a row is not what its header says");
    return { row: row?.value, columns };
  }

  /** The bytes of a row: on its page, and on those that it overflows to. */
  async #payload(
    bytes: Uint8Array,
    start: number,
    length: number,
    isTable: boolean,
    page: number,
  ): Promise<Uint8Array> {
    const { usable } = this.header;
    const most = isTable ? usable - 35 : Math.floor((usable - 12) * 64 / 255) - 23;
    const least = Math.floor((usable - 12) * 32 / 255) - 23;
    const spread = least + (length - least) % (usable - 4);
    const here = length <= most ? length : spread <= most ? spread : least;
    if (start + here + (here < length ? 4 : 0) > usable) throw this.#corrupt(page, "a row is behind its end");
    if (here === length) return bytes.subarray(start, start + length);
    const parts = [bytes.subarray(start, start + here)];
    const after = start + here;
    let next = new DataView(bytes.buffer, bytes.byteOffset + after, 4).getUint32(0);
    for (let left = length - here; left > 0;) {
      const more = await this.#page(this.#inside(next, page));
      const part = more.subarray(4, Math.min(usable, 4 + left));
      parts.push(part);
      left -= part.length;
      next = new DataView(more.buffer, more.byteOffset, 4).getUint32(0);
    }
    return concat(parts);
  }

  #inside(page: number, from: number): number {
    if (page > 1 && page <= this.header.pages) return page;
    throw this.#corrupt(from, "a page that it names is none");
  }

  #mark(page: number): void {
    if (!this.#seen.add(page)) throw this.#corrupt(page, "it is in two places");
  }

  async #page(page: number): Promise<Uint8Array> {
    this.#mark(page);
    const { pageSize } = this.header;
    this.#onPage(pageSize);
    return await readExactly(this.#file, (page - 1) * pageSize, page * pageSize, this.#name);
  }

  #corrupt(page: number, what: string): SnapshotError {
    return new SnapshotError("CORRUPT", `Page ${page} of ${JSON.stringify(this.#name)} is damaged: ${what}`, {
      file: this.#name,
    });
  }
}
