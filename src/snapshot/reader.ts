/**
 * The contract of an open snapshot: braft's `SnapshotReader`, as streams.
 *
 * @module
 */

import type { Operation } from "../async/mod.ts";
import type { SnapshotManifest } from "./manifest.ts";
import type { FileInfo, SnapshotMeta } from "./meta.ts";

/**
 * An open snapshot.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface SnapshotReader extends AsyncDisposable {
  /** Its metadata. */
  readonly meta: SnapshotMeta;
  /** Its manifest. */
  readonly manifest: SnapshotManifest;
  /** The way in which reads are verified: chunk by chunk, or (for a snapshot that braft wrote) not at all. */
  readonly verified: "chunks" | "none";

  /**
   * The description of a file.
   *
   * @throws {SnapshotError} `NOT_FOUND`
   */
  info(name: string): FileInfo;

  /**
   * The size of a file in bytes, from the disk if the manifest does not say.
   *
   * @throws {SnapshotError} `NOT_FOUND`
   */
  size(name: string): Promise<number>;

  /**
   * The content of a file, or a part of it. Each chunk is verified before any byte of it is handed on, unless asked
   * otherwise. A file with chunks comes chunk by chunk; a range may cut the first and the last.
   *
   * @param name the file
   * @param options which bytes
   * @returns a stream that fails with `NOT_FOUND`, `CORRUPT`, `CLOSED` …
   */
  file(name: string, options?: ReadOptions): ReadableStream<Uint8Array>;

  /**
   * Reads everything and checks it.
   *
   * @param options the signal
   * @returns what was found bad; does not reject because of it
   */
  verify(options?: VerifyOptions): Operation<VerifyResult>;

  /** Releases the snapshot. Streams that are still being read fail with `CLOSED`. */
  close(): Promise<void>;
}

/**
 * A range of bytes.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface ByteRange {
  /**
   * The first byte.
   *
   * @default {0}
   */
  readonly start?: number;
  /** The byte before which it ends; by default the end of the file. Beyond the end means the end. */
  readonly end?: number;
}

/**
 * Options of {@linkcode SnapshotReader.file}.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface ReadOptions extends ByteRange {
  /**
   * Reads the stored bytes, which the chunks of the manifest describe: of a file that was encrypted as it was written,
   * the encrypted bytes.
   *
   * @default {false}
   */
  readonly raw?: boolean;
  /**
   * Hands on chunks that were not verified, for a reader that verifies them itself. A storage may verify all the same.
   *
   * @default {false}
   */
  readonly unverified?: boolean;
}

/**
 * Options of {@linkcode SnapshotReader.verify}.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface VerifyOptions {
  /** Stops it. */
  readonly signal?: AbortSignal;
}

/** The most bad chunks that a verification lists. */
export const MAX_LISTED_BAD = 1000;

/**
 * The result of {@linkcode SnapshotReader.verify}.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface VerifyResult {
  /** True if nothing bad was found. */
  readonly ok: boolean;
  /** The kind of check: against chunk digests, or only that all files can be read. */
  readonly verified: "chunks" | "none";
  /** Bytes read. */
  readonly bytes: number;
  /** Chunks checked. */
  readonly chunks: number;
  /** The bad chunks; at most 1000 are listed. */
  readonly bad: readonly BadChunk[];
}

/**
 * A part of a snapshot that is not as it was saved.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface BadChunk {
  /** The file. */
  readonly file: string;
  /** The chunk; absent if it is the file as a whole. */
  readonly chunk?: number;
  /** A description of the damage, for a person. */
  readonly message: string;
}
