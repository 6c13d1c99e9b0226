/**
 * Sharing the event loop while entries are applied.
 *
 * @module
 */

import { yieldTurn } from "../async/mod.ts";

/** The longest that applying may block the event loop, in milliseconds. */
const YIELD_AFTER = 5;
/** On workerd the clock stands still while a program computes: there other work is due after so many entries. */
const MOST_ENTRIES = 8192;

/** Tells when other work on the event loop is due. */
export class Turns {
  #since = 0;
  #entries = 0;

  /** Counts an entry, or a batch of them. Reports whether other work has waited for too long. */
  step(): boolean {
    return ++this.#entries >= MOST_ENTRIES || performance.now() - this.#since >= YIELD_AFTER;
  }

  /** Gives other work its turn. */
  async turn(): Promise<void> {
    await yieldTurn();
    this.#entries = 0;
    this.#since = performance.now();
  }
}
