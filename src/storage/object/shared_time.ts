/**
 * The time that several machines share.
 *
 * @module
 */

/** The milliseconds by which two agreeing clocks may differ: both are rounded, and one is adjusted in small steps. */
const AGREE = 1000;

/**
 * The time by which leases and times of grace end. Others write times of day into the index, which can only be compared
 * with a wall clock. But that may be set while the process runs: a day ahead, it would end all leases. So it is suspect
 * once the monotonic clock disagrees: then nothing ends before both say so, and what is promised holds until both say
 * that it is over. (A process that was suspended collects later by as long; others, and the next process, do not.)
 */
export class SharedTime {
  readonly #wall = Date.now();
  readonly #monotonic = performance.now();

  /** Returns the milliseconds since 1970, to check whether a time is over. */
  earliest(): number {
    return Math.min(...this.#both());
  }

  /** Returns the milliseconds since 1970, to set a time until which something holds. */
  latest(): number {
    return Math.max(...this.#both());
  }

  #both(): [number, number] {
    const wall = Date.now();
    const steady = this.#wall + Math.round(performance.now() - this.#monotonic);
    return [wall, Math.abs(wall - steady) < AGREE ? wall : steady];
  }
}
