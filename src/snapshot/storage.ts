/**
 * The contracts of whatever keeps snapshots: braft's `SnapshotStorage`, `SnapshotWriter` and `SnapshotReader`, as streams.
 *
 * @module
 */

import type { FileInfo, FileOptions, SnapshotMeta, SnapshotSeal } from "./meta.ts";
import type { SnapshotError } from "../errors.ts";
import type { Operation } from "../async/mod.ts";
import type { ChunkSet } from "../stream/mod.ts";
import type { SnapshotManifest } from "./manifest.ts";

/** Keeps snapshots. Every method is safe to call at any time; what excludes the call makes it fail with `BUSY`. */
export interface SnapshotStorage extends AsyncDisposable {
  /** How many snapshots are kept, beside pinned ones. */
  readonly retain: number;

  /**
   * The group that it was told it is of, if it was: snapshots of others are neither taken in nor listed. See the table
   * in `group.ts` for what holds as long as it was not.
   */
  readonly group: string | undefined;

  /**
   * Tells the storage which group it is of from now on. Done by a `Replica`, which knows it.
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
   * Opens a snapshot, and pins it: it is not deleted before its reader was closed.
   *
   * @param index which one; if absent the newest good one, or the one before it while that cannot be read
   * @throws {SnapshotError} `NOT_FOUND` if there is none, `CORRUPT` if it is damaged, `FORBIDDEN` if it is of another
   *   group, `CLOSED`
   */
  open(index?: bigint): Promise<SnapshotReader>;

  /**
   * What is here, good, and of the storage's group, newest first. What could not be read when the storage was opened is
   * looked at again, and is here once it can be.
   */
  list(): Promise<SnapshotInfo[]>;

  /**
   * What is here and could not be read, or not understood, when the storage was opened, and cannot be now: newest first. It
   * stays where it is and is not listed. It may well be good: nothing is written over it, nothing older is taken in, and it
   * does not count for retention.
   */
  unreadable(): Promise<UnreadableSnapshot[]>;

  /**
   * Begins, or goes on with, taking in a snapshot whose manifest is known and whose chunks come one by one, from
   * anywhere and in any order. What was received stays when the install is closed, where the storage can keep it.
   *
   * @param manifest what is to be received; every file must have chunks
   * @throws {SnapshotError} `STALE` if it is not newer than the newest here, `BUSY` while another install is open,
   *   `UNSUPPORTED` if it has a file without chunks, `FORBIDDEN` if it is of another group
   */
  install(manifest: SnapshotManifest): Promise<SnapshotInstall>;

  /** The install that is open, if one is: what has come of it can be read, and given on to others. */
  readonly installing: SnapshotInstall | undefined;

  /** What installs that were interrupted, also before a restart, were to receive; to be gone on with. */
  unfinished(): Promise<SnapshotManifest[]>;

  /**
   * Quarantines a snapshot that is bad. Whoever calls this has a doubt: the storage reads the snapshot itself, and only what
   * is proven wrong (its bytes are here, were read more than once, and do not have their digest) is quarantined. The next
   * older one is the newest then. It is done when the last reader of the snapshot was closed; from now on nobody can open
   * it. Four are kept for a person, at most; see {@linkcode restore}.
   *
   * @param index which one
   * @param reason why, for a person
   * @returns whether it is quarantined; if not it is where it was, since it is good or cannot be read now, or there is none
   */
  quarantine(index: bigint, reason: string): Promise<boolean>;

  /** What is quarantined, the last first. */
  quarantined(): Promise<QuarantinedSnapshot[]>;

  /**
   * Makes a quarantined snapshot one again, after all of it was read and verified.
   *
   * @param index which one; of several the last that verifies
   * @param options the signal
   * @throws {SnapshotError} `NOT_FOUND` if none with this index is quarantined, `BUSY` if there is a snapshot with it,
   *   `CORRUPT` if it is bad; whatever it cannot be read for
   */
  restore(index: bigint, options?: VerifyOptions): Promise<SnapshotInfo>;

  /**
   * Tells a listener of every snapshot that is quarantined here from now on, whoever found it bad: it is none any more.
   *
   * @param listener is given the index, and why; an error that it throws is dropped
   * @returns what ends it
   */
  onQuarantine(listener: (index: bigint, reason: string) => void): () => void;

  /** Closes the storage, its readers, and its writer and install, which are given up. */
  close(): Promise<void>;
}

/** A snapshot in a storage. */
export interface SnapshotInfo {
  /** What it is a snapshot of. */
  readonly meta: SnapshotMeta;
  /** Its name: 32 bytes. */
  readonly digest: Uint8Array;
  /** Bytes of all files; 0 where it is not known (a snapshot of braft's before it was opened). */
  readonly size: number;
  /** How many files it has. */
  readonly files: number;
  /** How many chunks they have; 0 for a snapshot that braft wrote. */
  readonly chunks: number;
  /** Whether a reader keeps it from being deleted. */
  readonly pinned: boolean;
}

