/**
 * The contract of a storage: braft's `SnapshotStorage`.
 *
 * @module
 */

import type { FailingTask } from "../async/mod.ts";
import type { SnapshotAt } from "./at.ts";
import type { QuarantinedSnapshot, SnapshotInfo, UnreadableSnapshot } from "./info.ts";
import type { SnapshotInstall } from "./install.ts";
import type { SnapshotManifest } from "./manifest.ts";
import type { SnapshotReader, VerifyOptions } from "./reader.ts";
import type { SnapshotVerifier } from "./signature.ts";
import type { CreateOptions, SnapshotWriter } from "./writer.ts";

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
