/**
 * Tables of RocksDB: blocks of keys in order, each with a check, and an index of the blocks.
 *
 * ```text
 * table  ends with check u8, { offset varint, size varint } twice: of the meta index, and of the index; padding;
 *        version u32le, magic u64le; 53 bytes in all
 * block  is followed by its compression u8, and a masked CRC-32C u32le of both, if the check is 1
 *        = entries, n times u32le where one begins whose key is whole, n u32le
 * entry  = { bytes shared with the key before varint, bytes that follow varint, bytes of the value varint }, both;
 *          in an index without the last: a value there is { offset varint, size varint }
 * key    = key, type u8, sequence number 56 bits, little-endian
 * ```
 *
 * @module
 */

import { SnapshotError } from "../../../errors.ts";
import { concat } from "../../../stream/mod.ts";
import { maskedCrc } from "../../bytes/crc.ts";
import { Cursor } from "../../bytes/cursor.ts";
import { PieceReader } from "../../bytes/piece_reader.ts";
import type { Handle } from "../handles.ts";
import type { Layout } from "../layout.ts";
import { uncompress } from "../snappy.ts";

const FOOTER = 53;
const MAGIC = 0x88e2_41b7_85f4_cff7n;
const CRC32C = 1;
/** The check behind a block, with its compression. */
const TRAILER = 5;
/** The most bytes of a block, packed and unpacked: one has a value at least, and an index has all blocks. */
const MAX_BLOCK = 64 * 1024 * 1024;
const [PLAIN, SNAPPY] = [0, 1];
/** The versions in which an index has no lengths of its values. */
const [OLDEST, NEWEST] = [4, 5];
const RANGES = "rocksdb.range_del";

/** The changes of a key, by RocksDB's numbers. */
export const Change = { DELETE: 0, PUT: 1, MERGE: 2, SINGLE_DELETE: 7 } as const;

/** An entry of a table: what is done to a key. */
export interface TableEntry {
  readonly key: Uint8Array;
  /** Counts the changes of the database. */
  readonly sequence: bigint;
  readonly change: number;
  readonly value: Uint8Array;
}

/** Where a block is. */
interface Block {
  readonly offset: number;
  readonly size: number;
  /** A key that none of its keys is behind, or the name of what it has else. */
  readonly last: Uint8Array;
}

/** A table that is open. */
export class Table {
  readonly #layout: Layout;
  readonly #handle: Handle;
  readonly #name: string;
  /** Whether its blocks can be read: why not. */
  readonly #unreadable: string | undefined;
  readonly #blocks: readonly Block[];
  /** The blocks that have no keys: filters, and what is said of the table. */
  readonly #others: readonly Block[];

  private constructor(
    layout: Layout,
    handle: Handle,
    unreadable: string | undefined,
    blocks: readonly Block[] = [],
    others: readonly Block[] = [],
  ) {
    this.#layout = layout;
    this.#handle = handle;
    this.#name = layout.nameOf(handle);
    this.#unreadable = unreadable;
    this.#blocks = blocks;
    this.#others = others;
  }

  /** Opens one: reads its end and its two indices, which are checked. */
  static async open(layout: Layout, handle: Handle, signal: AbortSignal | undefined): Promise<Table> {
    const name = layout.nameOf(handle);
    const read = (start: number, end: number) => layout.readWhole(handle, start, end, signal);
    if (handle.size < FOOTER) throw damaged(name, `it has ${handle.size} bytes`);
    const footer = new Cursor(await read(handle.size - FOOTER, handle.size), name);
    footer.at = FOOTER - 12;
    const version = footer.u32(true);
    if (footer.u64(true) !== MAGIC) throw damaged(name, "it does not end as one");
    footer.at = 0;
    if (footer.u8() !== CRC32C) return new Table(layout, handle, "its check is none that is known");
    const indices: Uint8Array[] = [];
    for (let index = 0; index < 2; index++) {
      const { offset, size } = blockHandle(footer);
      if (size > MAX_BLOCK || offset + size + TRAILER > handle.size - FOOTER) {
        throw damaged(name, "an index is not inside of it");
      }
      indices.push(unpack(await read(offset, offset + size + TRAILER), name));
    }
    if (version < OLDEST || version > NEWEST) {
      return new Table(layout, handle, `it is of version ${version}; ${OLDEST} to ${NEWEST} are known`);
    }
    if (footer.bytes(FOOTER - 12 - footer.at).some((byte) => byte !== 0)) {
      throw damaged(name, "its end has been changed");
    }
    const blocks: Block[] = [];
    const others: Block[] = [];
    let least = 0;
    const add = (to: Block[], last: Uint8Array, cursor: Cursor) => {
      const block = { ...blockHandle(cursor), last };
      if (block.offset < least || block.size > MAX_BLOCK || block.offset + block.size + TRAILER > handle.size) {
        throw damaged(name, "a block is not where it should be");
      }
      to.push(block);
      return block.offset + block.size + TRAILER;
    };
    for (const { key, cursor } of entriesOf(indices[1]!, name)) least = add(blocks, key, cursor);
    for (const { key, cursor } of entriesOf(indices[0]!, name, true)) add(others, key, cursor);
    const hasRanges = others.some(({ last }) => new TextDecoder().decode(last) === RANGES);
    return new Table(layout, handle, hasRanges ? "ranges of its keys were deleted" : undefined, blocks, others);
  }

