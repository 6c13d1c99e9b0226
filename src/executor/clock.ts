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
   * @param isBackground true if nobody waits for it: a process need not stay alive for it
   * @returns cancels the call
   */
  after(ms: number, callback: () => void, isBackground?: boolean): () => void;
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
    after(ms, callback, isBackground) {
      duration()(ms, "ms");
      checkFunction(callback, "callback");
      const timer = setTimeout(callback, Math.min(ms, LONGEST_WAIT));
      if (isBackground === true) letGo(timer);
      return () => clearTimeout(timer);
    },
  };
}

/** Lets a process end before a timer, where processes end by themselves: on Node and Bun, and on Deno. */
function letGo(timer: unknown): void {
  (timer as { unref?(): void }).unref?.();
  const { Deno } = globalThis as { Deno?: { unrefTimer?(timer: unknown): void } };
  if (typeof timer === "number") Deno?.unrefTimer?.(timer);
}
