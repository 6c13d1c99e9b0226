/**
 * The surroundings and the options of an executor.
 *
 * @module
 */

import type { LogStorage } from "../log/mod.ts";
import type { CheckOptions, SnapshotInfo, SnapshotMeta, SnapshotStorage } from "../snapshot/mod.ts";
import type { Applied, StateMachine } from "../state/mod.ts";
import type { Tracker } from "../async/mod.ts";
import type { Clock } from "./clock.ts";
import type { UnusableSnapshot } from "./counted.ts";
import type { ExecutorEvent } from "./events.ts";
import type { PurgeOptions } from "./purge.ts";
import type { RetryOptions, TriggerOptions } from "./triggers.ts";

/** Options of an executor. */
export interface ExecutorOptions {
  /** The triggers of snapshots, besides calls of `snapshot()`. */
  readonly triggers?: TriggerOptions;
  /** The retries of a failed save. */
  readonly retry?: RetryOptions;
  /** The rules for purging the log. */
  readonly purge?: PurgeOptions;
  /**
   * The longest that a save may take, in milliseconds.
   *
   * @default {600000}
   */
  readonly saveTimeout?: number;
  /**
   * The longest that a save or an install may take without progress, in milliseconds.
   *
   * @default {60000}
   */
  readonly stallTimeout?: number;
  /**
   * The behaviour of an install during a save: it waits until the save is committed, or cancels it.
   *
   * @default {"wait"}
   */
  readonly whileSaving?: "wait" | "cancel";
  /** The clock; by default that of the runtime. */
  readonly clock?: Clock;
  /** Called with each event. Its errors are ignored. */
  readonly onEvent?: (event: ExecutorEvent) => void;
}

/** The surroundings of an executor. */
export interface ExecutorContext {
  /** The machine that is saved and loaded. */
  readonly machine: StateMachine;
  /** The storage of the snapshots. */
  readonly storage: SnapshotStorage;
  /** The log behind them. */
  readonly log: LogStorage;
  /** True if the log is shared: such replicas may share a storage, and another's snapshot is as good as one's own. */
  readonly isShared?: boolean;
  /** The snapshot that the machine was loaded from, if any. */
  readonly newest: SnapshotInfo | undefined;
  /** If it was loaded from none: the newest of which the machine itself has everything; nobody has tried it. */
  readonly had?: SnapshotInfo | undefined;
  /** The snapshots that it could not be loaded from; by default none. */
  readonly unusable?: readonly UnusableSnapshot[];
  /** Returns the last entry that was applied. */
  applied(): Applied;
  /** Throws if the state must not be saved, since an entry was half applied. Called between two applies. */
  checkSavable(): void;
  /** Runs `work` between two applies. */
  exclusive<T>(work: () => T | Promise<T>): Promise<T>;
  /** Notes that the machine was loaded from this snapshot. Called between two applies. */
  loaded(meta: SnapshotMeta): void;
  /**
   * Called if the machine was loaded from a snapshot that did not become durable: restores the state that storage and
   * log have, or stops the replica. Called between two applies.
   */
  restore(cause: unknown): Promise<void>;
}

/** Options of {@linkcode SnapshotExecutor.snapshot}. */
export interface SnapshotOptions {
  /**
   * The number of entries that must have been applied since the last snapshot; with fewer none is taken.
   *
   * @default {1}
   */
  readonly gap?: number;
  /** Cancels it. */
  readonly signal?: AbortSignal;
}

/** Receives a snapshot into the storage. */
export interface Receiver {
  /** The index of the snapshot, if it is known before it is received. */
  readonly index: bigint | undefined;
  /**
   * Receives it.
   *
   * @param signal cancels it
   * @param tracker takes the progress
   * @param found is called with the index once it is known, and when it changes; throws if it is not wanted
   * @param check tries the snapshot before it is committed, as an option of the commit
   * @returns the snapshot, committed
   */
  receive(
    signal: AbortSignal,
    tracker: Tracker,
    found: (index: bigint) => void,
    check: NonNullable<CheckOptions["check"]>,
  ): Promise<SnapshotInfo>;
}
