/**
 * Reading out of bytes that come in pieces.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { concat } from "../../stream/mod.ts";

/** Reads numbers of bytes out of pieces of any length, and holds one piece. */
export class PieceReader {
  readonly #pieces: AsyncIterator<Uint8Array>;
  readonly #what: string;
  #piece: Uint8Array = new Uint8Array(0);
  /** The number of bytes that were read. */
  position = 0;

  /**
   * @param pieces the bytes
   * @param what names them in errors
   */
  constructor(pieces: AsyncIterable<Uint8Array>, what: string) {
    this.#pieces = pieces[Symbol.asyncIterator]();
    this.#what = what;
  }

  /** Up to so many bytes, at least one; nothing at the end. */
  async some(most: number): Promise<Uint8Array | undefined> {
    while (this.#piece.length === 0) {
      const { done, value } = await this.#pieces.next();
      if (done === true) return undefined;
      this.#piece = value;
    }
    const bytes = this.#piece.subarray(0, most);
    this.#piece = this.#piece.subarray(bytes.length);
    this.position += bytes.length;
    return bytes;
  }

  /**
   * Exactly so many bytes, which the caller has limited.
   *
   * @throws {SnapshotError} `CORRUPT` if it ends before
   */
  async exactly(count: number): Promise<Uint8Array> {
    if (count <= this.#piece.length) {
      const bytes = this.#piece.subarray(0, count);
      this.#piece = this.#piece.subarray(count);
      this.position += count;
      return bytes;
    }
    const parts: Uint8Array[] = [];
    for (let left = count; left > 0;) {
      const part = await this.some(left);
      if (part === undefined) throw this.cutShort();
      parts.push(part.slice());
      left -= part.length;
    }
    return concat(parts);
  }

  /** Passes over so many bytes. */
  async skip(count: number): Promise<void> {
    for (let left = count; left > 0;) {
      const part = await this.some(left);
      if (part === undefined) throw this.cutShort();
      left -= part.length;
    }
  }

  /** The error for an end that comes too early. */
  cutShort(): SnapshotError {
    return new SnapshotError(
      "CORRUPT",
      `${JSON.stringify(this.#what)} ends at byte ${this.position}: it was cut short`,
      {
        file: this.#what,
        actual: this.position,
      },
    );
  }

  /** Ends the reading, and lets go of what gives the bytes. */
  async close(): Promise<void> {
    await this.#pieces.return?.();
  }
}
