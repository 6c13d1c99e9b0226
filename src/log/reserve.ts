/**
 * Room on the disk that is kept for the way out of a full one.
 *
 * @module
 */

import { closeSync, openSync, rmSync, writeSync } from "node:fs";
import { sizeOf } from "../sqlite/mod.ts";

/** Bytes that are written at once. */
const BLOCK = 64 * 1024;

/** A file that has nothing but its size: it is removed when its room is needed for something that gives back more. */
export class Reserve {
  readonly #path: string;
  #size: number;

  /** @param path the file; what an earlier process has left there is still the reserve */
  constructor(path: string) {
    this.#path = path;
    this.#size = sizeOf(path);
  }

  /** Its size, in bytes. */
  get size(): number {
    return this.#size;
  }

  /**
   * Makes it larger; on a full disk as far as there is room.
   *
   * @param bytes by how much; whole blocks of it
   * @returns whether there was room
   */
  grow(bytes: number): boolean {
    if (bytes < BLOCK) return true;
    try {
      // Not zeros: a file system that leaves them out, or compresses them, would keep no room for them.
      const block = crypto.getRandomValues(new Uint8Array(BLOCK));
      const file = openSync(this.#path, "a", 0o600);
      try {
        for (let left = bytes; left >= BLOCK; left -= BLOCK) writeSync(file, block);
      } finally {
        closeSync(file);
      }
      return true;
    } catch {
      return false; // there is that much less of it
    } finally {
      this.#size = sizeOf(this.#path);
    }
  }

  /** Releases its room. */
  release(): void {
    try {
      rmSync(this.#path, { force: true });
    } catch {
      // then nothing is won
    }
    this.#size = sizeOf(this.#path);
  }
}
