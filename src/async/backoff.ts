/**
 * Waits between attempts.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";

/** The waits before retries, in milliseconds. */
export interface Backoff {
  /** The wait before the first retry. */
  readonly first: number;
  /** The longest wait before jitter. */
  readonly longest: number;
  /** Each wait is so many times the one before it; 2 if absent. */
  readonly factor?: number;
  /** Each wait is multiplied by a random number between these two, so that clients do not retry all at once. */
  readonly jitter?: readonly [least: number, most: number];
  /** The longest `retryAfter` of an error that is obeyed; 0 if absent. */
  readonly longestAsked?: number;
}

/**
 * Returns the wait before a retry, in milliseconds.
 *
 * @param retries how many there were before
 * @param waits the waits
 * @param error the error of the last attempt, whose `retryAfter` is the shortest wait
 */
export function backoff(retries: number, waits: Backoff, error?: unknown): number {
  const { first, longest, factor = 2, jitter: [least, most] = [1, 1], longestAsked = 0 } = waits;
  const own = Math.min(first * factor ** retries, longest) * (least + Math.random() * (most - least));
  const asked = error instanceof SnapshotError ? error.fields.retryAfter ?? 0 : 0;
  return Math.max(own, Math.min(asked, longestAsked));
}
