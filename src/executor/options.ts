/**
 * What an executor works with, and what it may be told.
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

/** What an executor may be told. */
export interface ExecutorOptions {
  /** What makes a snapshot be taken, besides being asked. */
  readonly triggers?: TriggerOptions;
  /** How a failed save is tried again. */
  readonly retry?: RetryOptions;
  /** What may be purged of the log. */
  readonly purge?: PurgeOptions;
  /**
   * How long a save may take, in milliseconds.
   *
   * @default {600000}
   */
  readonly saveTimeout?: number;
  /**
   * How long a save or an install may take without coming further, in milliseconds.
   *
   * @default {60000}
   */
  readonly stallTimeout?: number;
  /**
   * What an install does that finds a save running: waits until it is committed, or cancels it.
   *
   * @default {"wait"}
   */
  readonly whileSaving?: "wait" | "cancel";
  /** Time. */
  readonly clock?: Clock;
  /** Told of everything that happens. What it throws is dropped. */
  readonly onEvent?: (event: ExecutorEvent) => void;
}

/** What an executor works with. */
export interface ExecutorContext {
  /** What is saved and loaded. */
  readonly machine: StateMachine;
  /** Where snapshots are. */
  readonly storage: SnapshotStorage;
  /** The log behind them. */
  readonly log: LogStorage;
  /** Whether replicas that apply the same log may have the same storage: a snapshot of another is as good as one's own. */
  readonly isShared?: boolean;
  /** The snapshot that the machine was loaded from; none if it was from none. */
  readonly newest: SnapshotInfo | undefined;
  /** The newest of which it has all by itself, if it was loaded from none; nobody has tried it. */
  readonly had?: SnapshotInfo | undefined;
  /** Those that it could not be loaded from; by default none. */
  readonly unusable?: readonly UnusableSnapshot[];
  /** Up to where entries were applied. */
  applied(): Applied;
  /** Throws if the state must not be saved: an entry was applied by half. Called between two applies. */
  checkSavable(): void;
  /** Runs something between two applies. */
  exclusive<T>(work: () => T | Promise<T>): Promise<T>;
  /** The machine was loaded from this snapshot. Called between two applies. */
  loaded(meta: SnapshotMeta): void;
  /**
   * The machine was loaded from a snapshot that did not become durable: gives it back the state that storage and log have,
   * or stops the replica. Called between two applies.
   */
  restore(cause: unknown): Promise<void>;
}

/** Options of {@linkcode SnapshotExecutor.snapshot}. */
export interface SnapshotOptions {
  /**
   * How many entries must have been applied since the last snapshot; fewer, and there is none taken.
   *
   * @default {1}
   */
  readonly gap?: number;
  /** Gives it up. */
  readonly signal?: AbortSignal;
}

/** What receives a snapshot into the storage. */
export interface Receiver {
  /** The index of the snapshot, if it is known before it is received. */
  readonly index: bigint | undefined;
  /**
   * Receives it.
   *
   * @param signal gives it up
   * @param tracker is told how far it is
   * @param found is told the index, when it is known or when it changes; throws if it is not wanted
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
