/**
 * The least rate at which the other side has to move bytes.
 *
 * @module
 */

import { LONGEST_WAIT } from "../async/mod.ts";

/** The least rate, in bytes a millisecond: 4 kB a second. */
const LEAST_RATE = 4;

/**
 * Measures how long the other side lets this one wait. It begins with a grace, which waiting uses up and bytes give
 * back: a byte now and then does not keep a place.
 */
export class Pace {
  readonly #grace: number;
  readonly #onSlow: () => void;
  #left: number;
  #waitingSince: number | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param grace the longest wait in which nothing moves, in milliseconds
   * @param onSlow called when the other side was waited for too long
   */
  constructor(grace: number, onSlow: () => void) {
    this.#grace = this.#left = grace;
    this.#onSlow = onSlow;
  }

  /** Notes that the other side is waited for, with so many bytes to take. */
  wait(bytes = 0): void {
    this.#waitingSince = performance.now();
    const longest = this.#left + bytes / LEAST_RATE;
    if (longest < Infinity) this.#timer = setTimeout(this.#onSlow, Math.min(longest, LONGEST_WAIT));
  }

  /** Notes that the other side has moved so many bytes, and is not waited for. */
  moved(bytes: number): void {
    clearTimeout(this.#timer);
    if (this.#waitingSince === undefined) return;
    const waited = performance.now() - this.#waitingSince;
    this.#waitingSince = undefined;
    this.#left = Math.max(Math.min(this.#left - waited + bytes / LEAST_RATE, this.#grace), 0);
  }

  /** Gives grace back for so many bytes more; all of it for `Infinity`. */
  give(bytes: number): void {
    this.#left = Math.min(this.#left + bytes / LEAST_RATE, this.#grace);
  }

  /** Ends the measuring. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#waitingSince = undefined;
  }
}
