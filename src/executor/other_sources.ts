/**
 * The sources of a follower beside the one that it follows: whether one of them has more.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import { type Backoff, backoff } from "../async/mod.ts";
import type { LogSource, Source } from "../transfer/mod.ts";

/** A source that has so many entries fewer than another one has fallen behind. */
const BEHIND = 1024n;
/** How long a source that was followed in vain is not followed again for its word alone. */
const DISTRUST: Backoff = { first: 10_000, longest: 120_000, jitter: [1, 1] };

/** One of the sources. */
export interface Followed {
  /** As it was given. */
  readonly given: Source;
  /** Its log. */
  readonly log: LogSource;
  /** How many times it was followed in vain since it last sent an entry. */
  failures: number;
  /** When its word counts again, by the monotonic clock. */
  trustedFrom: number;
}

/** A source has fallen behind another one. */
export class Behind extends SnapshotError {
  /** The number of the other. */
  readonly other: number;

  constructor(source: string, other: number, url: string, last: bigint) {
    super("UNAVAILABLE", `${source} has fallen behind: ${url} has entries up to ${last}`, { source, index: last });
    this.other = other;
  }
}

/** Notes that a source failed, or fell behind: for a while, what it says of itself alone leads nobody back to it. */
export function distrust(source: Followed): void {
  source.trustedFrom = performance.now() + backoff(source.failures++, DISTRUST);
}

/** Looks now and then whether another source than the one that is followed has more. */
export class OtherSources {
  readonly #sources: readonly Followed[];
  readonly #followed: LogSource;
  /** The last entry that the followed one said it has, at the look before. */
  #before: bigint | undefined;

  /**
   * @param sources all
   * @param followed the one that is followed
   */
  constructor(sources: readonly Followed[], followed: LogSource) {
    this.#sources = sources;
    this.#followed = followed;
  }

  /**
   * Looks.
   *
   * @param last the last entry that the followed one says it has
   * @param applied the last entry that is here
   * @param signal cancels it
   * @returns the source to be followed, if there is a better one: that has many entries more, or any while nothing has
   *   come of the followed one since the look before
   */
  async look(last: bigint, applied: bigint, signal: AbortSignal): Promise<Behind | undefined> {
    const isStill = this.#before === last && applied >= last;
    this.#before = last;
    for (const [i, { log, trustedFrom }] of this.#sources.entries()) {
      if (log === this.#followed || trustedFrom > performance.now()) continue;
      const said = await log.status(signal).then(({ last }) => last, () => 0n);
      if (said > last + (isStill ? 0n : BEHIND) && said > applied) {
        return new Behind(this.#followed.url, i, log.url, said);
      }
    }
    return undefined;
  }
}
