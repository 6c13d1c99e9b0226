/**
 * Waiting for a while.
 *
 * @module
 */

import { raceAbort } from "./race_abort.ts";

/** The longest that `setTimeout` can wait, in milliseconds; it fires at once for more. */
export const LONGEST_WAIT: number = 2 ** 31 - 1;

/**
 * Waits.
 *
 * @param duration how long, in milliseconds
 * @param signal cancels the wait: throws `CANCELLED`
 * @param needless ends it before its time
 */
export async function pause(
  duration: number,
  signal: AbortSignal | undefined,
  needless: Promise<unknown> = new Promise(() => {}),
): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    const over = new Promise<void>((resolve) => timer = setTimeout(resolve, Math.min(duration, LONGEST_WAIT)));
    await raceAbort(Promise.race([over, needless]), signal);
  } finally {
    clearTimeout(timer);
  }
}
