/**
 * The events, results and metrics of an executor.
 *
 * @module
 */

import type { SnapshotInfo } from "../snapshot/mod.ts";
import type { FailingTask, Progress } from "../async/mod.ts";

/**
 * The state of an executor.
 *
 * @category Replica
 * @see {@linkcode Replica}
 */
export type ExecutorState = "idle" | "saving" | "receiving" | "loading" | "closed";

/**
 * The result of a save.
 *
 * @category Replica
 * @see {@linkcode Replica}
 */
export interface SaveResult {
  /** True if a snapshot was taken; if not, there was too little to save. */
  readonly taken: boolean;
  /** The snapshot, new or old; absent if there is none. */
  readonly snapshot?: SnapshotInfo;
  /** The length of the synchronous part, during which nothing was applied, in milliseconds. */
  readonly syncDuration: number;
  /** The length of the asynchronous part, in milliseconds. */
  readonly asyncDuration: number;
  /** Bytes written. */
  readonly bytes: number;
  /** Chunks written. */
  readonly chunks: number;
  /** Bytes that were not written since they are here already. */
  readonly reused: number;
}

/**
 * The result of an install.
 *
 * @category Replica
 * @see {@linkcode Replica}
 */
export interface InstallResult {
  /** True if nothing was installed, since the state here is as new as what was offered. */
  readonly upToDate: boolean;
  /** The snapshot that was installed; the newest one here if it is up to date, and absent if there is none. */
  readonly snapshot?: SnapshotInfo;
}

/**
 * An event of an executor.
 *
 * @category Replica
 * @see {@linkcode Replica}
 */
export type ExecutorEvent =
  /** The state changed. */
  | { readonly type: "state"; readonly state: ExecutorState }
  /** The running operation made progress. */
  | { readonly type: "progress"; readonly progress: Progress }
  /** A snapshot was taken. */
  | { readonly type: "saved"; readonly result: SaveResult }
  /** A snapshot could not be taken; the save is retried. */
  | { readonly type: "saveFailed"; readonly error: unknown }
  /** The machine had nothing to save; it is not asked again before something is applied. */
  | { readonly type: "nothingToSave"; readonly index: bigint }
  /** A snapshot was installed and loaded. */
  | { readonly type: "installed"; readonly snapshot: SnapshotInfo }
  /** A snapshot could not be installed. */
  | { readonly type: "installFailed"; readonly error: unknown; readonly index: bigint | undefined }
  /**
   * A snapshot cannot be used: it is proven bad and quarantined (`CORRUPT`), or it stays where it is, and `status()`
   * names it. The snapshot before it, and the log, are used in its stead.
   */
  | { readonly type: "unusable"; readonly snapshot: SnapshotInfo; readonly error: unknown }
  /** An opening has applied the log up to an index; emitted now and then, and at the end. */
  | { readonly type: "replayed"; readonly index: bigint; readonly lastIndex: bigint }
  /** The machine failed in a callback about a past event, which stands. */
  | {
    readonly type: "callbackFailed";
    readonly callback: "committed" | "release" | "reinitialize";
    readonly error: unknown;
  }
  /** The log was purged up to and with an index. */
  | { readonly type: "purged"; readonly index: bigint }
  /** The log could not be purged; the purge is retried with the next snapshot. */
  | { readonly type: "purgeFailed"; readonly error: unknown }
  /** A save or a purge has failed ten times in a row, or ten more: somebody has to look. It is retried. */
  | { readonly type: "failing"; readonly task: FailingTask };

/**
 * A failure of an executor: it is retried, or another attempt may be made.
 *
 * @category Replica
 * @see {@linkcode Replica}
 */
export interface ExecutorFailure {
  /** What failed: taking a snapshot, installing one, or purging the log. */
  readonly during: "save" | "install" | "purge";
  /** The time of it, in milliseconds since 1970. */
  readonly at: number;
  /** The reason, in words. */
  readonly reason: string;
  /** The error itself. */
  readonly error: unknown;
}

/**
 * Counts since the executor was made.
 *
 * @category Replica
 * @see {@linkcode Replica}
 */
export interface ExecutorMetrics {
  /** Snapshots taken. */
  readonly saves: number;
  /** Saves that failed. */
  readonly saveFailures: number;
  /** Snapshots installed. */
  readonly installs: number;
  /** Installs that failed. */
  readonly installFailures: number;
  /** Entries purged from the log. */
  readonly purgedEntries: bigint;
  /** The result of the last save. */
  readonly lastSave?: SaveResult;
  /** How long the last saves took, the last one first, 32 at the most: see {@linkcode SaveResult}. */
  readonly recentSaves: readonly (Pick<SaveResult, "syncDuration" | "asyncDuration"> & {
    /** The index of the snapshot. */
    readonly index: bigint;
  })[];
}
