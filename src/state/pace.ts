/**
 * Slices of long work on the thread that applies entries.
 *
 * @module
 */

import { yieldTurn } from "../async/mod.ts";

/** The longest time in milliseconds that work may block the event loop. */
const SLICE = 1;
/** The number of steps between two looks at the clock, each of which costs as much as a small step. */
const STEPS = 16;

/**
 * Cuts work into slices of time, not of steps, since one value may take as long to encode as a thousand others. (On
 * workerd the clock stands still while a program computes: there a slice ends when the chunk is full.)
 */
export class Pace {
  #steps = 0;
  #since: number = performance.now();

  /** Counts a step; returns whether it is time to yield. */
  step(): boolean {
    if (++this.#steps < STEPS) return false;
    this.#steps = 0;
    return performance.now() - this.#since >= SLICE;
  }

  /** Yields to the event loop if it is time. */
  async turn(): Promise<void> {
    if (performance.now() - this.#since < SLICE) return;
    await yieldTurn();
    this.#since = performance.now();
  }
}
