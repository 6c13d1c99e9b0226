/**
 * Reading numbers and texts out of bytes whose writer is not trusted: nothing is read beyond the end, and no length is
 * believed.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";

/** A place in bytes, which moves as they are read. Every read beyond the end is `MALFORMED`. */
export class Cursor {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #what: string;
  /** Where the next read begins. */
  at: number;
  /** Whether a read went beyond the end: of bytes that are a part, more may help. */
  ended = false;

  /**
   * @param bytes what to read
   * @param what names them in errors
   * @param at where to begin
   */
  constructor(bytes: Uint8Array, what: string, at = 0) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#what = what;
    this.at = at;
  }

  /** The number of bytes that are left. */
  get left(): number {
    return this.#bytes.length - this.at;
  }

  /** An error about this place. */
  malformed(message: string): SnapshotError {
    return new SnapshotError("MALFORMED", `${this.#what} is damaged, or none: ${message} (at byte ${this.at})`, {
      file: this.#what,
    });
  }

  #move(count: number): number {
    if (count < 0 || count > this.left) {
      this.ended = true;
      throw this.malformed(`it ends where ${count} bytes more should be`);
    }
    const at = this.at;
    this.at += count;
    return at;
  }

  /** The next byte. */
  u8(): number {
    return this.#view.getUint8(this.#move(1));
  }

  /** A signed 8-bit number. */
  i8(): number {
    return this.#view.getInt8(this.#move(1));
  }

  /** Big-endian, 16 bits. */
  u16(): number {
    return this.#view.getUint16(this.#move(2));
  }

  /** Big-endian, 32 bits. */
  u32(littleEndian = false): number {
    return this.#view.getUint32(this.#move(4), littleEndian);
  }

  /** Big-endian, 32 bits, signed. */
  i32(): number {
    return this.#view.getInt32(this.#move(4));
  }

  /** Big-endian, 64 bits. */
  u64(littleEndian = false): bigint {
    return this.#view.getBigUint64(this.#move(8), littleEndian);
  }

  /** Big-endian, 64 bits, signed. */
  i64(): bigint {
    return this.#view.getBigInt64(this.#move(8));
  }

  /** Big-endian, 64 bits of floating point. */
  f64(): number {
    return this.#view.getFloat64(this.#move(8));
  }

  /** Big-endian, 32 bits of floating point. */
  f32(): number {
    return this.#view.getFloat32(this.#move(4));
  }

  /** The next so many bytes; not copied. */
  bytes(count: number): Uint8Array {
    const at = this.#move(count);
    return this.#bytes.subarray(at, at + count);
  }

  /** A protobuf varint of up to 64 bits. */
  varint(): bigint {
    let value = 0n;
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = this.u8();
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return BigInt.asUintN(64, value);
    }
    throw this.malformed("a number has more than 64 bits");
  }

  /** UTF-8 of so many bytes. */
  text(count: number): string {
    const bytes = this.bytes(count);
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      throw this.malformed("a text is not UTF-8");
    }
  }
}

/** A field of a protobuf message. */
export interface ProtobufField {
  /** Its number. */
  readonly number: number;
  /** The value of a number. */
  readonly value: bigint;
  /** The bytes of a string, of bytes, or of a message; empty for a number. */
  readonly bytes: Uint8Array;
}

/** Walks over the fields of a protobuf message. */
export function* protobufFields(bytes: Uint8Array, what: string): Generator<ProtobufField, void, undefined> {
  const cursor = new Cursor(bytes, what);
  const none = new Uint8Array(0);
  while (cursor.left > 0) {
    const tag = cursor.varint();
    const [number, type] = [Number(tag >> 3n), Number(tag & 7n)];
    if (number === 0 || number >= 2 ** 29) throw cursor.malformed("a field has no number");
    if (type === 0) yield { number, value: cursor.varint(), bytes: none };
    else if (type === 1) yield { number, value: cursor.u64(true), bytes: none };
    else if (type === 5) yield { number, value: BigInt(cursor.u32(true)), bytes: none };
    else if (type === 2) yield { number, value: 0n, bytes: cursor.bytes(lengthOf(cursor)) };
    else throw cursor.malformed(`a field has the wire type ${type}`);
  }
}

function lengthOf(cursor: Cursor): number {
  const length = cursor.varint();
  if (length > BigInt(cursor.left)) throw cursor.malformed(`it ends where ${length} bytes more should be`);
  return Number(length);
}
