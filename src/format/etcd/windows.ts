/**
 * Windows of a file, the latest of which are kept: the pages of a tree are read one by one, and mostly lie one behind
 * the other.
 *
 * @module
 */

import { readExactly, type SourceFile } from "../files.ts";

/** Bytes of a window, and how many are kept. */
const [WINDOW, KEPT] = [1024 * 1024, 16];
/** The windows that are being read at a time, where all of them will be. */
const READING = 4;
/** The windows that are read in order for one that is further on. */
const AHEAD = 4;
/** Bytes that are read for a page that lies elsewhere. */
const ELSEWHERE = 16 * 1024;

/** Reads parts of a file. What it gives is valid until {@linkcode KEPT} others were read: their room is used again. */
export class Windows {
  readonly #file: SourceFile;
  readonly #name: string;
  readonly #size: number;
  readonly #onBytes: ((bytes: Uint8Array) => void) | undefined;
  /** By their numbers, in the order in which they were read. */
  readonly #windows = new Map<number, Uint8Array>();
  /** What was asked for last, which is asked first. */
  #latest = { start: 0, bytes: new Uint8Array(0) as Uint8Array };
  /** The number of the next window in order; it, and some behind it, are being read. */
  #next = 0;
  readonly #reading: Promise<Uint8Array>[] = [];

  /**
   * @param file the file
   * @param name names it in errors
   * @param size the bytes of it that may be read
   * @param onBytes is given all bytes in order, as far as what is read or {@linkcode rest} has come
   */
  constructor(file: SourceFile, name: string, size: number, onBytes?: (bytes: Uint8Array) => void) {
    this.#file = file;
    this.#name = name;
    this.#size = size;
    this.#onBytes = onBytes;
  }

  /** So many bytes, and what else is here behind them; nothing if some of them are not. */
  here(at: number, length: number): Uint8Array | undefined {
    const from = at - this.#latest.start;
    if (from >= 0 && from + length <= this.#latest.bytes.length) {
      return this.#latest.bytes.subarray(from);
    }
    const start = Math.floor(at / WINDOW) * WINDOW;
    const window = this.#windows.get(start / WINDOW);
    if (window === undefined || at - start + length > window.length) return undefined;
    this.#latest = { start, bytes: window };
    return window.subarray(at - start);
  }

  /** Reads so many bytes, and what else comes with them. */
  async read(at: number, length: number): Promise<Uint8Array> {
    const number = Math.floor(at / WINDOW);
    if (number >= this.#next && number < this.#next + AHEAD) {
      while (this.#next <= number) await this.#advance();
    }
    const found = this.here(at, length);
    if (found !== undefined) return found;
    const end = Math.max(at + length, Math.min(at + ELSEWHERE, this.#size));
    this.#latest = { start: at, bytes: await readExactly(this.#file, at, end, this.#name) };
    return this.#latest.bytes;
  }

  /** Reads up to the end what was not read in order. */
  async rest(): Promise<void> {
    while (this.#next * WINDOW < this.#size) await this.#advance();
  }

  /** Waits for what is being read, whatever comes of it. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#reading);
  }

  async #advance(): Promise<void> {
    const ahead = this.#onBytes === undefined ? 1 : READING;
    for (let number = this.#next + this.#reading.length; this.#reading.length < ahead; number++) {
      if (number * WINDOW >= this.#size) break;
      this.#reading.push(this.#begin(number));
    }
    const window = await this.#reading.shift()!;
    this.#windows.set(this.#next++, window);
    this.#onBytes?.(window);
  }

  #begin(number: number): Promise<Uint8Array> {
    const [start, end] = [number * WINDOW, Math.min((number + 1) * WINDOW, this.#size)];
    const reading = readExactly(this.#file, start, end, this.#name, this.#oldest());
    reading.catch(() => {}); // whoever waits for it is told
    return reading;
  }

  /** The room of the window that was read first, if there are enough. */
  #oldest(): Uint8Array | undefined {
    if (this.#windows.size < KEPT) return undefined;
    const [number, window] = this.#windows.entries().next().value!;
    this.#windows.delete(number);
    return window;
  }
}
