/**
 * Changes of a state in a database that no log makes: each is acknowledged when it is in the database.
 *
 * @module
 */

import { WRITE_BATCH } from "./engine.ts";
import type { StateChange } from "./overlay.ts";

/** A change that waits to be written. */
interface Pending {
  readonly change: StateChange;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Writes changes in their order, many in one write. */
export class DirectChanges {
  readonly #write: (changes: readonly StateChange[]) => Promise<void>;
  #queue: Pending[] = [];
  #draining: Promise<void> | undefined;

  /** @param write writes some, all or none */
  constructor(write: (changes: readonly StateChange[]) => Promise<void>) {
    this.#write = write;
  }

  /** Queues a change. Resolves when it is in the database, and rejects if the write with it fails. */
  add(change: StateChange): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ change, resolve, reject });
      this.#draining ??= this.#drain();
    });
  }

  /** Waits until nothing is queued. */
  async settled(): Promise<void> {
    await this.#draining;
  }

  /** Writes what is queued; what is queued meanwhile goes with the next batch. */
  async #drain(): Promise<void> {
    await Promise.resolve(); // all that is changed in this turn goes together
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, WRITE_BATCH);
      try {
        await this.#write(batch.map(({ change }) => change));
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#draining = undefined;
  }
}
