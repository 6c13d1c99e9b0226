/**
 * What is known of a snapshot's files while they are being received.
 *
 * @module
 */

import type { FileInfo } from "../snapshot/mod.ts";
import { type ChunkMap, DigestIndex } from "../stream/mod.ts";

/** A file that is being received. */
export interface Incoming {
  readonly info: FileInfo;
  readonly chunks: ChunkMap;
  /** For each chunk whether it is here, verified: 1, or 0. */
  readonly have: Uint8Array;
  missing: number;
  /** How often it was begun anew. */
  begun: number;
  /** While it is being begun anew. */
  beginning?: Promise<void>;
}

/** The chunks of several files, to be found by their digests. */
export class WantedChunks {
  /** How many there are. */
  readonly count: number;
  readonly #files: readonly Incoming[];
  readonly #starts: Float64Array;
  readonly #index: DigestIndex;
  /** By the first position of a digest: whether all its chunks were taken. */
  readonly #taken: Uint8Array;

  /** @param files what is being received */
  constructor(files: readonly Incoming[]) {
    this.#files = files;
    this.#starts = new Float64Array(files.length + 1);
    files.forEach(({ chunks }, i) => this.#starts[i + 1] = this.#starts[i]! + chunks.count);
    this.count = this.#starts[files.length]!;
    this.#taken = new Uint8Array(this.count);
    this.#index = new DigestIndex(this.count, (n) => {
      const { file, chunk } = this.#locate(n);
      return file.chunks.digest(chunk);
    });
  }

  /** Whether a chunk with this digest is wanted. */
  has(digest: Uint8Array): boolean {
    const { done, value } = this.#index.find(digest).next();
    return !done && this.#taken[value] === 0;
  }

  /** All chunks with this digest, once. */
  *take(digest: Uint8Array): Generator<{ file: Incoming; chunk: number }, void, undefined> {
    if (!this.has(digest)) return;
    for (const n of this.#index.find(digest)) {
      this.#taken[n] = 1;
      yield this.#locate(n);
    }
  }

  #locate(n: number): { file: Incoming; chunk: number } {
    let low = 0;
    let high = this.#files.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle]! <= n) low = middle;
      else high = middle;
    }
    return { file: this.#files[low]!, chunk: n - this.#starts[low]! };
  }
}
