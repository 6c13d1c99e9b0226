/**
 * Cutting a stream where its content says: FastCDC.
 *
 * W. Xia et al., "FastCDC: a Fast and Efficient Content-Defined Chunking Approach for Data Deduplication", USENIX ATC
 * 2016: a Gear hash, cut points below the minimum skipped, normalised chunking of level 2.
 *
 * ```text
 * gear[i]   = fmix32((i + 1) * 0x9E3779B9), fmix32 being the finaliser of MurmurHash3; 32 bits
 * hash      = (hash << 1) + gear[byte], 32 bits; begun with 0 at the first byte after the minimum
 * cut       behind the byte after which the highest bits of the hash are all 0: log2(average) + 2 of them before the
 *           chunk has its average size, log2(average) - 2 after that; at the maximum in any case
 * vectors   gear[0], gear[1], gear[255] = 92ca2f0e, 3cd6e3f3, 7970d887
 *           see tests/stream/content_defined_test.ts for cut points
 * ```
 *
 * @module
 */

import { checkBytes, checkOptions, number, unfit } from "../checks.ts";

/**
 * Options of {@linkcode contentDefined}.
 *
 * @category Streams
 */
export interface ContentDefinedOptions {
  /**
   * The approximate size of chunks in bytes: a power of two from 16 KiB to 1 MiB. No chunk but the last is smaller than
   * a quarter of it, and none is larger than four times it.
   *
   * @default {262144}
   */
  readonly average?: number;
}

const MIN_AVERAGE = 16 * 1024;
const MAX_AVERAGE = 1024 * 1024;

/**
 * Cuts a stream of bytes where its content says: inserted or removed bytes change the chunks that they are in, and not
 * those behind. For files that are opaque, or grow in the middle; for a file that is changed in place, in pages, chunks
 * of one size are better. The same bytes are always cut at the same places.
 *
 * @category Streams
 * @param options how large chunks are to be
 * @returns a stage to pipe through
 * @throws {SnapshotError} `MALFORMED` if the average is out of range, or no power of two
 *
 * @example A file whose chunks are found again in the next snapshot
 * ```ts
 * import { contentDefined, MemoryStorage } from "@snapstream/snapstream";
 *
 * const storage = new MemoryStorage();
 * const writer = await storage.create();
 * const dump = ReadableStream.from([new Uint8Array(1_000_000)]);
 * await dump.pipeThrough(contentDefined()).pipeTo(writer.file("dump", { chunkSize: "pieces" }));
 * await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
 * ```
 */
export function contentDefined(options: ContentDefinedOptions = {}): TransformStream<Uint8Array, Uint8Array> {
  const { average = 256 * 1024 } = checkOptions(options, { average: number(MIN_AVERAGE, MAX_AVERAGE) });
  const bits = Math.log2(average);
  if (!Number.isInteger(bits)) {
    throw unfit("options.average", `a power of two from ${MIN_AVERAGE} to ${MAX_AVERAGE}`, average);
  }
  const cutter = new Cutter(average, bits);
  const most = average * 4;
  let partial: Uint8Array | undefined;
  let filled = 0;
  return new TransformStream<Uint8Array, Uint8Array>({
    transform(came, controller) {
      const piece = checkBytes(came, "A piece that is to be chunked");
      for (let at = 0; at < piece.length;) {
        const taken = cutter.scan(piece, at);
        const part = piece.subarray(at, at + taken);
        at += taken;
        if (filled === 0 && cutter.isCut) {
          controller.enqueue(part);
          continue;
        }
        partial ??= new Uint8Array(most);
        partial.set(part, filled);
        filled += taken;
        if (!cutter.isCut) return;
        controller.enqueue(partial.slice(0, filled));
        filled = 0;
      }
    },
    flush(controller) {
      if (filled > 0) controller.enqueue(partial!.slice(0, filled));
    },
  });
}

/** Finds where a chunk ends. */
class Cutter {
  readonly #gear: Int32Array = gearTable();
  readonly #least: number;
  readonly #average: number;
  readonly #most: number;
  readonly #maskBefore: number;
  readonly #maskAfter: number;
  #length = 0;
  #hash = 0;
  /** True if the bytes that were scanned last end a chunk. */
  isCut = false;

  constructor(average: number, bits: number) {
    this.#average = average;
    this.#least = average / 4;
    this.#most = average * 4;
    this.#maskBefore = -1 << (32 - bits - 2);
    this.#maskAfter = -1 << (32 - bits + 2);
  }

  /** Continues the current chunk; returns the number of bytes that belong to it. */
  scan(bytes: Uint8Array, start: number): number {
    const gear = this.#gear;
    const base = start - this.#length; // where the chunk would have begun
    const end = Math.min(bytes.length, base + this.#most);
    let at = Math.min(Math.max(start, base + this.#least), end);
    let hash = this.#hash;
    let isCut = false;
    for (const [limit, mask] of [[base + this.#average, this.#maskBefore], [end, this.#maskAfter]] as const) {
      const stop = Math.min(limit, end);
      while (!isCut && at < stop) {
        hash = (hash << 1) + gear[bytes[at++]!]! | 0;
        if ((hash & mask) === 0) isCut = true;
      }
    }
    this.isCut = isCut || at === base + this.#most;
    this.#length = this.isCut ? 0 : at - base;
    this.#hash = this.isCut ? 0 : hash;
    return at - start;
  }
}

function gearTable(): Int32Array {
  return Int32Array.from({ length: 256 }, (_, i) => {
    let x = Math.imul(i + 1, 0x9e3779b9);
    x = Math.imul(x ^ x >>> 16, 0x85ebca6b);
    x = Math.imul(x ^ x >>> 13, 0xc2b2ae35);
    return x ^ x >>> 16;
  });
}
