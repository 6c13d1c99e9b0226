/**
 * Bytes out of which many small texts are read.
 *
 * @module
 */

/** How much text is decoded at once. Short texts are slices of it, and keep it in memory: so not much. */
const WINDOW = 4096;
/** The longest text that is taken out of a window. */
const SHORT = 128;

/**
 * Bytes, and the texts in them. A call of `TextDecoder` costs more than the ten characters that it gives: so a window
 * is decoded at once, as Latin-1, in which every byte is a character and positions stay; what is ASCII is cut out of it.
 */
export class Block {
  /** The bytes. */
  readonly bytes: Uint8Array;
  readonly #decoders: Decoders;
  #window = "";
  #start = 0;

  /**
   * Looks at bytes.
   *
   * @param bytes not to be changed
   * @param decoders may be shared
   */
  constructor(bytes: Uint8Array, decoders: Decoders = textDecoders()) {
    this.bytes = bytes;
    this.#decoders = decoders;
  }

  /**
   * The text of a range of bytes.
   *
   * @throws {TypeError} if they are not UTF-8
   */
  text(start: number, end: number): string {
    if (end - start > SHORT || !this.#isAscii(start, end)) {
      return this.#decoders.utf8.decode(this.bytes.subarray(start, end));
    }
    if (start < this.#start || end > this.#start + this.#window.length) {
      this.#start = start;
      this.#window = this.#decoders.latin1.decode(this.bytes.subarray(start, start + WINDOW));
    }
    return this.#window.slice(start - this.#start, end - this.#start);
  }

  #isAscii(start: number, end: number): boolean {
    let all = 0;
    for (let i = start; i < end; i++) all |= this.bytes[i]!;
    return all < 0x80;
  }
}

/** The decoders of a {@linkcode Block}. */
export interface Decoders {
  /** Of UTF-8; fatal. */
  readonly utf8: TextDecoder;
  /** Of Latin-1. */
  readonly latin1: TextDecoder;
}

/** New decoders. */
export function textDecoders(): Decoders {
  return { utf8: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }), latin1: new TextDecoder("latin1") };
}
