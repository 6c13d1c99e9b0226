/**
 * Putting together what comes in pieces.
 *
 * @module
 */

/** What is gathered in at first: enough for a chunk of the usual size. */
const FIRST_SIZE = 512 * 1024;

/**
 * Bytes in one array that grows as they come: a length that a peer claims does not allocate much before the bytes are
 * here, and there is no list of pieces, which a peer can make as small as a byte each.
 */
export class ByteBuffer {
  readonly #limit: number;
  #bytes: Uint8Array;
  #length = 0;

  /** @param limit how many there can be at the most; not more are to be added */
  constructor(limit: number) {
    this.#limit = limit;
    this.#bytes = new Uint8Array(Math.min(limit, FIRST_SIZE));
  }

  /** How many there are. */
  get length(): number {
    return this.#length;
  }

  /** What there is; not copied. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Adds a piece, which is copied. */
  add(piece: Uint8Array): void {
    const length = this.#length + piece.length;
    if (length > this.#bytes.length) {
      const larger = new Uint8Array(Math.min(this.#limit, Math.max(length, 2 * this.#bytes.length)));
      larger.set(this.bytes);
      this.#bytes = larger;
    }
    this.#bytes.set(piece, this.#length);
    this.#length = length;
  }
}
