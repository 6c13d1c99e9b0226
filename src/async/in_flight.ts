/**
 * Work that runs ahead, taken in the order in which it was started.
 *
 * @module
 */

/** A queue of promises. */
export class InFlight<T> {
  readonly #queue: Promise<T>[] = [];
  readonly #limit: () => number;
  readonly #emit: (result: T) => unknown;

  /**
   * @param limit how many may run; asked again each time
   * @param emit is given the results, in order, one after the other
   */
  constructor(limit: () => number = () => Infinity, emit: (result: T) => unknown = () => {}) {
    this.#limit = limit;
    this.#emit = emit;
  }

  /** The number of promises that were added and not yet taken. */
  get size(): number {
    return this.#queue.length;
  }

  /** Adds work that was started; emits the oldest results until fewer than the limit run. Throws their failures. */
  async add(work: Promise<T>): Promise<void> {
    work.catch(() => {});
    this.#queue.push(work);
    while (this.size >= this.#limit()) await this.#emit(await this.next());
  }

  /** Emits all results. */
  async drain(): Promise<void> {
    while (this.size > 0) await this.#emit(await this.next());
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
