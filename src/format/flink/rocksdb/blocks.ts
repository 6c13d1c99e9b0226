/**
 * The blocks of a table of RocksDB, each of which is checked before anything of it is used.
 *
 * ```text
 * block  is followed by its compression u8, and a check u32le of both: 1, a masked CRC-32C; 4, the low half of XXH3
 *        = entries, n times u32le where one begins whose key is whole, n u32le
 * entry  = { bytes shared with the key before varint, bytes that follow varint, bytes of the value varint }, both;
 *          in an index without the last: a value there is { offset varint, size varint }
 * ```
 *
 * @module
 */

import { SnapshotError } from "../../../errors.ts";
import { concat } from "../../../stream/mod.ts";
import { maskedCrc } from "../../bytes/crc.ts";
import { Cursor } from "../../bytes/cursor.ts";
import { PieceReader } from "../../bytes/piece_reader.ts";
import { xxh3 } from "../../bytes/xxh3.ts";
import type { Handle } from "../handles.ts";
import type { Layout } from "../layout.ts";
import { uncompress } from "../snappy.ts";

/** The checks by their numbers: the second is RocksDB's own choice since version 7, and so Flink's since 2.0. */
const [CRC32C, XXH3] = [1, 4] as const;
/** What a check combines the last byte with, which is the compression. */
const LAST_BYTE = 0x6b90_83d9;
/** The compression and the check behind a block. */
const TRAILER = 5;
/** The most bytes of a block, packed and unpacked: one has a value at least, and an index has all blocks. */
const MAX_BLOCK = 64 * 1024 * 1024;
const [PLAIN, SNAPPY] = [0, 1];

/** Where a block is. */
export interface Block {
  readonly offset: number;
  readonly size: number;
  /** A key that none of its keys is behind, or the name of what it has else. */
  readonly last: Uint8Array;
}

/** The blocks of one table. */
export class Blocks {
  readonly #layout: Layout;
  readonly #handle: Handle;
  readonly #isXxh3: boolean;
  /** The name of its file. */
  readonly name: string;

  /**
   * @param layout where its file is
   * @param handle the file
   * @param check the number of its check
   * @throws {SnapshotError} `UNSUPPORTED` if that is none that is known
   */
  constructor(layout: Layout, handle: Handle, check: number) {
    this.#layout = layout;
    this.#handle = handle;
    this.#isXxh3 = check === XXH3;
    this.name = layout.nameOf(handle);
    if (check !== CRC32C && check !== XXH3) {
      throw unsupported(this.name, `its check has the number ${check}; ${CRC32C} and ${XXH3} are known`);
    }
  }

  /** Where a block is, which is inside of the table. */
  at(cursor: Cursor, last: Uint8Array): Block {
    const [offset, size] = [Number(cursor.varint()), Number(cursor.varint())];
    if (size <= MAX_BLOCK && offset + size + TRAILER <= this.#handle.size) return { offset, size, last };
    throw damaged(this.name, "a block is not where it should be");
  }

  /** Some blocks with their trailers, checked, which are one behind the other. */
  async *read(blocks: readonly Block[], signal?: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    const [first, last] = [blocks[0], blocks.at(-1)];
    if (first === undefined || last === undefined) return;
    const pieces = this.#layout.read(this.#handle, first.offset, last.offset + last.size + TRAILER, signal);
    const reader = new PieceReader(pieces, this.name);
    try {
      for (const { offset, size } of blocks) {
        if (offset < first.offset + reader.position) throw damaged(this.name, "a block is not where it should be");
        await reader.skip(offset - first.offset - reader.position);
        const block = await reader.exactly(size + TRAILER);
        this.#check(block);
        yield block;
      }
    } finally {
      await reader.close();
    }
  }

  /** The entries of some blocks: their keys, and a cursor at each value. */
  async *entries(blocks: readonly Block[], signal?: AbortSignal): AsyncGenerator<Entry, void, undefined> {
    for await (const block of this.read(blocks, signal)) yield* entriesOf(this.#unpack(block), this.name, "lengths");
  }

  /** The blocks that some indices list. */
  async listed(indices: readonly Block[], signal?: AbortSignal): Promise<Block[]> {
    const listed: Block[] = [];
    for await (const index of this.read(indices, signal)) {
      for (const { key, cursor } of entriesOf(this.#unpack(index), this.name)) listed.push(this.at(cursor, key));
    }
    return listed;
  }

  #check(block: Uint8Array): void {
    const end = block.length - TRAILER + 1;
    const expected = new DataView(block.buffer, block.byteOffset).getUint32(end, true);
    const bytes = block.subarray(0, end);
    if ((this.#isXxh3 ? xxh3Of(bytes) : maskedCrc(bytes)) === expected) return;
    throw damaged(this.name, `a block does not have its ${this.#isXxh3 ? "XXH3" : "CRC-32C"}`);
  }

  #unpack(block: Uint8Array): Uint8Array {
    const packed = block.subarray(0, -TRAILER);
    const compression = block[packed.length];
    if (compression === PLAIN) return packed;
    if (compression === SNAPPY) return uncompress(packed, this.name, MAX_BLOCK);
    throw unsupported(this.name, `its blocks are compressed in the way ${compression}, and not by Snappy`);
  }
}

/** An entry of a block. */
export interface Entry {
  readonly key: Uint8Array;
  /** At the value; of an index it goes on behind it. */
  readonly cursor: Cursor;
}

/** The error for a table that was changed. */
export function damaged(name: string, message: string): SnapshotError {
  return new SnapshotError("CORRUPT", `${JSON.stringify(name)} is no whole table of RocksDB: ${message}`, {
    file: name,
  });
}

/** The error for a table of another kind than those that are known. */
export function unsupported(name: string, message: string): SnapshotError {
  return new SnapshotError("UNSUPPORTED", `The table ${JSON.stringify(name)} cannot be read: ${message}`, {
    file: name,
  });
}

function xxh3Of(bytes: Uint8Array): number {
  const hash = Number(xxh3(bytes.subarray(0, -1)) & 0xffff_ffffn);
  return (hash ^ Math.imul(bytes.at(-1)!, LAST_BYTE)) >>> 0;
}

function* entriesOf(block: Uint8Array, name: string, values?: "lengths"): Generator<Entry, void, undefined> {
  const whole = new Cursor(block, name, Math.max(block.length - 4, 0));
  const count = whole.u32(true) & 0x7fff_ffff; // the first bit: there is a table of hashes
  const end = block.length - 4 - 4 * count;
  if (end < 0) throw damaged(name, "a block is shorter than it says");
  const cursor = new Cursor(block.subarray(0, end), name);
  const restarts = new Cursor(block, name, end);
  let key: Uint8Array = new Uint8Array(0);
  while (cursor.left > 0) {
    // A value whose key is not whole is stored as what it differs by from the one before it.
    if (values === undefined && (restarts.left < 8 || restarts.u32(true) !== cursor.at)) {
      throw unsupported(name, "keys of its index begin with those before them");
    }
    const [shared, more] = [Number(cursor.varint()), Number(cursor.varint())];
    const length = values === "lengths" ? Number(cursor.varint()) : undefined;
    if (shared > key.length) throw damaged(name, "a key begins with more than the one before it has");
    key = concat([key.subarray(0, shared), cursor.bytes(more)]);
    if (length === undefined) yield { key, cursor };
    else yield { key, cursor: new Cursor(cursor.bytes(length), name) };
  }
}
