/**
 * The listeners that are told of snapshots found bad.
 *
 * @module
 */

import { checkFunction } from "../checks.ts";
import { neverThrowing } from "../async/mod.ts";

/** Called with the index of a snapshot, and the reason of its quarantine. */
type QuarantineListener = (index: bigint, reason: string) => void;

/** The listeners of a storage. */
export class QuarantineListeners {
  readonly #listeners = new Set<QuarantineListener>();

  /** Adds a listener, and returns a function that removes it. */
  add(listener: QuarantineListener): () => void {
    checkFunction(listener, "listener");
    const own = neverThrowing(listener); // a new function each time, since the same one may be added twice
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  /** Calls all listeners. */
  tell(index: bigint, reason: string): void {
    for (const listener of [...this.#listeners]) listener(index, reason);
  }
}
