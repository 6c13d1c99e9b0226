/**
 * Loading a snapshot before it is committed, for machines that cannot check one.
 *
 * @module
 */

import type { SnapshotInfo, SnapshotReader } from "../snapshot/mod.ts";
import type { ExecutorContext } from "./options.ts";
import { alignLog } from "./recovery.ts";
import type { CallBack } from "./save.ts";

/** The outcome of a commit. */
type Outcome = { readonly snapshot: SnapshotInfo } | { readonly cause: unknown };

/**
 * Loads the machine, and keeps it between two applies until it is known whether the snapshot is durable: nothing is
 * applied on a state that a crash would take back.
 */
export class TrialLoad {
  readonly #context: ExecutorContext;
  readonly #callBack: CallBack;
  #turn: Promise<void> | undefined;
  #end: ((outcome: Outcome) => void) | undefined;

  /**
   * @param context the machine, and its log
   * @param callBack calls the machine back
   */
  constructor(context: ExecutorContext, callBack: CallBack) {
    this.#context = context;
    this.#callBack = callBack;
  }

  /** True once the machine was loaded. */
  get isLoaded(): boolean {
    return this.#end !== undefined;
  }

  /**
   * Loads the machine. After this resolves nothing is applied before {@linkcode end}.
   *
   * @param reader the snapshot
   * @param before called between two applies; throws if the snapshot is not wanted any more
   */
  load(reader: SnapshotReader, before: () => void): Promise<void> {
    const context = this.#context;
    const { machine } = context;
    return new Promise((resolve, reject) => {
      this.#turn = context.exclusive(async () => {
        try {
          before();
          await machine.pause?.();
        } catch (error) {
          return reject(error);
        }
        try {
          await machine.load(reader);
          const outcome = await new Promise<Outcome>((end) => {
            this.#end = end;
            resolve();
          });
          if ("cause" in outcome) return await context.restore(outcome.cause);
          const { meta } = outcome.snapshot;
          context.loaded(meta); // even if the log cannot be aligned
          await alignLog(context.log, meta);
        } catch (error) {
          if (this.isLoaded) throw error;
          reject(error);
        } finally {
          await this.#callBack("reinitialize", () => machine.reinitialize?.());
        }
      });
      this.#turn.catch(() => {}); // `end` rejects with it
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
