/**
 * Loading a snapshot before it is committed, for machines that cannot check one.
 *
 * @module
 */

import type { SnapshotInfo, SnapshotReader } from "../snapshot/mod.ts";
import type { ExecutorContext } from "./options.ts";
import { alignLog } from "./recovery.ts";
import type { CallBack } from "./save.ts";

/** How a commit ended. */
type Outcome = { readonly snapshot: SnapshotInfo } | { readonly cause: unknown };

/**
 * Keeps the machine between two applies from before it is loaded until it is known whether the snapshot is durable: nothing is
 * applied on a state that a crash would take back.
 */
export class TrialLoad {
  readonly #context: ExecutorContext;
  readonly #callBack: CallBack;
  #turn: Promise<void> | undefined;
  #end: ((outcome: Outcome) => void) | undefined;

  /**
   * @param context what is loaded, and what goes with it
   * @param callBack calls the machine back
   */
  constructor(context: ExecutorContext, callBack: CallBack) {
    this.#context = context;
    this.#callBack = callBack;
  }

  /** Whether the machine was loaded. */
  get isLoaded(): boolean {
    return this.#end !== undefined;
  }

  /**
   * Loads the machine. When this resolves nothing is applied any more before {@linkcode end}.
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
          context.loaded(meta); // whatever becomes of the log
          await alignLog(context.log, meta);
        } catch (error) {
          if (this.isLoaded) throw error;
          reject(error);
        } finally {
          await this.#callBack("reinitialize", () => machine.reinitialize?.());
        }
      });
      this.#turn.catch(() => {}); // whoever ends it sees that
    });
  }

  /**
   * Says how the commit ended. Resolves when the machine may be applied to again.
   *
   * @throws what the log could not be aligned with, or the former state not be had with
   */
  async end(outcome: Outcome): Promise<void> {
    this.#end?.(outcome);
    await this.#turn;
  }
}
