/**
 * All files of a snapshot as one run of bytes.
 *
 * @module
 */

import { checkInteger, checkOptions, checkString, listOf } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import { type ChunkMap, lastThat } from "../stream/mod.ts";
import type { FileInfo } from "./meta.ts";

/** A file whose chunks are known. */
export type ChunkedFile = FileInfo & { readonly chunks: ChunkMap };

/** A chunk, as one of its file. */
export interface LocatedChunk {
  /** The file. */
  readonly file: ChunkedFile;
  /** The number of the chunk in the file. */
  readonly chunk: number;
}

/** Consecutive chunks of the content. */
export interface ChunkSpan {
  /** The first. */
  readonly first: number;
  /** The one before which it ends. */
  readonly end: number;
}

/** A part of a file. */
export interface FilePart {
  /** The file. */
  readonly file: ChunkedFile;
  /** The first byte. */
  readonly start: number;
  /** The byte before which it ends. */
  readonly end: number;
}

/**
 * The *content* of a snapshot: its files, one behind the other in the order of the manifest, with their chunks numbered
 * through, so that one range of bytes can be requested across many small files.
 */
export class SnapshotContent {
  /** Bytes in all. */
  readonly size: number;
  /** Chunks in all. */
  readonly count: number;
  /** The files, in the order of the manifest. */
  readonly files: readonly ChunkedFile[];
  /** The number of the first chunk of each file, and at the end the number of all chunks. */
  readonly #chunks: Float64Array;
  /** Where each file begins, in bytes, and at the end where all end. */
  readonly #bytes: Float64Array;
  readonly #positions: ReadonlyMap<string, number>;

  /**
   * Lays files one behind the other.
   *
   * @param files in the order of the manifest
   * @throws {SnapshotError} `UNSUPPORTED` if one has no chunks: see {@linkcode completeManifest}
   */
  constructor(files: readonly FileInfo[]) {
    listOf((file, what) => checkOptions(file as object, {}, what))(files, "files");
    this.files = files.map((file) => {
      if (file.chunks !== undefined) return file as ChunkedFile;
      throw new SnapshotError(
        "UNSUPPORTED",
        `${JSON.stringify(file.name)} cannot be verified: it has no chunk digests`,
        {
          file: file.name,
        },
      );
    });
    this.#chunks = new Float64Array(files.length + 1);
    this.#bytes = new Float64Array(files.length + 1);
    this.files.forEach(({ chunks }, i) => {
      this.#chunks[i + 1] = this.#chunks[i]! + chunks.count;
      this.#bytes[i + 1] = this.#bytes[i]! + chunks.size;
    });
    this.#positions = new Map(this.files.map(({ name }, i) => [name, i]));
    this.count = this.#chunks[files.length]!;
    this.size = this.#bytes[files.length]!;
  }

  /** Where a chunk begins; for `count` where all end. */
  offset(chunk: number): number {
    if (chunk !== Infinity) checkInteger(chunk, "The number of a chunk");
    if (chunk >= this.count) return this.size;
    const i = this.#fileOf(this.#chunks, chunk);
    return this.#bytes[i]! + this.files[i]!.chunks.offset(chunk - this.#chunks[i]!);
  }

  /** The number of bytes in a chunk. */
  length(chunk: number): number {
    const { file, chunk: i } = this.locate(chunk);
    return file.chunks.length(i);
  }

  /** The SHA-256 of a chunk. */
  digest(chunk: number): Uint8Array {
    const { file, chunk: i } = this.locate(chunk);
    return file.chunks.digest(i);
  }

  /** The file of a chunk, and its number there. */
  locate(chunk: number): LocatedChunk {
    checkInteger(chunk, "The number of a chunk", 0, this.count - 1);
    const i = this.#fileOf(this.#chunks, chunk);
    return { file: this.files[i]!, chunk: chunk - this.#chunks[i]! };
  }

  /** The chunk in which the byte at `position` lies; `count` for the end. */
  at(position: number): number {
    if (position !== Infinity) checkInteger(position, "position");
    if (position >= this.size) return this.count;
    const i = this.#fileOf(this.#bytes, position);
    return this.#chunks[i]! + this.files[i]!.chunks.at(position - this.#bytes[i]!);
  }

  /**
   * The number of the first chunk of a file.
   *
   * @throws {SnapshotError} `NOT_FOUND`
   */
  firstChunk(name: string): number {
    return this.#chunks[this.#position(name)]!;
  }

  /**
   * Where a file begins, in bytes.
   *
   * @throws {SnapshotError} `NOT_FOUND`
   */
  start(name: string): number {
    return this.#bytes[this.#position(name)]!;
  }

  /** The parts of files that a range of bytes consists of. */
  *parts(start: number, end: number): Generator<FilePart, void, undefined> {
    checkInteger(start, "start");
    if (end !== Infinity) checkInteger(end, "end");
    for (let i = this.#fileOf(this.#bytes, start); i < this.files.length && this.#bytes[i]! < end; i++) {
      const file = this.files[i]!;
      const from = Math.max(start - this.#bytes[i]!, 0);
      const to = Math.min(end - this.#bytes[i]!, file.chunks.size);
      if (from < to) yield { file, start: from, end: to };
    }
  }

  #position(name: string): number {
    const i = this.#positions.get(checkString(name, "The name of a file"));
    if (i !== undefined) return i;
    throw new SnapshotError("NOT_FOUND", `There is no file ${JSON.stringify(name)}`, { file: name });
  }

  /** The last file that begins at or before a place: it has the place, since empty files take none. */
  #fileOf(starts: Float64Array, place: number): number {
    return lastThat(this.files.length, (i) => starts[i]! <= place);
  }
}
