/**
 * The time, where several machines go by it.
 *
 * @module
 */

/** Two clocks agree that are not farther apart, in milliseconds: they are rounded, and one is kept right by small steps. */
const AGREE = 1000;

/**
 * What others wrote into the index is a time of day, and can only be compared with one. But a wall clock may be set while
 * the process runs, and a day too late everybody's lease would have run out. So it is doubted as soon as the monotonic
 * clock disagrees: nothing ends before both say so, and what is promised holds until both say it is over. (A process that
 * was suspended collects later by as long; others, and the next process, do not.)
 */
export class SharedTime {
  readonly #wall = Date.now();
  readonly #monotonic = performance.now();

  /** Milliseconds since 1970, for looking whether something is over. */
  earliest(): number {
    return Math.min(...this.#both());
  }

  /** Milliseconds since 1970, for saying until when something holds. */
  latest(): number {
    return Math.max(...this.#both());
  }

  #both(): [number, number] {
    const wall = Date.now();
    const steady = this.#wall + Math.round(performance.now() - this.#monotonic);
    return [wall, Math.abs(wall - steady) < AGREE ? wall : steady];
  }
}
