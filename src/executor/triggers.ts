/**
 * The triggers of snapshots.
 *
 * @module
 */

import { backoff } from "../async/mod.ts";
import { defined, limitOf } from "../checks.ts";
import type { Clock } from "./clock.ts";

/**
 * The triggers of snapshots, besides calls of `snapshot()`. Of a machine that keeps its state on a disk, and a log of
 * its own, no snapshot is taken then: the machine is flushed, and the log purged behind what it has on its disk.
 *
 * @category Replica
 * @see {@linkcode Replica}
 */
export interface TriggerOptions {
  /**
   * Milliseconds between two snapshots; the first after a random part of it, so that replicas do not all save at once.
   * 0 for never.
   *
   * @default {3600000}
   */
  readonly interval?: number;
  /**
   * By how much an interval varies, as a share of it.
   *
   * @default {0.1}
   */
  readonly jitter?: number;
  /**
   * Entries applied since the last snapshot. 0 for never.
   *
   * @default {400000}
   */
  readonly entries?: number;
  /**
   * Bytes of the entries that were applied since the last snapshot. 0 for never.
   *
   * @default {0}
   */
  readonly logBytes?: number;
  /**
   * The same, as a multiple of the size of the last snapshot; not below 1 MiB. 0 for never.
   *
   * @default {0}
   */
  readonly logFactor?: number;
  /**
   * Entries that must have been applied since the last snapshot for `snapshot()` to take one, if the call does not say
   * how many (Ratis: `creation.gap`).
   *
   * @default {1}
   */
  readonly gap?: number;
  /**
   * True to take one on close, if anything was applied since the last.
   *
   * @default {false}
   */
  readonly onClose?: boolean;
}

/**
 * The retries of a failed save.
 *
 * @category Replica
 * @see {@linkcode Replica}
 */
export interface RetryOptions {
  /**
   * Milliseconds before the first attempt; each later one waits twice as long.
   *
   * @default {1000}
   */
  readonly initial?: number;
  /**
   * The longest wait, in milliseconds.
   *
   * @default {60000}
   */
  readonly max?: number;
}

/** The state of machine and log. */
export interface TriggerState {
  /** The last entry that was applied. */
  readonly appliedIndex: bigint;
  /** The last entry of the last snapshot; 0 if there is none. */
  readonly snapshotIndex: bigint;
  /** Bytes of the last snapshot; 0 if there is none. */
  readonly snapshotBytes: number;
  /** Bytes of the entries that were applied since the last snapshot. */
  readonly logBytes: number;
}

/** Below this a log is not worth a snapshot, however small the last one was. */
const MIN_LOG_BYTES = 1024 * 1024;

/** Calls for snapshots when one is due: by time, by what was applied, and again after a failure. */
export class Triggers {
  readonly #options: Required<TriggerOptions>;
  readonly #retry: Required<RetryOptions>;
  readonly #clock: Clock;
  readonly #due: () => void;
  #cancelInterval: (() => void) | undefined;
  #cancelRetry: (() => void) | undefined;
  #failures = 0;

  /**
   * @param options what makes one due
   * @param retry how failures are met
   * @param clock time
   * @param due called when one is due; takes it, or not if there is something in the way
   */
  constructor(options: TriggerOptions, retry: RetryOptions, clock: Clock, due: () => void) {
    this.#options = {
      interval: 3_600_000,
      jitter: 0.1,
      entries: 400_000,
      logBytes: 0,
      logFactor: 0,
      gap: 1,
      onClose: false,
      ...defined(options),
    };
    this.#retry = { initial: 1000, max: 60_000, ...defined(retry) };
    this.#clock = clock;
    this.#due = due;
  }

  /** True if one is to be taken on close. */
  get onClose(): boolean {
    return this.#options.onClose;
  }

  /** See {@linkcode TriggerOptions.gap}. */
  get gap(): number {
    return this.#options.gap;
  }

  /** Starts the timer. */
  start(): void {
    if (limitOf(this.#options.interval) < Infinity) this.#schedule(Math.random() * this.#options.interval);
  }

  /** Stops all timers. */
  stop(): void {
    this.#cancelInterval?.();
    this.#cancelRetry?.();
    this.#cancelInterval = this.#cancelRetry = undefined;
  }

  /** Something was applied: calls if that makes a snapshot due. After a failure the wait comes first. */
  applied(state: TriggerState): void {
    if (this.#cancelRetry === undefined && this.#isDue(state)) this.#due();
  }

  /** Something is wanted at once: calls. After a failure the wait comes first. */
  wanted(): void {
    if (this.#cancelRetry === undefined) this.#due();
  }

  /** A snapshot was taken. */
  succeeded(): void {
    this.#failures = 0;
    this.#cancelRetry?.();
    this.#cancelRetry = undefined;
  }

  /** A snapshot could not be taken: it is retried, later each time. */
  failed(): void {
    this.#cancelRetry?.();
    const wait = backoff(this.#failures++, { first: this.#retry.initial, longest: this.#retry.max });
    this.#cancelRetry = this.#clock.after(wait, () => {
      this.#cancelRetry = undefined;
      this.#due();
    }, true);
  }

  #isDue({ appliedIndex, snapshotIndex, snapshotBytes, logBytes }: TriggerState): boolean {
    if (appliedIndex <= snapshotIndex) return false;
    const { entries, logBytes: bytes, logFactor } = this.#options;
    const factor = limitOf(logFactor);
    return appliedIndex - snapshotIndex >= limitOf(entries) || logBytes >= limitOf(bytes) ||
      (factor < Infinity && logBytes >= Math.max(snapshotBytes * factor, MIN_LOG_BYTES));
  }

  #schedule(ms: number): void {
    this.#cancelInterval = this.#clock.after(ms, () => {
      const { interval, jitter } = this.#options;
      this.#schedule(interval * (1 + (Math.random() * 2 - 1) * jitter));
      this.#due();
    }, true);
  }
}
