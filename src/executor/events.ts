/**
 * What an executor tells whoever listens.
 *
 * @module
 */

import type { SnapshotInfo } from "../snapshot/mod.ts";
import type { Progress } from "../async/mod.ts";

/** What an executor is doing. */
export type ExecutorState = "idle" | "saving" | "receiving" | "loading" | "closed";

/** What a save gave. */
export interface SaveResult {
  /** Whether a snapshot was taken; if not, there was too little to save. */
  readonly taken: boolean;
  /** The snapshot, new or old; absent if there is none at all. */
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

/** What happened. */
export type ExecutorEvent =
  /** It does something else now. */
  | { readonly type: "state"; readonly state: ExecutorState }
  /** What is running came further. */
  | { readonly type: "progress"; readonly progress: Progress }
  /** A snapshot was taken. */
  | { readonly type: "saved"; readonly result: SaveResult }
  /** A snapshot could not be taken; it is tried again. */
  | { readonly type: "saveFailed"; readonly error: unknown }
  /** A snapshot was installed and loaded. */
  | { readonly type: "installed"; readonly snapshot: SnapshotInfo }
  /** A snapshot could not be installed. */
  | { readonly type: "installFailed"; readonly error: unknown; readonly index: bigint | undefined }
  /**
   * A snapshot cannot be used: it is proven bad and quarantined (`CORRUPT`), or it stays where it is, and `status()` names
   * it. What comes before it, and the log, are used in its stead.
   */
  | { readonly type: "unusable"; readonly snapshot: SnapshotInfo; readonly error: unknown }
  /** An opening has applied the log up to an index; told now and then, and at the end. */
  | { readonly type: "replayed"; readonly index: bigint; readonly lastIndex: bigint }
  /** The machine failed in a callback about what has happened already: that stands. */
  | {
    readonly type: "callbackFailed";
    readonly callback: "committed" | "release" | "reinitialize";
    readonly error: unknown;
  }
  /** The log was purged up to and with an index. */
  | { readonly type: "purged"; readonly index: bigint }
  /** The log could not be purged; it is tried again with the next snapshot. */
  | { readonly type: "purgeFailed"; readonly error: unknown };

/** Counts since the executor was made. */
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
  /** What the last save gave. */
  readonly lastSave?: SaveResult;
}
