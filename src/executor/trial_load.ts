/**
 * What a machine does with a snapshot before it is committed: it checks it, or, if it cannot, is loaded.
 *
 * @module
 */

import type { SnapshotInfo, SnapshotReader } from "../snapshot/mod.ts";
import type { ExecutorContext } from "./options.ts";
import { alignLog, restoreState } from "./recovery.ts";

/** The outcome of a commit. */
type Outcome = { readonly snapshot: SnapshotInfo } | { readonly cause: unknown };

/**
 * Loads the machine, and keeps it between two applies until it is known whether the snapshot is durable: nothing is
 * applied on a state that a crash would take back.
 */
export class TrialLoad {
  /** What the machine's check has kept of the snapshot. */
  checked: unknown;
  readonly #context: ExecutorContext;
  #turn: Promise<void> | undefined;
  #end: ((outcome: Outcome) => void) | undefined;

  /** @param context the machine, its log, and its snapshots */
  constructor(context: ExecutorContext) {
    this.#context = context;
  }

  /** True once the machine was loaded. */
  get isLoaded(): boolean {
    return this.#end !== undefined;
  }

  /**
   * Loads the machine. After this resolves nothing is applied before {@linkcode end}.
   *
   * @param reader the snapshot
   * @param checkWanted called between two applies; throws if the snapshot is not wanted any more
   */
  load(reader: SnapshotReader, checkWanted: () => void): Promise<void> {
    const { fsm, log } = this.#context;
    return new Promise((resolve, reject) => {
      this.#turn = fsm.replace(checkWanted, async () => {
        await fsm.load(reader);
        const outcome = await new Promise<Outcome>((end) => {
          this.#end = end;
          resolve();
        });
        if ("cause" in outcome) return await restoreState(this.#context, outcome.cause);
        const { meta } = outcome.snapshot;
        fsm.loaded(meta); // even if the log cannot be aligned
        await alignLog(fsm, log, meta);
      });
      this.#turn.catch(reject); // of no effect once it was loaded: `end` rejects then
    });
  }

  /**
   * Takes the outcome of the commit. Resolves when entries may be applied again.
   *
   * @throws the error of aligning the log, or of restoring the former state
   */
  async end(outcome: Outcome): Promise<void> {
    this.#end?.(outcome);
    await this.#turn;
  }
}
