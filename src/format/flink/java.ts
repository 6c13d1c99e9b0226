/**
 * Numbers and texts as Java's `DataOutput` and Flink's `StringValue` write them.
 *
 * @module
 */

import { Cursor } from "../bytes/cursor.ts";

/** A place in bytes that a Java program wrote. */
export class JavaCursor extends Cursor {
  /** A byte that is 0 or 1. */
  bool(): boolean {
    const byte = this.u8();
    if (byte > 1) throw this.malformed(`a truth value is ${byte}`);
    return byte === 1;
  }

  /** A number of things of at least one byte each, so that none is believed that cannot be here. */
  count(): number {
    const count = this.i32();
    if (count < 0) throw this.malformed(`a number of things is ${count}`);
    if (count > this.left) {
      this.ended = true;
      throw this.malformed(`it ends where ${count} things more should be`);
    }
    return count;
  }

  /** A length, and so many bytes. */
  block(): Uint8Array {
    const length = this.i32();
    if (length < 0) throw this.malformed(`a length is ${length}`);
    return this.bytes(length);
  }

  /** `readUTF`: modified UTF-8 with a length of 16 bits. */
  utf(): string {
    const bytes = this.bytes(this.u16());
    let text = "";
    for (let at = 0; at < bytes.length;) {
      const first = bytes[at]!;
      const more = first < 0x80 ? 0 : first >> 5 === 6 ? 1 : first >> 4 === 14 ? 2 : -1;
      if (more < 0 || at + more >= bytes.length) throw this.malformed("a text is not modified UTF-8");
      let unit = more === 0 ? first : first & 0x3f >> more;
      for (const end = at + more; at < end;) {
        const next = bytes[++at]!;
        if (next >> 6 !== 2) throw this.malformed("a text is not modified UTF-8");
        unit = unit << 6 | next & 0x3f;
      }
      at++;
      text += String.fromCharCode(unit);
    }
    return text;
  }

  /** A number in groups of seven bits, the lowest first, of at most 32 bits. */
  #groups(): number {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = this.u8();
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw this.malformed("a number has more than 32 bits");
  }

  /** `StringValue`: the number of UTF-16 units and one, or 0 for null, and the units; each in groups of seven bits. */
  string(): string | null {
    const length = this.#groups() - 1;
    if (length < 0) return null;
    if (length > this.left) {
      this.ended = true;
      throw this.malformed(`it ends where ${length} units more should be`);
    }
    const parts: string[] = [];
    const units: number[] = [];
    for (let left = length; left > 0; left--) {
      const unit = this.#groups();
      if (unit > 0xffff) throw this.malformed(`a text has the unit ${unit}`);
      units.push(unit);
      if (units.length === 4096 || left === 1) parts.push(String.fromCharCode(...units.splice(0)));
    }
    return parts.join("");
  }
}
