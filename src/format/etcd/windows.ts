/**
 * Windows of a file, the latest of which are kept: the pages of a tree are read one by one, and often lie together.
 *
 * @module
 */

import { readExactly, type SourceFile } from "../files.ts";

/** Bytes of a window, and how many are kept. */
const [WINDOW, KEPT] = [64 * 1024, 64];

/** Reads parts of a file. What it gives is valid until {@linkcode KEPT} more windows were read: their room is used again. */
export class Windows {
  readonly #file: SourceFile;
  readonly #name: string;
  readonly #size: number;
  /** By their numbers; the one that was used last stands last. */
  readonly #windows = new Map<number, Uint8Array>();
  /** The one that was used last, which is asked first. */
  #latest = { start: 0, bytes: new Uint8Array(0) as Uint8Array };

  /**
   * @param file the file
   * @param name names it in errors
   * @param size the bytes of it that may be read
   */
  constructor(file: SourceFile, name: string, size: number) {
    this.#file = file;
    this.#name = name;
    this.#size = size;
  }

  /** Some bytes, if all of them are here. */
  here(at: number, length: number): Uint8Array | undefined {
    const from = at - this.#latest.start;
    if (from >= 0 && from + length <= this.#latest.bytes.length) {
      return this.#latest.bytes.subarray(from, from + length);
    }
    const number = Math.floor(at / WINDOW);
    const window = this.#windows.get(number);
    if (window === undefined || at - number * WINDOW + length > window.length) return undefined;
    this.#use(number, window);
    return window.subarray(at - number * WINDOW, at - number * WINDOW + length);
  }

  /** Some bytes; those of several windows are read by themselves. */
  async read(at: number, length: number): Promise<Uint8Array> {
    const found = this.here(at, length);
    if (found !== undefined) return found;
    const number = Math.floor(at / WINDOW);
    const [start, end] = [number * WINDOW, Math.min((number + 1) * WINDOW, this.#size)];
    if (at + length > end) return await readExactly(this.#file, at, at + length, this.#name);
    this.#use(number, await readExactly(this.#file, start, end, this.#name, this.#oldest()));
    return this.here(at, length)!;
  }

  #use(number: number, window: Uint8Array): void {
    this.#windows.delete(number);
    this.#windows.set(number, window);
    this.#latest = { start: number * WINDOW, bytes: window };
  }

  /** The room of the window that was not used for longest, if there are enough. */
  #oldest(): Uint8Array | undefined {
    if (this.#windows.size < KEPT) return undefined;
    const [number, window] = this.#windows.entries().next().value!;
    this.#windows.delete(number);
    return window;
  }
}
