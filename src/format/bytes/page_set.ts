/**
 * The pages of a database that were met.
 *
 * @module
 */

/** A bit for each page. */
export class PageSet {
  readonly #bits: Uint8Array;
  readonly #count: number;

  /** @param count the number of pages */
  constructor(count: number) {
    this.#count = count;
    this.#bits = new Uint8Array(Math.ceil(count / 8));
  }

  /** Adds one; false if it was there. */
  add(page: number): boolean {
    const [at, bit] = [page >>> 3, 1 << (page & 7)];
    if ((this.#bits[at]! & bit) !== 0) return false;
    this.#bits[at]! |= bit;
    return true;
  }

  /** The first that was not added. */
  missing(): number | undefined {
    for (let page = 0; page < this.#count; page++) if ((this.#bits[page >>> 3]! & 1 << (page & 7)) === 0) return page;
    return undefined;
  }
}
