/**
 * Sharing the event loop while entries are applied.
 *
 * @module
 */

import { yieldTurn } from "../async/mod.ts";

/** How long applying may keep the event loop to itself, in milliseconds. */
const YIELD_AFTER = 5;
/** On workerd the clock stands still while a program computes: there others are due after so many entries. */
const MOST_ENTRIES = 8192;

/** Notices when others are due. */
export class Turns {
  #since = 0;
  #entries = 0;

  /** Counts an entry, or a batch of them; whether others have waited for too long. */
  step(): boolean {
    return ++this.#entries >= MOST_ENTRIES || performance.now() - this.#since >= YIELD_AFTER;
  }

  /** Gives them their turn. */
  async turn(): Promise<void> {
    await yieldTurn();
    this.#entries = 0;
    this.#since = performance.now();
  }
}
