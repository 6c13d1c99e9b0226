/**
 * Time, as the executor sees it.
 *
 * @module
 */

import { checkFunction, duration } from "../checks.ts";
import { LONGEST_WAIT } from "../async/mod.ts";

/**
 * Tells the time and sets timers; to be replaced where timers are different (a Durable Object's alarms, a test).
 *
 * @category Replica
 * @see {@linkcode systemClock}
 */
export interface Clock {
  /** The wall clock, in milliseconds since 1970. It jumps when somebody sets it, so nothing is purged by it. */
  now(): number;
  /** Milliseconds since some moment, as of `performance.now()`: it never jumps. */
  monotonic(): number;
  /**
   * Calls back once.
   *
   * @param ms milliseconds from now
   * @param callback is called once
   * @returns cancels the call
   */
  after(ms: number, callback: () => void): () => void;
}

/**
 * The runtime's clock.
 *
 * @category Replica
 *
 * @example
 * ```ts
 * import { systemClock } from "@snapstream/snapstream";
 *
 * const clock = systemClock();
 * const cancel = clock.after(60_000, () => console.log("a minute has passed"));
 * cancel();
 * console.assert(clock.monotonic() <= clock.monotonic());
 * ```
 */
export function systemClock(): Clock {
  return {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    after(ms, callback) {
      duration()(ms, "ms");
      checkFunction(callback, "callback");
      const timer = setTimeout(callback, Math.min(ms, LONGEST_WAIT));
      return () => clearTimeout(timer);
    },
  };
}
