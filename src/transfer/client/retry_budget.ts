/**
 * Retrying for a time: how long a server may fail, and when it is asked again.
 *
 * @module
 */

import { type Backoff, backoff } from "../../async/mod.ts";
import { hasCode, SnapshotError } from "../../errors.ts";

/** The default of `retryFor`, in milliseconds. */
export const RETRY_FOR = 15_000;
/** The first wait after a failure, in milliseconds; doubled with each. */
const FIRST_WAIT = 100;
/** The waits after failures; random, so that a thousand that lost one server do not come back together. */
const WAITS: Backoff = { first: FIRST_WAIT, longest: 5000, jitter: [0.75, 1.25] };
/** The longest wait that a server can ask for. */
const LONGEST_ASKED = 60_000;

/**
 * Reports whether an error is transient: the server does not answer, is busy, or broke off; not if it refused or sent
 * wrong bytes.
 */
export function isTransient(error: unknown): boolean {
  return hasCode(error, "UNAVAILABLE", "TIMEOUT", "BUSY");
}

/**
 * The time for which one server may fail in a row, however many requests fail meanwhile. The longer waits that the
 * server asks for do not count.
 */
export class RetryBudget {
  readonly #duration: number;
  #failures = 0;
  #since = 0;
  #excused = 0;
  #isDoubted = false;

  /** @param duration how long, in milliseconds; 0 for no retry */
  constructor(duration: number) {
    this.#duration = duration;
  }

  /** The number of failures in a row. */
  get failures(): number {
    return this.#failures;
  }

  /** Notes that the server does what it should. */
  succeeded(): void {
    this.#failures = 0;
  }

  /**
   * Notes a failure.
   *
   * @returns the wait before the next attempt, in milliseconds; nothing if there is to be none
   */
  failed(error: unknown): number | undefined {
    const now = performance.now();
    if (this.#failures++ === 0) {
      this.#since = now;
      this.#excused = 0;
    }
    const left = this.#duration - (now - this.#since - this.#excused);
    if (!isTransient(error) || left <= 0) return undefined;
    const own = backoff(this.#failures - 1, WAITS);
    const asked = error instanceof SnapshotError ? Math.min(error.fields.retryAfter ?? 0, LONGEST_ASKED) : 0;
    this.#excused += Math.max(asked - own, 0);
    return Math.max(Math.min(own, left), asked);
  }

  /**
   * As {@linkcode failed}, for a server that nobody else can stand in for: one wrong answer (a flipped bit, the page of
   * a proxy) is doubted, and asked for once more.
   */
  failedAlone(error: unknown): number | undefined {
    return this.failed(error) ?? (this.doubts(error) ? FIRST_WAIT : undefined);
  }

  /** Reports, once, that an answer is wrong in a way that may not be the server's own. */
  doubts(error: unknown): boolean {
    if (this.#isDoubted || this.#duration === 0) return false;
    return this.#isDoubted = hasCode(error, "CORRUPT", "MALFORMED", "FORBIDDEN", "UNSUPPORTED", "NOT_FOUND");
  }
}
