/**
 * The background tasks of a storage: what nobody waits for, and what must not fail in silence.
 *
 * @module
 */

import { neverThrowing } from "../../async/mod.ts";
import { messageOf, SnapshotError } from "../../errors.ts";

/** The failures in a row after which a task is said to be failing, and then after as many again. */
const FAILING = 10;

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

/** A background task that failed the last time. */
export interface FailingTask {
  /** What it is. */
  readonly task: BackgroundTask;
  /** How many times it failed in a row. */
  readonly failures: number;
  /** The time of the first of those, in milliseconds since 1970. */
  readonly since: number;
  /** The last failure. */
  readonly error: SnapshotError;
}

/** Counts, and tells of, what fails in the background. */
export class BackgroundTasks {
  readonly #running = new Set<Promise<void>>();
  readonly #failing = new Map<BackgroundTask, FailingTask>();
  readonly #warn: (error: SnapshotError) => void;
  readonly #tell: (task: FailingTask) => void;
  #isClosed = false;

  /**
   * @param warn is told of each failure
   * @param tell is told of the tenth in a row, and of each tenth after it
   */
  constructor(warn: (error: SnapshotError) => void, tell: (task: FailingTask) => void) {
    this.#warn = warn;
    this.#tell = neverThrowing(tell);
  }

  /** The tasks that failed the last time. */
  get failing(): readonly FailingTask[] {
    return [...this.#failing.values()];
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
    this.#failing.delete(task);
  }

  /** Notes that a task failed. */
  failed(task: BackgroundTask, what: string, cause: unknown): void {
    if (this.#isClosed) return; // it was cancelled
    const { failures: before = 0, since = Date.now() } = this.#failing.get(task) ?? {};
    const failures = before + 1;
    const error = new SnapshotError("UNAVAILABLE", `${what}, ${failures} times in a row: ${messageOf(cause)}`, {
      cause,
    });
    const failing = { task, failures, since, error };
    this.#failing.set(task, failing);
    this.#warn(error);
    if (failures % FAILING === 0) this.#tell(failing);
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
