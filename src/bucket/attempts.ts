/**
 * Requests to a bucket that are retried, and fail when nothing comes of them.
 *
 * @module
 */

import { type Backoff, backoff, IdleTimer, LinkedAbort, pause, raceAbort } from "../async/mod.ts";
import { hasCode, messageOf, SnapshotError, throwIfCancelled } from "../errors.ts";

/** Attempts of a request before it fails. */
const ATTEMPTS = 5;
/** The waits before retries. */
export const RETRY: Backoff = { first: 100, longest: Infinity, factor: 3, jitter: [0.5, 1], longestAsked: 30_000 };
/** The waits after {@linkcode isContended}: such a service takes the next put of an object about a second after one. */
export const CONTENTION: Backoff = {
  first: 100,
  longest: 1000,
  factor: 2,
  jitter: [0.25, 1],
  longestAsked: 30_000,
};
/** The refusals for that reason, one after the other, after which nothing more is to be hoped for. */
export const MAX_REFUSALS: number = 60;
/** A request fails after so many milliseconds in which nothing came from the bucket. */
const REQUEST_TIMEOUT = 15_000;
/** An upload has one millisecond more for each of so many bytes (128 KB/s). */
const SLOWEST = 128;

/** A request. */
export interface BucketRequest<T> {
  /** What it does, for messages: `"read a/b"`. */
  readonly what: string;
  /** Where, for errors. */
  readonly source: string;
  /** Makes it; `alive` is to be called when something has come. */
  work(signal: AbortSignal, alive: () => void): Promise<T>;
  /** Cancels it. */
  readonly signal: AbortSignal | undefined;
  /** The number of bytes that are sent with it; 0 if absent. */
  readonly size?: number;
  /** The most attempts; 5 if absent. */
  readonly attempts?: number | undefined;
}

/** Reports whether a request failed without proof of anything: it may have been carried out, and may be made again. */
export function wasNotAnswered(error: unknown): boolean {
  return hasCode(error, "UNAVAILABLE", "TIMEOUT");
}

/**
 * Reports whether a request was refused since others change the same object now, or it was changed just before (429,
 * and S3's 409): nothing was done.
 */
export function isContended(error: unknown): boolean {
  return hasCode(error, "UNAVAILABLE") && [409, 429].includes(error.fields.status ?? 0);
}

/** Makes a request, up to a number of times while it fails with `UNAVAILABLE` or `TIMEOUT`. */
export async function attempt<T>(request: BucketRequest<T>): Promise<T> {
  const { signal, attempts = ATTEMPTS } = request;
  for (let retries = 0;; retries++) {
    try {
      return await attemptOnce(request);
    } catch (error) {
      throwIfCancelled(signal);
      if (retries + 1 >= attempts || !wasNotAnswered(error)) throw error;
      await pause(backoff(retries, RETRY, error), signal);
    }
  }
}

/** Makes a request once; it fails if nothing comes of it for too long. */
export async function attemptOnce<T>({ what, source, work, signal, size = 0 }: BucketRequest<T>): Promise<T> {
  throwIfCancelled(signal);
  const timeout = REQUEST_TIMEOUT + Math.ceil(size / SLOWEST);
  const stop = new LinkedAbort(signal);
  const idle = new IdleTimer(timeout, () => {
    stop.abort(new SnapshotError("TIMEOUT", `Could not ${what}: nothing came for ${timeout} ms`, { source }));
  });
  idle.resume();
  try {
    return await raceAbort(work(stop.signal, () => idle.resume()), stop.signal);
  } catch (error) {
    if (error instanceof SnapshotError) throw error;
    throw new SnapshotError("UNAVAILABLE", `Could not ${what}: ${messageOf(error)}`, { source, cause: error });
  } finally {
    idle.pause();
    stop.unlink();
  }
}