  /**
   * Its entries in the order of their keys, the newest of a key first; each block is checked before they are given.
   *
   * @param from the blocks whose keys are all before it are passed over
   * @throws {SnapshotError} `UNSUPPORTED` where its blocks are compressed by something else than Snappy
   */
  async *entries(from?: Uint8Array, signal?: AbortSignal): AsyncGenerator<TableEntry, void, undefined> {
    if (this.#unreadable !== undefined) throw unsupported(this.#name, this.#unreadable);
    const first = from === undefined ? 0 : this.#blocks.findIndex(({ last }) => compareTo(last, from) >= 0);
    for await (const block of this.#read(first < 0 ? [] : this.#blocks.slice(first), signal)) {
      const bytes = unpack(block, this.#name);
      for (const { key, cursor } of entriesOf(bytes, this.#name, true)) {
        if (key.length < 8) throw damaged(this.#name, "a key has no number");
        const number = new DataView(key.buffer, key.byteOffset).getBigUint64(key.length - 8, true);
        yield {
          key: key.subarray(0, -8),
          sequence: number >> 8n,
          change: Number(number & 0xffn),
          value: cursor.bytes(cursor.left),
        };
      }
    }
  }

  /** Checks all of its blocks. Returns why their entries cannot be read, if they cannot. */
  async check(signal?: AbortSignal): Promise<string | undefined> {
    for await (const block of this.#read(this.#blocks, signal)) checkBlock(block, this.#name);
    const others = this.#others.toSorted((a, b) => a.offset - b.offset);
    for await (const block of this.#read(others, signal)) checkBlock(block, this.#name);
    return this.#unreadable;
  }

  /** Some blocks with their trailers, which are one behind the other. */
  async *#read(blocks: readonly Block[], signal?: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    const [first, last] = [blocks[0], blocks.at(-1)];
    if (first === undefined || last === undefined) return;
    const pieces = this.#layout.read(this.#handle, first.offset, last.offset + last.size + TRAILER, signal);
    const reader = new PieceReader(pieces, this.#name);
    try {
      for (const { offset, size } of blocks) {
        if (offset < first.offset + reader.position) throw damaged(this.#name, "a block is not where it should be");
        await reader.skip(offset - first.offset - reader.position);
        yield await reader.exactly(size + TRAILER);
      }
    } finally {
      await reader.close();
    }
  }
}

/** The order of a block's last key, which may be shortened, and a key that is looked for. */
function compareTo(last: Uint8Array, key: Uint8Array): number {
  for (let i = 0; i < key.length; i++) if (last[i] !== key[i]) return (last[i] ?? -1) - key[i]!;
  return 0;
}

function damaged(name: string, message: string): SnapshotError {
  return new SnapshotError("CORRUPT", `${JSON.stringify(name)} is no whole table of RocksDB: ${message}`, {
    file: name,
  });
}

function unsupported(name: string, message: string): SnapshotError {
  return new SnapshotError("UNSUPPORTED", `The table ${JSON.stringify(name)} cannot be read: ${message}`, {
    file: name,
  });
}

function blockHandle(cursor: Cursor): { offset: number; size: number } {
  return { offset: Number(cursor.varint()), size: Number(cursor.varint()) };
}

function checkBlock(block: Uint8Array, name: string): void {
  const end = block.length - TRAILER + 1;
  const expected = new DataView(block.buffer, block.byteOffset).getUint32(end, true);
  if (maskedCrc(block.subarray(0, end)) !== expected) throw damaged(name, "a block does not have its CRC-32C");
}

function unpack(block: Uint8Array, name: string): Uint8Array {
  checkBlock(block, name);
  const packed = block.subarray(0, -TRAILER);
  const compression = block[packed.length];
  if (compression === PLAIN) return packed;
  if (compression === SNAPPY) return uncompress(packed, name, MAX_BLOCK);
  throw unsupported(name, `its blocks are compressed in the way ${compression}, and not by Snappy`);
}

/** The entries of a block: their keys, and a cursor at their values; of an index one that goes on behind them. */
function* entriesOf(
  block: Uint8Array,
  name: string,
  withLengths = false,
): Generator<{ readonly key: Uint8Array; readonly cursor: Cursor }, void, undefined> {
  const whole = new Cursor(block, name, Math.max(block.length - 4, 0));
  const count = whole.u32(true) & 0x7fff_ffff; // the first bit: there is a table of hashes
  const end = block.length - 4 - 4 * count;
  if (end < 0) throw damaged(name, "a block is shorter than it says");
  const cursor = new Cursor(block.subarray(0, end), name);
  let key: Uint8Array = new Uint8Array(0);
  while (cursor.left > 0) {
    const [shared, more] = [Number(cursor.varint()), Number(cursor.varint())];
    const length = withLengths ? Number(cursor.varint()) : undefined;
    if (shared > key.length) throw damaged(name, "a key begins with more than the one before it has");
    key = concat([key.subarray(0, shared), cursor.bytes(more)]);
    if (length === undefined) yield { key, cursor };
    else yield { key, cursor: new Cursor(cursor.bytes(length), name) };
  }
}
