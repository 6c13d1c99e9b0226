/**
 * Makes the files of a snapshot durable behind its writer: several at a time, all of them before its commit.
 *
 * @module
 */

import { Semaphore } from "../async/mod.ts";
import type { PacedFile } from "./paced_file.ts";

/** Files that are synced at the same time: a file system writes many to its journal at the price of one. */
const IN_FLIGHT = 16;

/** The files that were written to their ends, until they are durable and closed. */
export class FileSyncs {
  readonly #semaphore = new Semaphore(IN_FLIGHT);
  readonly #running = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;

  /**
   * Takes a file over, to sync and close it. Resolves once its turn has come, so that few files wait while open.
   *
   * @throws the error of a file that was taken before: there will be no commit
   */
  async add(file: PacedFile): Promise<void> {
    const turn = this.#semaphore.take(undefined);
    const work = this.#finish(file, turn);
    this.#running.add(work);
    void work.finally(() => this.#running.delete(work));
    await turn;
    this.#check();
  }

  /**
   * Waits until all files are durable and closed.
   *
   * @throws the error of the first that could not be made durable
   */
  async durable(): Promise<void> {
    await this.ended();
    this.#check();
  }

  /** Waits until all files are closed, durable or not. */
  async ended(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** Never fails: the error is kept for the commit. */
  async #finish(file: PacedFile, turn: Promise<void> | undefined): Promise<void> {
    await turn;
    try {
      try {
        await file.sync();
      } finally {
        await file.close();
      }
    } catch (error) {
      this.#failure ??= { error };
    } finally {
      this.#semaphore.leave();
    }
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
