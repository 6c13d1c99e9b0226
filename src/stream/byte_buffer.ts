/**
 * Gathering bytes that come in pieces.
 *
 * @module
 */

/** The initial capacity, in first pieces: a chunk comes in no more, and a peer that sends little gets little. */
const FIRST_PIECES = 16;

/**
 * Bytes in one array that grows as they come. A length that a peer claims does not allocate much before the bytes have
 * come; and there is no list of pieces, since a peer could send pieces of one byte.
 */
export class ByteBuffer {
  readonly #limit: number;
  #bytes: Uint8Array;
  #length = 0;

  /**
   * @param limit the most bytes that it can hold; no more may be added
   * @param into memory to begin with
   */
  constructor(limit: number, into: Uint8Array = new Uint8Array(0)) {
    this.#limit = limit;
    this.#bytes = into;
  }

  /** The number of bytes. */
  get length(): number {
    return this.#length;
  }

  /** The bytes so far; not copied. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Adds a piece, which is copied. */
  add(piece: Uint8Array): void {
    const length = this.#length + piece.length;
    if (length > this.#bytes.length) {
      const room = this.#length === 0 ? FIRST_PIECES * length : Math.max(length, 2 * this.#bytes.length);
      const larger = new Uint8Array(Math.min(this.#limit, room));
      larger.set(this.bytes);
      this.#bytes = larger;
    }
    this.#bytes.set(piece, this.#length);
    this.#length = length;
  }
}
