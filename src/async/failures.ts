/**
 * Counting what is done again and again, and fails.
 *
 * @module
 */

import { messageOf, SnapshotError } from "../errors.ts";
import { neverThrowing } from "./never_throwing.ts";

/** The failures in a row after which a task is said to be failing, and then after as many again. */
const FAILING = 10;

/** A task that failed the last time. */
export interface FailingTask<T extends string = string> {
  /** What it is. */
  readonly task: T;
  /** How many times it failed in a row. */
  readonly failures: number;
  /** The time of the first of those, in milliseconds since 1970. */
  readonly since: number;
  /** The last failure. */
  readonly error: SnapshotError;
}

/** Counts failures in a row. */
export class Failures<T extends string> {
  readonly #failing = new Map<T, FailingTask<T>>();
  readonly #tell: (task: FailingTask<T>) => void;

  /** @param tell is told of the tenth in a row, and of each tenth after it */
  constructor(tell: (task: FailingTask<T>) => void) {
    this.#tell = neverThrowing(tell);
  }

  /** The tasks that failed the last time. */
  get failing(): readonly FailingTask<T>[] {
    return [...this.#failing.values()];
  }

  /** Notes that a task was done. */
  succeeded(task: T): void {
    this.#failing.delete(task);
  }

  /**
   * Notes that a task failed.
   *
   * @param task the task
   * @param what what is the matter, for a person
   * @param cause why
   * @returns the error that says so
   */
  failed(task: T, what: string, cause: unknown): SnapshotError {
    const { failures: before = 0, since = Date.now() } = this.#failing.get(task) ?? {};
    const failures = before + 1;
    const error = new SnapshotError("UNAVAILABLE", `${what}, ${failures} times in a row: ${messageOf(cause)}`, {
      cause,
    });
    const failing = { task, failures, since, error };
    this.#failing.set(task, failing);
    if (failures % FAILING === 0) this.#tell(failing);
    return error;
  }
}
