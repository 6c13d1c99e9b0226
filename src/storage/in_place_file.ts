/**
 * A file whose bytes are in its place before it is written.
 *
 * @module
 */

import type { MediumFile } from "./medium.ts";

/** Takes the bytes that it has: so a file that was linked or cloned is cut and hashed as one that is written. */
export class InPlaceFile implements MediumFile {
  readonly #file: MediumFile;

  /** @param file is there, whole */
  constructor(file: MediumFile) {
    this.#file = file;
  }

  read(buffer: Uint8Array, position: number): Promise<number> {
    return this.#file.read(buffer, position);
  }

  /** The bytes are those that were read from here. */
  write(): Promise<void> {
    return Promise.resolve();
  }

  sync(): Promise<void> {
    return this.#file.sync();
  }

  size(): Promise<number> {
    return this.#file.size();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
