/**
 * The state of a snapshot's files while they are being received.
 *
 * @module
 */

import type { ChunkedFile, SnapshotContent } from "../snapshot/mod.ts";
import { type ChunkMap, DigestIndex } from "../stream/mod.ts";

/** A file that is being received. */
export interface Incoming {
  readonly info: ChunkedFile;
  readonly chunks: ChunkMap;
  /** 1 for each chunk that is here and verified, else 0. */
  readonly have: Uint8Array;
  /** 1 for each chunk that was requested, else 0. */
  readonly expected: Uint8Array;
  missing: number;
  /** True if the file exists and can be written to. */
  exists: boolean;
  /** The number of times that it was begun anew. */
  begun: number;
  /** Pending while the file is being begun anew. */
  beginning?: Promise<void>;
}

/** A chunk of a file that is being received. */
export interface IncomingChunk {
  readonly file: Incoming;
  readonly chunk: number;
}

/** The chunks of all files, to be found by their digests. */
export class IncomingChunks {
  readonly #content: SnapshotContent;
  readonly #files: ReadonlyMap<string, Incoming>;
  readonly #index: DigestIndex;
  /** 1 at the first position of a digest that had a missing chunk and was not taken since. */
  readonly #wanted: Uint8Array;

  /**
   * @param content all chunks
   * @param files by their names
   */
  constructor(content: SnapshotContent, files: ReadonlyMap<string, Incoming>) {
    this.#content = content;
    this.#files = files;
    this.#wanted = new Uint8Array(content.count);
    this.#index = new DigestIndex(content.count, (n) => {
      const { file, chunk } = content.locate(n);
      return file.chunks.digest(chunk);
    });
    for (const { chunks, have, missing } of files.values()) {
      for (let i = 0; missing > 0 && i < have.length; i++) {
        if (have[i] === 0) this.#wanted[this.#index.find(chunks.digest(i)).next().value!] = 1;
      }
    }
  }

  /** The chunks with this digest. */
  *find(digest: Uint8Array): Generator<IncomingChunk, void, undefined> {
    for (const n of this.#index.find(digest)) yield this.#locate(n);
  }

  /** Reports whether a chunk with this digest is missing. */
  isWanted(digest: Uint8Array): boolean {
    const { done, value } = this.#index.find(digest).next();
    return !done && this.#wanted[value] === 1;
  }

  /** Returns the chunks with this digest, if one was missing; only once. */
  *take(digest: Uint8Array): Generator<IncomingChunk, void, undefined> {
    if (!this.isWanted(digest)) return;
    this.#wanted[this.#index.find(digest).next().value!] = 0;
    yield* this.find(digest);
  }

  /** Reports whether another chunk stands for this one: it has the same digest, and is missing too. */
  isSpokenFor({ file, chunk }: IncomingChunk): boolean {
    const { value } = this.find(file.chunks.digest(chunk)).next();
    const first = value as IncomingChunk;
    return (first.file !== file || first.chunk !== chunk) && first.file.have[first.chunk] === 0;
  }

  #locate(n: number): IncomingChunk {
    const { file: { name }, chunk } = this.#content.locate(n);
    return { file: this.#files.get(name)!, chunk };
  }
}
