/**
 * Telling of snapshots that were found bad.
 *
 * @module
 */

import { checkFunction } from "../checks.ts";
import { neverThrowing } from "../async/mod.ts";

/** Called with the index of a snapshot, and why it is none any more. */
type QuarantineListener = (index: bigint, reason: string) => void;

/** Those that a storage tells. */
export class QuarantineListeners {
  readonly #listeners = new Set<QuarantineListener>();

  /** Adds one, and returns what ends it. */
  add(listener: QuarantineListener): () => void {
    checkFunction(listener, "listener");
    const own = neverThrowing(listener); // also because the same function may come twice
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  /** Tells all of them. */
  tell(index: bigint, reason: string): void {
    for (const listener of [...this.#listeners]) listener(index, reason);
  }
}
