/**
 * A watch over another side that may fall silent.
 *
 * @module
 */

import { LONGEST_WAIT } from "./pause.ts";

/** Calls back when nothing was heard for too long. Neither runs nor keeps a program alive before {@linkcode resume}. */
export class IdleTimer {
  readonly #timeout: number;
  readonly #onIdle: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param timeout the longest silence, in milliseconds; any is allowed if `Infinity`
   * @param onIdle called after it, once for each {@linkcode resume}
   */
  constructor(timeout: number, onIdle: () => void) {
    this.#timeout = timeout;
    this.#onIdle = onIdle;
  }

  /**
   * Counts the silence from now on.
   *
   * @param extra milliseconds that are allowed beside the time-out this time
   */
  resume(extra = 0): void {
    this.pause();
    if (this.#timeout === Infinity) return;
    this.#timer = setTimeout(this.#onIdle, Math.min(this.#timeout + extra, LONGEST_WAIT));
  }

  /** Allows any silence until the next {@linkcode resume}. */
  pause(): void {
    clearTimeout(this.#timer);
  }
}
