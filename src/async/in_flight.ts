/**
 * Work that runs ahead, taken in the order in which it was started.
 *
 * @module
 */

/** A queue of promises; its user limits its length. */
export class InFlight<T> {
  readonly #queue: Promise<T>[] = [];

  /** The number of promises that were added and not yet taken. */
  get size(): number {
    return this.#queue.length;
  }

  /** Adds work that was started. Its failure is reported by {@linkcode next} only. */
  add(work: Promise<T>): void {
    work.catch(() => {});
    this.#queue.push(work);
  }

  /** The result of the oldest. */
  next(): Promise<T> {
    return this.#queue.shift()!;
  }

  /** Waits for all work, ignoring results and failures: after this, no work touches its buffers any more. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#queue.splice(0));
  }
}
