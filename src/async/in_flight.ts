/**
 * Work that runs ahead, taken in the order in which it was started.
 *
 * @module
 */

/** A queue of promises; whoever fills it decides how long it may get. */
export class InFlight<T> {
  readonly #queue: Promise<T>[] = [];

  /** How many were started and not taken. */
  get size(): number {
    return this.#queue.length;
  }

  /** Takes note of work that was started. Its failure is seen by {@linkcode next}, and only there. */
  add(work: Promise<T>): void {
    work.catch(() => {});
    this.#queue.push(work);
  }

  /** The result of the oldest. */
  next(): Promise<T> {
    return this.#queue.shift()!;
  }

  /** Waits for all, and forgets results and failures: nothing touches its buffers any more. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#queue.splice(0));
  }
}
