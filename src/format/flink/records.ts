/**
 * Records whose length nobody says, out of bytes that come in pieces.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { concat } from "../../stream/mod.ts";
import { JavaCursor } from "./java.ts";

/** The most bytes of a record. */
const MAX_RECORD = 64 * 1024 * 1024;

/** Reads record after record, and holds a piece, or as much as the longest record takes. */
export class Records {
  readonly #pieces: AsyncIterator<Uint8Array>;
  readonly #what: string;
  #bytes: Uint8Array = new Uint8Array(0);
  #cursor: JavaCursor;

  /**
   * @param pieces the bytes
   * @param what names them in errors
   */
  constructor(pieces: AsyncIterable<Uint8Array>, what: string) {
    this.#pieces = pieces[Symbol.asyncIterator]();
    this.#what = what;
    this.#cursor = new JavaCursor(this.#bytes, what);
  }

  /** One record; what parses it may be called again with more bytes. */
  async take<T>(parse: (cursor: JavaCursor) => T): Promise<T> {
    if (this.#cursor.left === 0) await this.#more(); // what comes by itself costs no error
    for (;;) {
      const cursor = this.#cursor;
      const start = cursor.at;
      try {
        return parse(cursor);
      } catch (error) {
        cursor.at = start;
        if (!cursor.ended || !await this.#more()) throw error;
      }
    }
  }

  /** Up to so many records, at least one: those that are there. */
  async some<T>(most: number, parse: (cursor: JavaCursor) => T): Promise<T[]> {
    const found: T[] = [];
    found.push(await this.take(parse));
    const cursor = this.#cursor;
    for (let start = cursor.at; found.length < most; start = cursor.at) {
      try {
        found.push(parse(cursor));
      } catch {
        cursor.at = start;
        break; // it is read again, with what follows: what is wrong then is told
      }
    }
    return found;
  }

  /** True if nothing is left. */
  async atEnd(): Promise<boolean> {
    return this.#cursor.left === 0 && !await this.#more();
  }

  /** All that is left, as it comes. */
  async *rest(): AsyncGenerator<Uint8Array, void, undefined> {
    if (this.#cursor.left > 0) yield this.#cursor.bytes(this.#cursor.left);
    for (let next = await this.#pieces.next(); next.done !== true; next = await this.#pieces.next()) yield next.value;
  }

  /** Doubles what is there, at least; false at the end. */
  async #more(): Promise<boolean> {
    const rest = this.#bytes.subarray(this.#cursor.at);
    if (rest.length > MAX_RECORD) {
      throw new SnapshotError("MALFORMED", `${JSON.stringify(this.#what)} has a record of over ${MAX_RECORD} bytes`, {
        file: this.#what,
        expected: MAX_RECORD,
      });
    }
    const parts = [rest];
    let added = 0;
    while (added === 0 || added < rest.length) {
      const { done, value } = await this.#pieces.next();
      if (done === true) break;
      parts.push(value);
      added += value.length;
    }
    if (added === 0) return false;
    this.#bytes = parts.length === 2 && rest.length === 0 ? parts[1]! : concat(parts);
    this.#cursor = new JavaCursor(this.#bytes, this.#what);
    return true;
  }

  /** Ends the reading, and lets go of what gives the bytes. */
  async close(): Promise<void> {
    await this.#pieces.return?.();
  }
}
