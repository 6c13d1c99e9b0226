/**
 * The chunks of a file, and the digest that each must have.
 *
 * @module
 */

import { checkInteger, checkOptions, copyBytes, isOf, unfit } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import { concat, toHex, u64 } from "./bytes.ts";
import { DIGEST_SIZE, sha256 } from "./digest.ts";
import { lastThat } from "./search.ts";

/**
 * The division of a file: into chunks of one size (the last may be shorter), or into chunks of these lengths.
 *
 * @category Streams
 * @see {@linkcode verified}
 */
export type Chunking = { readonly chunkSize: number } | { readonly chunkLengths: Uint32Array };

/**
 * The chunks of one file: where each begins, how long it is, and its SHA-256. Holds 32 bytes a chunk.
 * The *root* is the SHA-256 of the size (u64, big-endian) and all the digests: it stands for the whole file.
 *
 * @category Streams
 * @see {@linkcode verified}
 */
export class ChunkMap {
  /** The size of the file in bytes. */
  readonly size: number;
  /** The number of chunks; an empty file has none. */
  readonly count: number;
  /** The division of the file. */
  readonly chunking: Chunking;
  /** The digests, 32 bytes each, one after the other. */
  readonly digests: Uint8Array;
  /** The root: 32 bytes. */
  readonly root: Uint8Array;
  readonly #offsets: Float64Array | undefined;

