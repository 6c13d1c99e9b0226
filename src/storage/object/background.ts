/**
 * The background tasks of a storage: what nobody waits for, and what must not fail in silence.
 *
 * @module
 */

import { type FailingTask, Failures } from "../../async/mod.ts";
import type { SnapshotError } from "../../errors.ts";

/** What a storage does in the background. */
export type BackgroundTask =
  /** Deleting what is not needed any more; done after the next commit. */
  | "collect"
  /** Renewing the lease of a snapshot that is being written; done a few minutes later. */
  | "renew"
  /** Protecting a snapshot that is being read for long; it may be collected. */
  | "protect"
  /** Letting go of what was read, left or received; it runs out, and is collected. */
  | "release"
  /** Quarantining a snapshot that was found bad; done when it is read next. */
  | "quarantine";

/** Counts, and tells of, what fails in the background. */
export class BackgroundTasks {
  readonly #running = new Set<Promise<void>>();
  readonly #warn: (error: SnapshotError) => void;
  readonly #failures: Failures<BackgroundTask>;
  #isClosed = false;

  /**
   * @param warn is told of each failure
   * @param tell is told of the tenth in a row, and of each tenth after it
   */
  constructor(warn: (error: SnapshotError) => void, tell: (task: FailingTask<BackgroundTask>) => void) {
    this.#warn = warn;
    this.#failures = new Failures(tell);
  }

  /** The tasks that failed the last time. */
  get failing(): readonly FailingTask<BackgroundTask>[] {
    return this.#failures.failing;
  }

  /** Runs a task that nobody waits for. */
  run(task: BackgroundTask, what: string, work: Promise<unknown>): void {
    const done: Promise<void> = work
      .then(() => this.succeeded(task), (error) => this.failed(task, what, error))
      .finally(() => this.#running.delete(done));
    this.#running.add(done);
  }

  /** Notes that a task was done. */
  succeeded(task: BackgroundTask): void {
    this.#failures.succeeded(task);
  }

  /** Notes that a task failed. */
  failed(task: BackgroundTask, what: string, cause: unknown): void {
    if (this.#isClosed) return; // it was cancelled
    this.#warn(this.#failures.failed(task, what, cause));
  }

  /** Waits until none is running. */
  async settled(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** Waits for those that run; what fails now is not told. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.settled();
  }
}
