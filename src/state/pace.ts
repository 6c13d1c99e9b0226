/**
 * Long work on the thread on which entries are applied.
 *
 * @module
 */

import { yieldTurn } from "../async/mod.ts";

/** How long work may keep the event loop to itself, in milliseconds: what waits has to wait that long, and no longer. */
const SLICE = 1;
/** How many steps are taken between two looks at the clock, which costs as much as a small step. */
const STEPS = 16;

/**
 * Cuts work into slices of time. By time, not by count, since one value may take as long to encode as a thousand others.
 * (On workerd the clock stands still while a program computes: there what ends a slice is the chunk being full.)
 */
export class Pace {
  #steps = 0;
  #since: number = performance.now();

  /** Counts a step; whether it is time to let others have a turn. */
  step(): boolean {
    if (++this.#steps < STEPS) return false;
    this.#steps = 0;
    return performance.now() - this.#since >= SLICE;
  }

  /** Lets others have a turn, if it is time. */
  async turn(): Promise<void> {
    if (performance.now() - this.#since < SLICE) return;
    await yieldTurn();
    this.#since = performance.now();
  }
}