/** A snapshot that was proven bad when its storage was opened. */
export interface DamagedSnapshot {
  /** Its index, from the name that it has in the storage. */
  readonly index: bigint;
  /** Says what is wrong with it. */
  readonly error: SnapshotError;
}

/** A snapshot that cannot be read now. */
export interface UnreadableSnapshot {
  /** Its index, from its name. */
  readonly index: bigint;
  /** What it cannot be read for. */
  readonly error: SnapshotError;
}

/** A snapshot that was quarantined. */
export interface QuarantinedSnapshot {
  /** Its index. */
  readonly index: bigint;
  /** When it was quarantined: milliseconds since 1970. Absent where that is not kept. */
  readonly at?: number;
  /** Why, for a person. Absent where that is not kept. */
  readonly reason?: string;
}

/** A snapshot being written. Not to be seen by anybody before {@linkcode commit} has resolved. */
export interface SnapshotWriter extends AsyncDisposable {
  /**
   * A new file. Several may be written at the same time. The stream's chunks are copied: they may be changed as soon
   * as their write has resolved. Closing the stream makes the file durable.
   *
   * @param name see {@linkcode checkName}
   * @param options attributes, and the size if it is known
   * @returns a stream that fails with `MALFORMED` if the name is not allowed or there already
   */
  file(name: string, options?: FileOptions): WritableStream<Uint8Array>;

  /**
   * Puts files of earlier snapshots of this storage into this one, found by their root digests, under the names that are
   * given: without a copy where that can be done. The newest snapshot that one was found in is the parent of this one.
   * Once a snapshot was found bad none is taken from those that were there with it: they may share what is bad.
   *
   * @param files which
   * @returns whether all of them are here, and now in this snapshot too; else none is
   * @throws {SnapshotError} `MALFORMED` if a name is not allowed or there already
   */
  reuse(files: readonly FileInfo[]): Promise<boolean>;

  /**
   * What is known of a file that was written to its end, or reused.
   *
   * @throws {SnapshotError} `NOT_FOUND`
   */
  info(name: string): FileInfo;

  /**
   * Has the snapshot sealed when it is complete: by whoever encrypts its files, so that none of them can be left out,
   * renamed, or found in another snapshot.
   *
   * @param seal is given the snapshot digest, 32 bytes
   */
  sealWith(seal: (digest: Uint8Array) => Promise<SnapshotSeal>): void;

  /**
   * Makes the snapshot durable, reads it back, and only then lets it be seen. Then retention takes what is too old.
   *
   * @param meta what it is a snapshot of
   * @param options what is expected, and who tries it first
   * @returns the new snapshot
   * @throws {SnapshotError} `STALE` if a snapshot with this or a higher index is here; `CORRUPT` if the digest is not
   *   the expected one; `MALFORMED` if a file was not closed; `FORBIDDEN` if it is of another group; `NO_SPACE` …
   *   After any failure nothing is left of it.
   * @throws whatever `options.check` throws
   */
  commit(meta: SnapshotMeta, options?: CommitOptions): Promise<SnapshotInfo>;

  /** Gives the snapshot up and leaves nothing of it. Nothing happens after a commit. */
  abort(reason?: unknown): Promise<void>;
}

/** What files are written with, by who does not commit them. */
export type FileWriter = Pick<SnapshotWriter, "file" | "reuse" | "info" | "sealWith">;

/** Options of {@linkcode SnapshotStorage.create}. */
export interface CreateOptions {
  /** Called with each number of bytes that a file has taken in. */
  readonly onBytes?: (bytes: number) => void;
  /**
   * Called with the bytes and chunks of what is reused: of each file, or of each chunk where they have to be copied. And
   * with negative numbers if it turns out that they cannot be.
   */
  readonly onReused?: (bytes: number, chunks: number) => void;
  /**
   * Whether the snapshot comes from elsewhere, with files as they are to be stored: its group must be the storage's,
   * and a storage that encrypts takes only what is encrypted and sealed with a key that it has.
   *
   * @default {false}
   */
  readonly raw?: boolean;
}

/** Options of a commit that puts a snapshot of others among one's own. */
export interface CheckOptions {
  /**
   * Tries the snapshot when it is complete, verified and durable, but nobody can see it yet, and nothing was retired for
   * it: if this throws, it does not become a snapshot. The reader is closed afterwards.
   */
  readonly check?: ((reader: SnapshotReader) => Promise<void>) | undefined;
}

/** Options of {@linkcode SnapshotWriter.commit}. */
export interface CommitOptions extends CheckOptions {
  /** The digest that the snapshot must have, 32 bytes. */
  readonly digest?: Uint8Array;
}

/** An open snapshot. */
export interface SnapshotReader extends AsyncDisposable {
  /** What it is a snapshot of. */
  readonly meta: SnapshotMeta;
  /** Its manifest. */
  readonly manifest: SnapshotManifest;
  /** Whether what is read was verified: chunk by chunk, or (a snapshot that braft wrote) not at all. */
  readonly verified: "chunks" | "none";

