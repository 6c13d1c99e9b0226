/**
 * The surroundings and the options of an executor.
 *
 * @module
 */

import type { CheckOptions, SnapshotInfo, SnapshotStorage } from "../snapshot/mod.ts";
import type { Tracker } from "../async/mod.ts";
import type { Clock } from "./clock.ts";
import type { LogStorage, SharedLog } from "../log/mod.ts";
import type { Beginning } from "./counted.ts";
import type { ExecutorEvent } from "./events.ts";
import type { FsmCaller } from "./fsm_caller.ts";
import type { Member, PurgeOptions } from "./purge.ts";
import type { RetryOptions, TriggerOptions } from "./triggers.ts";

/**
 * Options of an executor.
 *
 * @category Replica
 * @see {@linkcode Replica}
 */
export interface ExecutorOptions {
  /** The triggers of snapshots, besides calls of `snapshot()`. */
  readonly triggers?: TriggerOptions;
  /** The retries of a failed save. */
  readonly retry?: RetryOptions;
  /** The rules for purging the log. */
  readonly purge?: PurgeOptions;
  /**
   * The longest that a save may take, in milliseconds. 0 for no limit.
   *
   * @default {600000}
   */
  readonly saveTimeout?: number;
  /**
   * The longest that a save or an install may take without progress, in milliseconds. 0 for no limit.
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
  /** Calls the machine that is saved and loaded. */
  readonly fsm: FsmCaller;
  /** The storage of the snapshots. */
  readonly storage: SnapshotStorage;
  /** The log behind them. Replicas that share one may share a storage: another's snapshot is as good as one's own. */
  readonly log: LogStorage | SharedLog;
  /** The last entry that may be purged, as others of this process say; by default all may. */
  readonly held?: () => bigint | undefined;
  /**
   * Those who follow the log, for the rules of a purge: {@linkcode LogFollowers.members}. By default none.
   *
   * @param free the last entry that may go but for them
   * @param timeout see {@linkcode PurgeOptions.safeIndexTimeout}
   */
  readonly followers?: (free: bigint, timeout: number) => readonly Member[];
  /** The snapshots that the machine was loaded from, or could not be; by default none. */
  readonly beginning?: Beginning;
}

/**
 * Options of {@linkcode SnapshotExecutor.snapshot}.
 *
 * @category Replica
 * @see {@linkcode Replica}
 */
export interface SnapshotOptions {
  /**
   * The number of entries that must have been applied since the last snapshot; with fewer none is taken. By default
   * that of {@linkcode TriggerOptions.gap}.
   *
   * @default {1}
   */
  readonly gap?: number;
  /**
   * While another save runs: joins it, and has the result of that one, whose state may be that of its beginning; or is
   * refused as `BUSY`.
   *
   * @default {"join"}
   */
  readonly whileSaving?: "join" | "refuse";
  /**
   * The time that the snapshot says it was taken, in milliseconds since 1970: of what the caller knows better, such as
   * the time of an event that its state is for. By default that of the synchronous part of the save. Of a save that is
   * joined, the time stands.
   */
  readonly createdAt?: number;
  /** Cancels it; of a save that was joined, only the wait for it. */
  readonly signal?: AbortSignal;
}

/** Receives a snapshot into the storage. */
export interface Receiver {
  /** The index of the snapshot, if it is known before it is received. */
  readonly index: bigint | undefined;
  /**
   * Whether saves run while it receives: if it calls `onReceived` before it commits, they run beside it. One that may
   * have the storage's one writer is ended for them (`"beside, or instead"`).
   *
   * @default {saves are `BUSY` meanwhile}
   */
  readonly saves?: "beside" | "beside, or instead";
  /**
   * Receives it.
   *
   * @param signal cancels it
   * @param tracker takes the progress
   * @param found is called with the index once it is known, and when it changes; throws if it is not wanted
   * @param check tries the snapshot before it is committed, as an option of the commit
   * @param onReceived is called when all of it is here, and waited for before the commit begins
   * @returns the snapshot, committed
   */
  receive(
    signal: AbortSignal,
    tracker: Tracker,
    found: (index: bigint) => void,
    check: NonNullable<CheckOptions["check"]>,
    onReceived: () => Promise<void>,
  ): Promise<SnapshotInfo>;
}
