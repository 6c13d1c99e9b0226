/**
 * Entries that a follower has received, on their way to the log: many batches in one write.
 *
 * @module
 */

import type { LogBatch } from "../log/mod.ts";
import { ENTRY_BYTES } from "./log_feed.ts";

/** So many bytes are appended at once, about, and as many more may wait for it. */
const MOST_BYTES = 1024 * 1024;
/**
 * The least time between the beginnings of two writes, in milliseconds. Each syncs the disk, and whoever else writes to
 * that waits too, such as a leader on the same machine. What comes after a pause is written at once.
 */
const SPACING = 5;

/**
 * Appends batches in their order, one write after the other. A write to the disk costs about the same for one batch as
 * for a hundred: what comes while one runs goes together with the next, and whoever is far behind gathers first.
 */
export class Appends {
  readonly #append: (batches: readonly LogBatch[]) => Promise<void>;
  readonly #onFailed: (error: unknown) => void;
  #waiting: LogBatch[] = [];
  #bytes = 0;
  #running: Promise<void> | undefined;
  /** When the last write began. */
  #began = -Infinity;
  /** Begins the next. */
  #timer: ReturnType<typeof setTimeout> | undefined;
  #failure: { readonly error: unknown } | undefined;

  /**
   * @param append appends batches, durably
   * @param onFailed called once it has failed: nothing is appended any more
   */
  constructor(append: (batches: readonly LogBatch[]) => Promise<void>, onFailed: (error: unknown) => void) {
    this.#append = append;
    this.#onFailed = onFailed;
  }

  /** Takes a batch that follows the one before it. */
  add(batch: LogBatch): void {
    this.#waiting.push(batch);
    for (const { data } of batch.entries) this.#bytes += data.length + ENTRY_BYTES;
  }

  /**
   * Appends what waits, unless more of it is sure to come; waits if that is too much already.
   *
   * @param isBehind whether more is sure to come
   */
  async step(isBehind: boolean): Promise<void> {
    while (this.#running !== undefined && this.#bytes >= MOST_BYTES) await this.#running;
    if (this.#running === undefined && (!isBehind || this.#bytes >= MOST_BYTES)) this.#startInTime();
  }

  /**
   * Appends what waits, and ends.
   *
   * @throws the reason why it could not
   */
  async end(): Promise<void> {
    for (;;) {
      if (this.#running === undefined) this.#start();
      if (this.#running === undefined) break;
      await this.#running;
    }
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Starts a write, or has it start later. */
  #startInTime(): void {
    if (this.#waiting.length === 0) return;
    const wait = this.#bytes < MOST_BYTES ? this.#began + SPACING - performance.now() : 0;
    if (wait <= 0) this.#start();
    else this.#timer ??= setTimeout(() => this.#start(), wait);
  }

  #start(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#waiting.length === 0 || this.#failure !== undefined) return;
    this.#began = performance.now();
    const batches = this.#waiting;
    this.#waiting = [];
    this.#bytes = 0;
    this.#running = this.#append(batches).catch((error) => {
      this.#failure = { error };
      this.#onFailed(error);
    }).then(() => {
      this.#running = undefined;
      this.#startInTime();
    });
  }
}
