/**
 * Time, as the executor sees it.
 *
 * @module
 */

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

/** The longest that `setTimeout` can wait; it fires at once for more. */
const LONGEST = 2 ** 31 - 1;

/** The runtime's clock. */
export function systemClock(): Clock {
  return {
    now: () => Date.now(),
    monotonic: () => performance.now(),
    after(ms, callback) {
      const timer = setTimeout(callback, Math.min(ms, LONGEST));
      return () => clearTimeout(timer);
    },
  };
}
