/**
 * Failures in a replica: the last time, and again and again.
 *
 * @module
 */

import { messageOf } from "../errors.ts";
import { type FailingTask, Failures } from "../async/mod.ts";
import { isShared } from "./any_log.ts";
import type { Clock } from "./clock.ts";
import type { ExecutorEvent, ExecutorFailure } from "./events.ts";
import type { ExecutorContext } from "./options.ts";

/** The failures of an executor. */
export class ExecutorFailures {
  readonly #context: Pick<ExecutorContext, "storage" | "log">;
  readonly #clock: Pick<Clock, "now">;
  readonly #counts: Failures<"save" | "purge">;
  #last: ExecutorFailure | undefined;

  /**
   * @param context its storage and log, whose background tasks may fail, too
   * @param clock says when
   * @param onEvent is told of what fails again and again
   */
  constructor(
    context: Pick<ExecutorContext, "storage" | "log">,
    clock: Pick<Clock, "now">,
    onEvent: (event: ExecutorEvent) => void,
  ) {
    this.#context = context;
    this.#clock = clock;
    this.#counts = new Failures((task) => onEvent({ type: "failing", task }));
  }

  /** The last one, whatever has succeeded since. */
  get last(): ExecutorFailure | undefined {
    return this.#last;
  }

  /** What failed the last time, and how many times in a row; with the background tasks of storage and log. */
  get failing(): readonly FailingTask[] {
    const { storage, log } = this.#context;
    const ofLog = isShared(log) ? log.failing?.() ?? [] : [];
    return [...this.#counts.failing, ...storage.failing?.() ?? [], ...ofLog];
  }

  /** Notes a failure. */
  failed(during: ExecutorFailure["during"], error: unknown): void {
    this.#last = { during, at: this.#clock.now(), reason: messageOf(error), error };
  }

  /** Counts one that is retried by itself. */
  count(task: "save" | "purge", error: unknown): void {
    this.#counts.failed(task, task === "save" ? "No snapshot could be taken" : "The log could not be purged", error);
  }

  /** Notes that a task was done. */
  succeeded(task: "save" | "purge"): void {
    this.#counts.succeeded(task);
  }
}
