/**
 * Waiting for a while.
 *
 * @module
 */

import { raceAbort } from "./race_abort.ts";

/**
 * Waits.
 *
 * @param duration how long, in milliseconds
 * @param signal gives up waiting: throws `CANCELLED`
 * @param needless ends it before its time
 */
export async function pause(
  duration: number,
  signal: AbortSignal | undefined,
  needless: Promise<unknown> = new Promise(() => {}),
): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    const over = new Promise<void>((resolve) => timer = setTimeout(resolve, duration));
    await raceAbort(Promise.race([over, needless]), signal);
  } finally {
    clearTimeout(timer);
  }
}
