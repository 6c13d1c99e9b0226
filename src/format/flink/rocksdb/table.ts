/**
 * Tables of RocksDB: blocks of keys in order (see `blocks.ts`), and an index of the blocks.
 *
 * ```text
 * table  ends with check u8, { offset varint, size varint } twice: of the meta index, and of the index; padding;
 *        version u32le, magic u64le; 53 bytes in all
 * meta index = names of other blocks: filters, of which there may be an index, too; ranges that were deleted;
 *        properties, which say whether the index is an index of indices
 * key    = key, type u8, sequence number 56 bits, little-endian
 * ```
 *
 * @module
 */

import { Cursor } from "../../bytes/cursor.ts";
import type { Handle } from "../handles.ts";
import type { Layout } from "../layout.ts";
import { type Block, Blocks, damaged, unsupported } from "./blocks.ts";

const FOOTER = 53;
const NOTHING = new Uint8Array(0);
const MAGIC = 0x88e2_41b7_85f4_cff7n;
/** The versions in which an index has no lengths of its values. */
const [OLDEST, NEWEST] = [4, 5];
const RANGES = "rocksdb.range_del";
const PROPERTIES = "rocksdb.properties";
/** What the names of filters begin with that are an index of filters. */
const DIVIDED_FILTER = "partitionedfilter.";
const INDEX_TYPE = "rocksdb.block.based.table.index.type";
/** The types of an index: its blocks are those of keys, or are indices of those; others say more of each block. */
const [SEARCHED, HASHED, DIVIDED] = [0, 1, 2];

/** The changes of a key, by RocksDB's numbers. */
export const Change = { DELETE: 0, PUT: 1, MERGE: 2, SINGLE_DELETE: 7 } as const;
const CHANGES: ReadonlySet<number> = new Set(Object.values(Change));

/** An entry of a table: what is done to a key. */
export interface TableEntry {
  readonly key: Uint8Array;
  /** Counts the changes of the database. */
  readonly sequence: bigint;
  readonly change: number;
  readonly value: Uint8Array;
}

/** Keys that were deleted together: from the first up to the end, which is not one of them. */
export interface Deleted {
  readonly first: Uint8Array;
  readonly end: Uint8Array;
}

/** A table that is open. */
export class Table {
  readonly #blocks: Blocks;
  readonly #keys: readonly Block[];
  /** The blocks that have no keys: filters, parts of an index, and what is said of the table. */
  readonly #others: readonly Block[];
  /** The ranges of keys of which older changes count no more, in this table and in others. */
  readonly deleted: readonly Deleted[];

  private constructor(blocks: Blocks, keys: readonly Block[], others: readonly Block[], deleted: readonly Deleted[]) {
    this.#blocks = blocks;
    this.#keys = keys;
    this.#others = others;
    this.deleted = deleted;
  }

  /**
   * Opens one: reads its end and its indices, which are checked.
   *
   * @throws {SnapshotError} `UNSUPPORTED` if its keys cannot be read
   */
  static async open(layout: Layout, handle: Handle, signal: AbortSignal | undefined): Promise<Table> {
    const name = layout.nameOf(handle);
    if (handle.size < FOOTER) throw damaged(name, `it has ${handle.size} bytes`);
    const footer = new Cursor(await layout.readWhole(handle, handle.size - FOOTER, handle.size, signal), name);
    footer.at = FOOTER - 12;
    const version = footer.u32(true);
    if (footer.u64(true) !== MAGIC) throw damaged(name, "it does not end as one");
    if (version < OLDEST || version > NEWEST) {
      throw unsupported(name, `it is of version ${version}; ${OLDEST} to ${NEWEST} are known`);
    }
    footer.at = 0;
    const blocks = new Blocks(layout, handle, footer.u8());
    const [metaIndex, index] = [blocks.at(footer, NOTHING), blocks.at(footer, NOTHING)];
    if (footer.bytes(FOOTER - 12 - footer.at).some((byte) => byte !== 0)) {
      throw damaged(name, "its end has been changed");
    }
    const others: Block[] = [];
    for await (const { key, cursor } of blocks.entries([metaIndex], signal)) others.push(blocks.at(cursor, key));
    const named = (name: string) => others.filter(({ last }) => textOf(last).startsWith(name)).sort(byOffset);
    const type = await indexType(blocks, named(PROPERTIES), signal);
    if (![SEARCHED, HASHED, DIVIDED].includes(type)) throw unsupported(name, `its index is of the type ${type}`);
    const indices = type === DIVIDED ? await blocks.listed([index], signal) : [index];
    const filters = await blocks.listed(named(DIVIDED_FILTER), signal);
    const deleted: Deleted[] = [];
    for await (const { key, cursor } of blocks.entries(named(RANGES), signal)) {
      deleted.push({ first: key.subarray(0, -8), end: cursor.bytes(cursor.left) });
    }
    const keys = await blocks.listed(indices, signal);
    return new Table(blocks, keys, [...others, ...filters].sort(byOffset), deleted);
  }

  /**
   * Its entries in the order of their keys, the newest of a key first; each block is checked before they are given.
   *
   * @param from the blocks whose keys are all before it are passed over
   * @throws {SnapshotError} `UNSUPPORTED` where its blocks are compressed by something else than Snappy
   */
  async *entries(from?: Uint8Array, signal?: AbortSignal): AsyncGenerator<TableEntry, void, undefined> {
    const first = from === undefined ? 0 : this.#keys.findIndex(({ last }) => compareTo(last, from) >= 0);
    for await (const { key, cursor } of this.#blocks.entries(first < 0 ? [] : this.#keys.slice(first), signal)) {
      if (key.length < 8) throw damaged(this.#blocks.name, "a key has no number");
      const number = new DataView(key.buffer, key.byteOffset).getBigUint64(key.length - 8, true);
      const change = Number(number & 0xffn);
      if (!CHANGES.has(change)) throw unsupported(this.#blocks.name, `it has a change of the type ${change}`);
      yield {
        key: key.subarray(0, -8),
        sequence: number >> 8n,
        change,
        value: cursor.bytes(cursor.left),
      };
    }
  }

  /** Checks all of its blocks. */
  async check(signal?: AbortSignal): Promise<void> {
    for (const blocks of [this.#keys, this.#others]) {
      for await (const _ of this.#blocks.read(blocks, signal)); // reading checks
    }
  }
}

/** What the properties say of the index. */
async function indexType(blocks: Blocks, properties: readonly Block[], signal?: AbortSignal): Promise<number> {
  let type = SEARCHED;
  for await (const { key, cursor } of blocks.entries(properties, signal)) {
    if (textOf(key) === INDEX_TYPE) type = cursor.u32(true);
  }
  return type;
}

/** The order of a block's last key, which may be shortened, and a key that is looked for. */
function compareTo(last: Uint8Array, key: Uint8Array): number {
  for (let i = 0; i < key.length; i++) if (last[i] !== key[i]) return (last[i] ?? -1) - key[i]!;
  return 0;
}

const byOffset = (a: Block, b: Block) => a.offset - b.offset;

function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
