/**
 * A set of chunks: one bit each.
 *
 * @module
 */

import { checkInteger, copyBytes, isOf, unfit } from "../checks.ts";
import { SnapshotError } from "../errors.ts";

/** More chunks than any manifest can list. */
const MAX_CHUNKS = 2 ** 24;

/** Checks a set of chunks. */
export function checkChunkSet(value: unknown, what: string): void {
  if (!isOf(value, ChunkSet)) throw unfit(what, "a ChunkSet", value);
}

/** A set of chunk numbers. As bytes: chunk `i` is bit `i % 8` (the lowest first) of byte `i / 8`; unused bits are 0. */
export class ChunkSet {
  /** The number of chunks that there can be. */
  readonly count: number;
  /** The bits. */
  readonly bytes: Uint8Array;

  /**
   * Makes a set.
   *
   * @param count how many chunks there can be
   * @param bytes which there are; none if absent
   * @throws {SnapshotError} `MALFORMED` if the bytes are not those of so many chunks
   */
  constructor(count: number, bytes?: Uint8Array) {
    checkInteger(count, "count", 0, MAX_CHUNKS);
    bytes = bytes === undefined ? new Uint8Array(Math.ceil(count / 8)) : copyBytes(bytes, "bytes");
    if (bytes.length !== Math.ceil(count / 8) || (count % 8 !== 0 && bytes.at(-1)! >>> (count % 8) !== 0)) {
      throw new SnapshotError("MALFORMED", `${bytes.length} bytes are no set of ${count} chunks`, {
        expected: Math.ceil(count / 8),
        actual: bytes.length,
      });
    }
    this.count = count;
    this.bytes = bytes;
  }

  /** Reports whether a chunk is in the set. */
  has(chunk: number): boolean {
    checkInteger(chunk, "The number of a chunk", 0, this.count - 1);
    return (this.bytes[chunk >>> 3]! >>> (chunk & 7) & 1) === 1;
  }

  /** Adds a chunk. */
  add(chunk: number): void {
    checkInteger(chunk, "The number of a chunk", 0, this.count - 1);
    this.bytes[chunk >>> 3]! |= 1 << (chunk & 7);
  }
}
