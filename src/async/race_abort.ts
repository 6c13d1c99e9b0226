/**
 * Waiting no longer than a signal allows.
 *
 * @module
 */

import { cancelled, throwIfCancelled } from "../errors.ts";

/**
 * Waits for a promise, or until the signal fires; the outcome of the promise is ignored then.
 *
 * @param promise what to wait for
 * @param signal cancels the wait
 * @throws {SnapshotError} `CANCELLED`
 */
export async function raceAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return await promise;
  promise.catch(() => {});
  throwIfCancelled(signal);
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(cancelled(signal));
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
