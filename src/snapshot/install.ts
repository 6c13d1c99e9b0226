/**
 * The contract of a snapshot being received.
 *
 * @module
 */

import type { ChunkSet } from "../stream/mod.ts";
import type { ChunkSpan } from "./content.ts";
import type { SnapshotInfo } from "./info.ts";
import type { SnapshotManifest } from "./manifest.ts";
import type { ReadOptions } from "./reader.ts";
import type { CheckOptions } from "./writer.ts";

/**
 * A snapshot being received. Its chunks go by their numbers in the content: see {@linkcode SnapshotContent}.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface SnapshotInstall extends AsyncDisposable {
  /** The manifest of the snapshot that is being received. */
  readonly manifest: SnapshotManifest;

  /**
   * Finds and verifies the chunks that are here already: those that an earlier, interrupted install left, and those of
   * other snapshots of this storage, found by their digest. To be called once, first.
   *
   * @param options the signal, and a listener
   */
  prepare(options?: PrepareOptions): Promise<void>;

  /**
   * The missing chunks as spans of the content; of identical chunks only one is listed. Changes as chunks are written.
   */
  missing(): IterableIterator<ChunkSpan>;

  /**
   * Reports whether a chunk is here, verified.
   *
   * @param chunk its number in the content, as everywhere here
   * @throws {SnapshotError} `MALFORMED` if there is no such chunk
   */
  has(chunk: number): boolean;

  /**
   * Notes whether a chunk has been requested somewhere: others, who would request it from the same place, can wait
   * until it is here.
   */
  expect(chunk: number, isExpected: boolean): void;

  /** The chunks of the content that are here, verified. */
  held(): ChunkSet;

  /** The chunks of the content that are here or {@linkcode expect}ed. */
  expected(): ChunkSet;

  /**
   * The content of a file, or a part of it, as far as it has come; verified again, unless asked otherwise, and never a
   * byte of a chunk that is not here.
   *
   * @param name the file
   * @param options which bytes; all of their chunks must be here
   * @returns a stream that fails with `NOT_FOUND` when it comes to a chunk that is not here
   */
  file(name: string, options?: ReadOptions): ReadableStream<Uint8Array>;

  /**
   * Verifies a chunk, and writes it wherever the snapshot has the same one. Several may be written at the same time.
   *
   * @param chunk the number of the chunk in the content
   * @param bytes its bytes, not to be changed before this resolves
   * @throws {SnapshotError} `CORRUPT` if they are not that chunk's; nothing is written then. `MALFORMED` if there is no
   *   such chunk
   */
  write(chunk: number, bytes: Uint8Array): Promise<void>;

  /**
   * Makes it a snapshot: see {@linkcode SnapshotWriter.commit}. An install that its check refuses with `MALFORMED`,
   * `UNSUPPORTED` or `CORRUPT` is dropped, since it would be refused again; after any other failure the received chunks
   * stay.
   *
   * @param options a check that tries it first
   * @throws {SnapshotError} `MALFORMED` if chunks are missing, `STALE`, `NO_SPACE` …
   * @throws whatever `options.check` throws
   */
  commit(options?: CheckOptions): Promise<SnapshotInfo>;

  /** Closes it. The received chunks stay for the next time, where the storage can keep them. */
  close(): Promise<void>;
}

/**
 * Options of {@linkcode SnapshotInstall.prepare}.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface PrepareOptions {
  /** Stops it. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Called with each number of bytes (and chunks) that need not be fetched: now, and whenever a written chunk occurs
   * elsewhere in the snapshot, too.
   */
  readonly onReused?: (bytes: number, chunks: number) => void;
}