  /**
   * What is known of a file.
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
   * The content of a file, or a part of it. Each chunk is verified before any byte of it is handed on. A file with
   * chunks comes chunk by chunk, of which a range may cut off the first and the last.
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

  /** Lets the snapshot go. Streams that are still being read fail with `CLOSED`. */
  close(): Promise<void>;
}

/** A range of bytes. */
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

/** Options of {@linkcode SnapshotReader.file}. */
export interface ReadOptions extends ByteRange {
  /**
   * Reads what is stored, as the chunks of the manifest have it: of a file that was encrypted as it was written, that.
   *
   * @default {false}
   */
  readonly raw?: boolean;
}

/** Options of {@linkcode SnapshotReader.verify}. */
export interface VerifyOptions {
  /** Stops it. */
  readonly signal?: AbortSignal;
}

/** How many bad chunks a verification lists. */
export const MAX_LISTED_BAD = 1000;

/** What {@linkcode SnapshotReader.verify} found. */
export interface VerifyResult {
  /** Whether nothing bad was found. */
  readonly ok: boolean;
  /** How it was verified: against chunk digests, or only that all files can be read. */
  readonly verified: "chunks" | "none";
  /** Bytes read. */
  readonly bytes: number;
  /** Chunks checked. */
  readonly chunks: number;
  /** What is bad; at most 1000 are listed. */
  readonly bad: readonly BadChunk[];
}

/** A part of a snapshot that is not as it was saved. */
export interface BadChunk {
  /** The file. */
  readonly file: string;
  /** The chunk; absent if it is the file as a whole. */
  readonly chunk?: number;
  /** What is wrong with it, for a person. */
  readonly message: string;
}

/** A snapshot being received. */
export interface SnapshotInstall extends AsyncDisposable {
  /** What is being received. */
  readonly manifest: SnapshotManifest;

  /**
   * Looks what is here already: chunks that an earlier, interrupted install left, and chunks of other snapshots of
   * this storage, found by their digest. All are verified. To be called once, first.
   *
   * @param options the signal, and who wants to know
   */
  prepare(options?: PrepareOptions): Promise<void>;

  /**
   * What is missing: runs of chunks, in the order of the files and their chunks; of chunks that are the same one only.
   * Changes as chunks are written.
   */
  missing(): IterableIterator<ChunkRun>;

  /** Whether a chunk is here, verified. */
  has(file: string, chunk: number): boolean;

  /**
   * Notes of a chunk whether it has been asked for somewhere: others, who would ask for it in the same place, can wait
   * until it is here.
   */
  expect(file: string, chunk: number, isExpected: boolean): void;

  /** Which chunks of the content are here, verified. */
  held(): ChunkSet;

  /** Which chunks of the content are here or {@linkcode expect}ed. */
  expected(): ChunkSet;

  /**
   * What has come of a file, or a part of it; verified again, and never a byte of a chunk that is not here.
   *
   * @param name the file
   * @param range which bytes; all of their chunks must be here
   * @returns a stream that fails with `NOT_FOUND` when it comes to a chunk that is not here
   */
  file(name: string, range?: ByteRange): ReadableStream<Uint8Array>;

  /**
   * Takes in a chunk, and puts it wherever the snapshot has the same one. Verifies it first. Several may be written at
   * the same time.
   *
   * @param file the name of the file
   * @param chunk the number of the chunk
   * @param bytes its bytes, not to be changed before this resolves
   * @throws {SnapshotError} `CORRUPT` if they are not that chunk's; nothing is written then
   */
  write(file: string, chunk: number, bytes: Uint8Array): Promise<void>;

  /**
   * Makes it a snapshot: see {@linkcode SnapshotWriter.commit}. One that its check refuses for what it is (`MALFORMED`,
   * `UNSUPPORTED`, `CORRUPT`) is dropped, since it would be refused again; after any other failure what was received stays.
   *
   * @param options who tries it first
   * @throws {SnapshotError} `MALFORMED` if chunks are missing, `STALE`, `NO_SPACE` …
   * @throws whatever `options.check` throws
   */
  commit(options?: CheckOptions): Promise<SnapshotInfo>;

  /** Closes it. What was received stays for the next time, where the storage can keep it. */
  close(): Promise<void>;
}

/** Options of {@linkcode SnapshotInstall.prepare}. */
export interface PrepareOptions {
  /** Stops it. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Called with each number of bytes (and chunks) that need not be fetched: now, and whenever a chunk that is written
   * is also one elsewhere in the snapshot.
   */
  readonly onReused?: (bytes: number, chunks: number) => void;
}

/** Consecutive chunks of a file. */
export interface ChunkRun {
  /** The file. */
  readonly file: FileInfo;
  /** The first chunk. */
  readonly first: number;
  /** The chunk before which it ends. */
  readonly end: number;
}
