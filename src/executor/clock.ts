/**
 * Time, as the executor sees it.
 *
 * @module
 */

import { checkFunction, duration } from "../checks.ts";
import { LONGEST_WAIT } from "../async/mod.ts";

/** Tells the time and wakes up; to be replaced where timers are something else (a Durable Object's alarms, a test). */
export interface Clock {
  /** Milliseconds since 1970: what a person calls the time. It jumps when somebody sets it; nothing is dropped by it. */
  now(): number;
  /** Milliseconds since some moment, as `performance.now()` gives them: it never jumps. */
  monotonic(): number;
  /**
   * Calls back once.
   *
   * @param ms milliseconds from now
   * @param callback what to call
   * @returns what takes it back
   */
  after(ms: number, callback: () => void): () => void;
}

/** The runtime's clock. */
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