  private constructor(size: number, chunking: Chunking, digests: Uint8Array, root: Uint8Array) {
    this.size = size;
    this.chunking = chunking;
    this.digests = digests;
    this.root = root;
    this.count = digests.length / DIGEST_SIZE;
    if ("chunkLengths" in chunking) {
      this.#offsets = new Float64Array(this.count + 1);
      chunking.chunkLengths.forEach((length, i) => this.#offsets![i + 1] = this.#offsets![i]! + length);
    }
  }

  /**
   * Makes the map of a file.
   *
   * @param size the size of the file in bytes
   * @param chunking how it is cut
   * @param digests the digests, one after the other
   * @throws {SnapshotError} `MALFORMED` if the three do not fit each other
   */
  static async of(size: number, chunking: Chunking, digests: Uint8Array): Promise<ChunkMap> {
    checkInteger(size, "size");
    const own = { chunking: ownChunking(chunking), digests: copyBytes(digests, "digests") };
    const misfit = misfits(size, own.chunking, own.digests);
    if (misfit !== undefined) throw new SnapshotError("MALFORMED", `The chunks of a file do not fit: ${misfit}`);
    return new ChunkMap(size, own.chunking, own.digests, await sha256(concat([u64(size), own.digests])));
  }

  /** The offset of chunk `i` in bytes; for `count` the size of the file. */
  offset(i: number): number {
    checkInteger(i, "The number of a chunk", 0, this.count);
    if (i === this.count) return this.size;
    return this.#offsets === undefined ? i * (this.chunking as { chunkSize: number }).chunkSize : this.#offsets[i]!;
  }

  /** The length of chunk `i` in bytes. */
  length(i: number): number {
    checkInteger(i, "The number of a chunk", 0, this.count - 1);
    return this.offset(i + 1) - this.offset(i);
  }

  /** The SHA-256 that chunk `i` must have. */
  digest(i: number): Uint8Array {
    checkInteger(i, "The number of a chunk", 0, this.count - 1);
    return this.digests.subarray(i * DIGEST_SIZE, (i + 1) * DIGEST_SIZE);
  }

  /** The chunk in which the byte at `position` lies; `count` for the end of the file. */
  at(position: number): number {
    if (position !== Infinity) checkInteger(position, "position");
    if (position >= this.size) return this.count;
    if (this.#offsets === undefined) {
      return Math.floor(position / (this.chunking as { chunkSize: number }).chunkSize);
    }
    const offsets = this.#offsets;
    return lastThat(this.count, (i) => offsets[i]! <= position);
  }

  /** The value of braft's `checksum` field for such a file: `chunks-sha256:` and the root in hexadecimal. */
  get checksum(): string {
    return `chunks-sha256:${toHex(this.root)}`;
  }

  /**
   * The error for bytes that are not those of chunk `i`.
   *
   * @param i the chunk
   * @param file the name of the file
   * @param actual the digest that the bytes have
   */
  corrupt(i: number, file: string, actual: Uint8Array): SnapshotError {
    return new SnapshotError(
      "CORRUPT",
      `Chunk ${i} of ${JSON.stringify(file)} (bytes ${this.offset(i)} to ${this.offset(i + 1)}) does ` +
        `not have its SHA-256: the bytes are not those that were saved`,
      { file, chunk: i, expected: toHex(this.digest(i)), actual: toHex(actual) },
    );
  }
}

/** Checks the chunks of a file. */
export function checkChunkMap(value: unknown, what: string): void {
  if (!isOf(value, ChunkMap)) throw unfit(what, "a ChunkMap", value);
}

/** A checked copy of the division of a file, which nobody else can change. */
function ownChunking(chunking: Chunking): Chunking {
  const { chunkSize, chunkLengths } = checkOptions<{ chunkSize?: number; chunkLengths?: Uint32Array }>(chunking, {
    chunkSize: (value, what) => checkInteger(value, what, 1),
    chunkLengths(value, what) {
      if (!isOf(value, Uint32Array)) throw unfit(what, "a Uint32Array", value);
    },
  }, "chunking");
  if (chunkSize !== undefined) return { chunkSize };
  if (chunkLengths !== undefined) return { chunkLengths: chunkLengths.slice() };
  throw unfit("chunking", "an object with a chunkSize or chunkLengths", chunking);
}

/** Describes the mismatch of the three, in words; nothing if they fit. */
function misfits(size: number, chunking: Chunking, digests: Uint8Array): string | undefined {
  if (digests.length % DIGEST_SIZE !== 0) return `${digests.length} bytes of digests`;
  const count = digests.length / DIGEST_SIZE;
  if ("chunkSize" in chunking) {
    const expected = Math.ceil(size / chunking.chunkSize);
    return count === expected ? undefined : `${count} digests for ${expected} chunks`;
  }
  const { chunkLengths } = chunking;
  if (count !== chunkLengths.length) return `${count} digests for ${chunkLengths.length} chunks`;
  if (chunkLengths.includes(0)) return "a chunk without bytes";
  const sum = chunkLengths.reduce((all, length) => all + length, 0);
  return sum === size ? undefined : `chunks of ${sum} bytes in all for a file of ${size}`;
}

/** Gathers the digests of a file that is being written. */
export class ChunkMapBuilder {
  readonly #chunkSize: number | undefined;
  #digests = new Uint8Array(64 * DIGEST_SIZE);
  #lengths = new Uint32Array(64);
  #count = 0;
  #size = 0;

  /** @param chunkSize the size of every chunk but the last; absent if each has its own */
  constructor(chunkSize: number | undefined) {
    this.#chunkSize = chunkSize;
  }

  /** Adds the next chunk. */
  add(digest: Uint8Array, length: number): void {
    if (this.#count === this.#lengths.length) {
      const lengths = new Uint32Array(this.#count * 2);
      lengths.set(this.#lengths);
      this.#lengths = lengths;
      const digests = new Uint8Array(this.#count * 2 * DIGEST_SIZE);
      digests.set(this.#digests);
      this.#digests = digests;
    }
    this.#lengths[this.#count] = length;
    this.#digests.set(digest, this.#count++ * DIGEST_SIZE);
    this.#size += length;
  }

  /** The map of what was added. */
  build(): Promise<ChunkMap> {
    const digests = this.#digests.slice(0, this.#count * DIGEST_SIZE);
    const chunking = this.#chunkSize === undefined
      ? { chunkLengths: this.#lengths.slice(0, this.#count) }
      : { chunkSize: this.#chunkSize };
    return ChunkMap.of(this.#size, chunking, digests);
  }
}
