/**
 * The contracts of storages: braft's `SnapshotStorage`, `SnapshotWriter` and `SnapshotReader`, as streams.
 *
 * @module
 */

import type { SnapshotAt } from "./at.ts";
import type { FileInfo, FileOptions, SnapshotMeta, SnapshotSeal } from "./meta.ts";
import type { SnapshotError } from "../errors.ts";
import type { FailingTask, Operation } from "../async/mod.ts";
import type { ChunkSet } from "../stream/mod.ts";
import type { ChunkSpan } from "./content.ts";
import type { SnapshotManifest } from "./manifest.ts";
import type { SnapshotVerifier } from "./signature.ts";

/**
 * Keeps snapshots. Every method is safe to call at any time; it fails with `BUSY` while something else excludes it.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface SnapshotStorage extends AsyncDisposable {
  /** The number of snapshots that are kept at least, beside pinned ones. */
  readonly retain: number;

  /**
   * The group that the storage was told, if any: snapshots of others are neither taken in nor listed. The table in
   * `group.ts` says what holds as long as it was told none.
   */
  readonly group: string | undefined;

  /**
   * Says whose snapshots the storage takes in and uses, if it was told: whatever takes something in for it (pulls,
   * archives, handlers) asks it too, before anything is written.
   */
  readonly verifier?: SnapshotVerifier | undefined;

  /**
   * Tells the storage its group, from now on. A `Replica`, which knows it, does so.
   *
   * @param group the name
   * @throws {SnapshotError} `FORBIDDEN` if it is of another already, `MALFORMED` if that is no name of a group
   */
  bindGroup(group: string): void;

  /**
   * Begins a snapshot. One at a time.
   *
   * @param options who is told of progress
   * @throws {SnapshotError} `BUSY` while another is being written, `CLOSED`, `NO_SPACE`, `FORBIDDEN`
   */
  create(options?: CreateOptions): Promise<SnapshotWriter>;

  /**
   * Opens a snapshot, and pins it: it is not deleted before its reader is closed.
   *
   * @param index which one; `{ at }` for the newest at or before an index or a time; if absent the newest good one. Of
   *   several the one before the newest is opened while that cannot be read
   * @throws {SnapshotError} `NOT_FOUND` if there is none, `CORRUPT` if it is damaged, `FORBIDDEN` if it is of another
   *   group, `CLOSED`
   */
  open(index?: bigint | SnapshotAt): Promise<SnapshotReader>;

  /**
   * Lists the good snapshots of the storage's group, newest first. One that could not be read when the storage was
   * opened is looked at again, and is listed once it can be read.
   */
  list(): Promise<SnapshotInfo[]>;

  /**
   * The snapshots that could not be read, or not understood, when the storage was opened, and still cannot be: newest
   * first. They stay where they are and are not listed. They may well be good: nothing is written over them, nothing
   * older is taken in, and they do not count for retention.
   */
  unreadable(): Promise<UnreadableSnapshot[]>;

  /**
   * Begins or resumes an install of a snapshot whose manifest is known and whose chunks come one by one, from anywhere
   * and in any order. Received chunks stay when the install is closed, where the storage can keep them.
   *
   * @param manifest what is to be received; every file must have chunks
   * @throws {SnapshotError} `STALE` if it is not newer than the newest here, `BUSY` while another install is open,
   *   `UNSUPPORTED` if it has a file without chunks, `FORBIDDEN` if it is of another group
   */
  install(manifest: SnapshotManifest): Promise<SnapshotInstall>;

  /** The open install, if there is one: its chunks that are here can be read, and passed on to others. */
  readonly installing: SnapshotInstall | undefined;

  /** The manifests of installs that were interrupted, also before a restart, and can be resumed. */
  unfinished(): Promise<SnapshotManifest[]>;

  /** The bytes that can still be written to it, where it knows. */
  freeSpace?(): Promise<number | undefined>;

  /**
   * Quarantines a snapshot that is bad. The caller only suspects it: the storage reads the snapshot itself, and
   * quarantines only what is proven wrong (its bytes are here, were read more than once, and do not have their digest).
   * The next older snapshot is the newest then. From now on nobody can open the bad one; it is quarantined when its
   * last reader is closed. At most four are kept, for a person: see {@linkcode restore}.
   *
   * @param index which one
   * @param reason why, for a person
   * @returns whether it is quarantined; if not it is where it was, since it is good or cannot be read now, or there is
   *   none
   */
  quarantine(index: bigint, reason: string): Promise<boolean>;

  /** The background tasks that failed the last time; absent if it has none. A replica's status has them too. */
  failing?(): readonly FailingTask[];

  /** The quarantined snapshots, the last first. */
  quarantined(): Promise<QuarantinedSnapshot[]>;

  /**
   * Makes a quarantined snapshot an ordinary one again, after all of it was read and verified.
   *
   * @param index which one; of several the last that verifies
   * @param options the signal
   * @throws {SnapshotError} `NOT_FOUND` if none with this index is quarantined, `BUSY` if there is a snapshot with it,
   *   `CORRUPT` if it is bad; or the reason for which it cannot be read
   */
  restore(index: bigint, options?: VerifyOptions): Promise<SnapshotInfo>;

  /**
   * Tells a listener of every snapshot that is quarantined here from now on, whoever found it bad: it no longer counts
   * as a snapshot.
   *
   * @param listener is given the index, and why; an error that it throws is dropped
   * @returns a function that ends it
   */
  onQuarantine(listener: (index: bigint, reason: string) => void): () => void;

  /** Closes the storage and its readers, and aborts its writer and install. */
  close(): Promise<void>;
}

/**
 * A snapshot in a storage.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface SnapshotInfo {
  /** Its metadata. */
  readonly meta: SnapshotMeta;
  /** Its name: 32 bytes. */
  readonly digest: Uint8Array;
  /** Bytes of all files; 0 where it is not known (a snapshot of braft's before it was opened). */
  readonly size: number;
  /** The number of its files. */
  readonly files: number;
  /** The number of their chunks; 0 for a snapshot that braft wrote. */
  readonly chunks: number;
  /** True while a reader keeps it from being deleted. */
  readonly pinned: boolean;
}

/**
 * A snapshot that was proven bad when its {@linkcode SnapshotStorage} was opened.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface DamagedSnapshot {
  /** Its index, from the name that it has in the storage. */
  readonly index: bigint;
  /** The error that says what is wrong with it. */
  readonly error: SnapshotError;
}

/**
 * A snapshot that cannot be read now.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface UnreadableSnapshot {
  /** Its index, from its name. */
  readonly index: bigint;
  /** The reason for which it cannot be read. */
  readonly error: SnapshotError;
}

/**
 * A snapshot that was quarantined.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface QuarantinedSnapshot {
  /** Its index. */
  readonly index: bigint;
  /** When it was quarantined: milliseconds since 1970. Absent where that is not kept. */
  readonly at?: number;
  /** Why, for a person. Absent where that is not kept. */
  readonly reason?: string;
}

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
