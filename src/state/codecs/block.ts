/**
 * Bytes from which many small texts are read.
 *
 * @module
 */

/** The number of bytes decoded at once. Small, because short texts are slices of the window and keep it in memory. */
const WINDOW = 4096;
/** The longest text that is sliced from a window. */
const SHORT = 128;

/**
 * Bytes, and the texts in them. A call of `TextDecoder` for ten characters costs more than the characters do: so a
 * window is decoded at once, as Latin-1, in which every byte is a character and positions stay; ASCII texts are slices
 * of it.
 */
export class Block {
  /** The bytes. */
  readonly bytes: Uint8Array;
  readonly #decoders: Decoders;
  #window = "";
  #start = 0;

  /**
   * Makes a block of bytes.
   *
   * @param bytes not to be changed
   * @param decoders may be shared
   */
  constructor(bytes: Uint8Array, decoders: Decoders = shared ??= textDecoders()) {
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
      if (this.bytes.length - start <= SHORT) { // few texts can be behind it: a window would cost more than they do
        return String.fromCharCode.apply(null, this.bytes.subarray(start, end) as unknown as number[]);
      }
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

/** The decoders of a {@linkcode Block}. (Where there are types of Node only, `TextDecoder` is the name of no type.) */
export interface Decoders {
  /** The decoder of UTF-8; fatal. */
  readonly utf8: InstanceType<typeof TextDecoder>;
  /** The decoder of Latin-1. */
  readonly latin1: InstanceType<typeof TextDecoder>;
}

/** Decoders of blocks that are given none: making one takes longer than reading a short text with it. */
let shared: Decoders | undefined;

/** New decoders. */
export function textDecoders(): Decoders {
  return { utf8: new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }), latin1: new TextDecoder("latin1") };
}
