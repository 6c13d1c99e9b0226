/**
 * The contract of a snapshot being written: braft's `SnapshotWriter`, as streams.
 *
 * @module
 */

import type { SnapshotInfo } from "./info.ts";
import type { FileInfo, FileOptions, SnapshotMeta, SnapshotSeal } from "./meta.ts";
import type { SnapshotReader } from "./reader.ts";

/**
 * A snapshot being written. Nobody can see it before {@linkcode commit} has resolved.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface SnapshotWriter extends AsyncDisposable {
  /**
   * A new file. Several may be written at the same time. The stream's chunks are copied: they may be changed as soon
   * as their write has resolved. Closing the stream ends the file; it is durable once the snapshot is committed.
   *
   * @param name see {@linkcode checkName}
   * @param options attributes, and the size if it is known
   * @returns a stream that fails with `MALFORMED` if the name is not allowed or there already
   */
  file(name: string, options?: FileOptions): WritableStream<Uint8Array>;

  /**
   * Puts files of earlier snapshots of this storage, found by their root digests, into this one under the given names,
   * without a copy where possible. The newest snapshot that a file was found in is the parent of this one. Once a
   * snapshot was found bad, no file is taken from the snapshots that were there with it: they may share the bad part.
   *
   * @param files which
   * @returns whether all of them are here, and now in this snapshot too; else none is
   * @throws {SnapshotError} `MALFORMED` if a name is not allowed or there already
   */
  reuse(files: readonly FileInfo[]): Promise<boolean>;

  /**
   * Puts a file that is on the disk already into the snapshot, or all files of a directory and of those below it; or
   * none of them, if it fails. Absent where the storage is on no disk, or encrypts: `addFiles` of
   * `@snapstream/snapstream/fs` takes every writer.
   *
   * @param path a file or a directory; no symbolic link is followed
   * @param name its name in the snapshot, a prefix for those of a directory; by default the last part of the path.
   *   Empty: the files of a directory have no prefix
   * @param options whether it may be linked
   * @returns the files, by name
   * @throws {SnapshotError} `NOT_FOUND`; `MALFORMED` for a FIFO, a device, a symbolic link, or a name that is not
   *   allowed or there already; `BUSY` if a file changes meanwhile
   */
  add?(path: string, name?: string, options?: AddOptions): Promise<FileInfo[]>;

  /**
   * Takes a file out of the snapshot again: one that was written, reused or added, also one whose stream was aborted or
   * is still open, which fails then. Its name is free afterwards.
   *
   * @param name which
   * @throws {SnapshotError} `NOT_FOUND` if there is none, or it is just being reused
   */
  remove(name: string): Promise<void>;

  /** The files that were written to their end, reused or added, in the order in which that was. */
  files(): FileInfo[];

  /**
   * The description of a file that was written to its end, reused or added.
   *
   * @throws {SnapshotError} `NOT_FOUND`
   */
  info(name: string): FileInfo;

  /**
   * Has the snapshot sealed when it is complete. Whoever encrypts its files calls this, so that none of them can be
   * left out, renamed, or found in another snapshot.
   *
   * @param seal is given the snapshot digest, 32 bytes
   */
  sealWith(seal: (digest: Uint8Array) => Promise<SnapshotSeal>): void;

  /**
   * Makes the snapshot durable, reads it back, and only then makes it visible. Afterwards retention deletes what is too
   * old.
   *
   * @param meta its metadata
   * @param options what is expected, and who tries it first
   * @returns the new snapshot
   * @throws {SnapshotError} `STALE` if a snapshot with this or a higher index is here; `CORRUPT` if the digest is not
   *   the expected one; `MALFORMED` if a file was not closed; `FORBIDDEN` if it is of another group; `NO_SPACE` …
   *   After any failure nothing is left of it.
   * @throws whatever `options.check` throws
   */
  commit(meta: SnapshotMeta, options?: CommitOptions): Promise<SnapshotInfo>;

  /** Aborts the snapshot and leaves nothing of it. Does nothing after a commit. */
  abort(reason?: unknown): Promise<void>;
}

/** The part of a writer for code that writes files and does not commit them. */
export type FileWriter = Pick<SnapshotWriter, "file" | "reuse" | "info" | "sealWith" | "add">;

/** Options of {@linkcode SnapshotWriter.add}. */
export interface AddOptions {
  /**
   * True if the files are never written to again (those of a RocksDB checkpoint; not a log that grows): they get a
   * second name in the storage then, a hard link, which takes no room. Otherwise they are cloned where the file system
   * can do that, or copied.
   *
   * @default {false}
   */
  readonly immutable?: boolean;
  /**
   * True if the files stay where they are, and the snapshot only refers to them: each is read once, made durable there,
   * and never written to again or removed as long as a snapshot refers to it, which is the caller's to see to. The
   * storage needs a resolver, which finds them. In a copy of the snapshot they are files like the others.
   *
   * @default {false}
   */
  readonly reference?: boolean;
}

/**
 * Options of {@linkcode SnapshotStorage.create}.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface CreateOptions {
  /** Called with each number of bytes that a file has taken in. */
  readonly onBytes?: (bytes: number) => void;
  /**
   * Called with the bytes and chunks that are reused: of each file, or of each chunk where chunks have to be copied;
   * and with negative numbers if it turns out that they cannot be reused.
   */
  readonly onReused?: (bytes: number, chunks: number) => void;
  /**
   * True if the snapshot comes from elsewhere, with files as they are to be stored: its group must be the storage's,
   * and a storage that encrypts takes it only if it is encrypted and sealed with a key that the storage has.
   *
   * @default {false}
   */
  readonly raw?: boolean;
}

/** Options of a commit that takes in a snapshot from elsewhere. */
export interface CheckOptions {
  /**
   * Tries the snapshot when it is complete, verified and durable, but before anybody can see it or anything is retired
   * for it: if this throws, it does not become a snapshot. The reader is closed afterwards.
   */
  readonly check?: ((reader: SnapshotReader) => Promise<void>) | undefined;
}

/**
 * Options of {@linkcode SnapshotWriter.commit}.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface CommitOptions extends CheckOptions {
  /** The digest that the snapshot must have, 32 bytes. */
  readonly digest?: Uint8Array;
}
