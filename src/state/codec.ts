/**
 * Values as bytes.
 *
 * @module
 */

import { checkFunction, checkInteger } from "../checks.ts";
import { messageOf, SnapshotError } from "../errors.ts";
import { Block } from "./block.ts";
import { checkCodec } from "./checks.ts";

/** Turns values into bytes and back. */
export interface Codec<T> {
  /** What it is called in a snapshot; a snapshot is loaded only with the codec that it was saved with. */
  readonly name: string;
  /**
   * The version of what the values are like: see {@linkcode versioned}.
   *
   * @default {0}
   */
  readonly version?: number;
  /**
   * The bytes of a value.
   *
   * @throws {SnapshotError} `MALFORMED` if the value would not come back as it is
   */
  encode(value: T): Uint8Array;
  /**
   * The value of bytes, which are only lent.
   *
   * @throws {SnapshotError} `MALFORMED` if they are none of its
   */
  decode(bytes: Uint8Array): T;
  /**
   * As `encode`, into a place that is given, so that a small value costs no object.
   *
   * @returns where it ends; -1 if there may not be enough room for it
   */
  encodeInto?(value: T, target: Uint8Array, at: number): number;
  /** As `decode`, of a range of bytes. */
  decodeFrom?(block: Block, start: number, end: number): T;
  /**
   * The value of bytes that were written with an older version, or with the codec that was used then.
   *
   * @param bytes only lent
   * @param from what wrote them
   */
  migrate?(bytes: Uint8Array, from: CodecVersion): T;
}

/** What wrote a value. */
export interface CodecVersion {
  /** The name of the codec. */
  readonly name: string;
  /** Its version. */
  readonly version: number;
}

/**
 * A codec for the newest version of values, which knows how to read older ones.
 *
 * @param codec for the newest version
 * @param version its number, 1 or more; what was saved without one has 0
 * @param migrate makes a new value of an older one's bytes
 *
 * @example A field that used not to be there
 * ```ts
 * import { jsonCodec, versioned } from "@snapstream/snapstream";
 *
 * interface User { name: string; mail: string | null }
 * const users = versioned(jsonCodec<User>(), 1, (bytes) => ({
 *   ...jsonCodec<{ name: string }>().decode(bytes), // version 0
 *   mail: null,
 * }));
 * console.assert(users.version === 1);
 * ```
 */
export function versioned<T>(
  codec: Codec<T>,
  version: number,
  migrate: (bytes: Uint8Array, from: CodecVersion) => T,
): Codec<T> {
  checkCodec(codec, "codec");
  checkInteger(version, "version", 1, 0xffff_ffff);
  checkFunction(migrate, "migrate");
  const { encodeInto, decodeFrom } = codec; // one by one, since a codec may be of a class, whose methods no spread has
  return {
    name: codec.name,
    version,
    migrate,
    encode: (value) => codec.encode(value),
    decode: (bytes) => codec.decode(bytes),
    ...(encodeInto && { encodeInto: encodeInto.bind(codec) }),
    ...(decodeFrom && { decodeFrom: decodeFrom.bind(codec) }),
  };
}

/** Bytes as they are. */
export function bytesCodec(): Codec<Uint8Array> {
  return {
    name: "bytes",
    encode: (value) => value,
    decode: (bytes) => bytes.slice(),
    encodeInto(value, target, at) {
      if (at + value.length > target.length) return -1;
      target.set(value, at);
      return at + value.length;
    },
    decodeFrom: ({ bytes }, start, end) => bytes.slice(start, end),
  };
}

/** Up to how many characters are copied one by one, which is faster than a call of `TextEncoder`. */
const SHORT = 64;

/** Text as UTF-8. Half a surrogate pair, which UTF-8 cannot hold, is refused. */
export function utf8Codec(): Codec<string> {
  const encoder = new TextEncoder();
  const decode = (block: Block, start: number, end: number) => {
    try {
      return block.text(start, end);
    } catch (error) {
      throw new SnapshotError("MALFORMED", "A text is not UTF-8", { cause: error });
    }
  };
  return {
    name: "utf-8",
    encode: (value) => encoder.encode(checkText(value)),
    decode: (bytes) => decode(new Block(bytes), 0, bytes.length),
    encodeInto(value, target, at) {
      const { length } = value;
      if (length <= SHORT && at + length <= target.length) {
        let i = 0;
        for (; i < length; i++) {
          const unit = value.charCodeAt(i);
          if (unit >= 0x80) break;
          target[at + i] = unit;
        }
        if (i === length) return at + length;
      }
      if (at + length * 3 > target.length) return -1; // at most three bytes a unit
      return at + encoder.encodeInto(checkText(value), target.subarray(at)).written;
    },
    decodeFrom: decode,
  };
}

function checkText(text: string): string {
  if (text.isWellFormed()) return text;
  throw new SnapshotError("MALFORMED", "A text has half of a surrogate pair, which UTF-8 cannot hold");
}

/**
 * Anything that JSON can hold.
 *
 * @typeParam T what is held; what JSON does to it (dates, `undefined`) is the caller's affair
 */
export function jsonCodec<T>(): Codec<T> {
  const text = utf8Codec();
  const stringify = (value: T) => {
    let json: string | undefined;
    try {
      json = JSON.stringify(value) as string | undefined;
    } catch (error) {
      throw new SnapshotError("MALFORMED", `JSON cannot hold a value: ${messageOf(error)}`, { cause: error });
    }
    if (json !== undefined) return json;
    throw new SnapshotError("MALFORMED", `JSON cannot hold a value of type ${typeof value}`);
  };
  const parse = (json: string): T => {
    try {
      return JSON.parse(json);
    } catch (error) {
      throw new SnapshotError("MALFORMED", `A value is not JSON: ${messageOf(error)}`, { cause: error });
    }
  };
  return {
    name: "json",
    encode: (value) => text.encode(stringify(value)),
    decode: (bytes) => parse(text.decode(bytes)),
    encodeInto: (value, target, at) => text.encodeInto!(stringify(value), target, at),
    decodeFrom: (block, start, end) => parse(text.decodeFrom!(block, start, end)),
  };
}
