/**
 * Snapshots that cannot be read just now.
 *
 * @module
 */

/** The milliseconds after which reading is retried. */
const FOR = 60_000;

/**
 * Remembers snapshots that could not be read: meanwhile, opening the newest gives the next one. They are suspect to
 * this process only, and only for a while: nothing is moved, and no other decision depends on it.
 */
export class Unreadable<T> {
  readonly #until = new Map<T, number>();

  /** Notes that a snapshot could not be read. */
  add(one: T): void {
    this.#until.set(one, performance.now() + FOR);
  }

  /** Returns the first that is not known to be unreadable; else the first. */
  prefer<E>(all: readonly E[], nameOf: (one: E) => T): E | undefined {
    const now = performance.now();
    for (const [one, until] of this.#until) if (until <= now) this.#until.delete(one);
    return all.find((one) => !this.#until.has(nameOf(one))) ?? all[0];
  }
}
