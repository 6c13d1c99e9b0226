/**
 * Snapshots that cannot be read just now.
 *
 * @module
 */

/** After so many milliseconds it is tried again. */
const FOR = 60_000;

/**
 * Remembers what could not be read: whoever wants the newest is given the next one meanwhile. A doubt of one process, which
 * passes by itself: nothing is moved, and nothing else goes by it.
 */
export class Unreadable<T> {
  readonly #until = new Map<T, number>();

  /** Something could not be read. */
  add(one: T): void {
    this.#until.set(one, performance.now() + FOR);
  }

  /** The first that can be read, as far as is known; else the first. */
  prefer<E>(all: readonly E[], nameOf: (one: E) => T): E | undefined {
    const now = performance.now();
    for (const [one, until] of this.#until) if (until <= now) this.#until.delete(one);
    return all.find((one) => !this.#until.has(nameOf(one))) ?? all[0];
  }
}
