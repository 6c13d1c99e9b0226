/**
 * Values as bytes.
 *
 * @module
 */

import {
  able,
  checkBytes,
  checkFunction,
  checkInteger,
  checkOptions,
  checkString,
  checkText,
  listOf,
} from "../../checks.ts";
import { messageOf, SnapshotError } from "../../errors.ts";
import { Block } from "./block.ts";
import { checkNesting, MAX_NESTING } from "./nesting.ts";

/**
 * Turns values into bytes and back.
 *
 * @category State
 * @see {@linkcode bytesCodec}
 */
export interface Codec<T> {
  /** Its name in a snapshot; a snapshot is loaded only with the codec that it was saved with. */
  readonly name: string;
  /**
   * The version of the values' shape: see {@linkcode versioned}.
   *
   * @default {0}
   */
  readonly version?: number;
  /**
   * The bytes of a value.
   *
   * @throws {SnapshotError} `MALFORMED` if the value would not come back unchanged
   */
  encode(value: T): Uint8Array;
  /**
   * The value of bytes, which are only lent.
   *
   * @throws {SnapshotError} `MALFORMED` if they are no value of this codec
   */
  decode(bytes: Uint8Array): T;
  /**
   * As `encode`, but into a given array, so that a small value costs no object.
   *
   * @returns the end of the value; -1 if there may not be enough room for it
   */
  encodeInto?(value: T, target: Uint8Array, at: number): number;
  /** As `decode`, but from a range of bytes. */
  decodeFrom?(block: Block, start: number, end: number): T;
  /**
   * The value of bytes that an older version wrote, of this codec or of one that it {@linkcode replaces}.
   *
   * @param bytes only lent
   * @param from the codec that wrote them
   */
  migrate?(bytes: Uint8Array, from: CodecVersion): T;
  /**
   * The names of other codecs whose values `migrate` reads too. Their versions are lower than this one's.
   *
   * @default {[]}
   */
  readonly replaces?: readonly string[];
}

/**
 * The codec that wrote a value.
 *
 * @category State
 * @see {@linkcode versioned}
 */
export interface CodecVersion {
  /** The name of the codec. */
  readonly name: string;
  /** Its version. */
  readonly version: number;
}

/**
 * Options of {@linkcode versioned}.
 *
 * @category State
 */
export interface VersionedOptions {
  /**
   * The names of codecs that this one replaces: `migrate` is given the bytes that they wrote too. The versions of this
   * codec continue after their last one.
   *
   * @default {[]}
   */
  readonly replaces?: readonly string[];
}

/**
 * A codec for the newest version of values, which can read older ones. Values in snapshots, and commands in the log,
 * name the version that wrote them: an older one is migrated, a newer one is `UNSUPPORTED`.
 *
 * Where a program was put back in the place of a newer one, it does not open, nothing is changed, and the newer one
 * opens again; a newer command is refused before it is appended. The commands of `KeyValueMachine` say what wrote them
 * by themselves, those of a machine of one's own with `commandCodec(versioned(…))`. A database of a {@linkcode
 * StoredState} is of the release that made it: the next one begins with a new file, out of snapshot and log.
 *
 * @category State
 * @param codec for the newest version
 * @param version its number, 1 to 2^32-1; values written without one have 0
 * @param migrate makes a new value of an older one's bytes
 * @param options the other codecs that wrote older ones
 * @throws {SnapshotError} `MALFORMED` if that is no version
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
 *
 * @example Another codec takes the place of the one before
 * ```ts
 * import { jsonCodec, versioned } from "@snapstream/snapstream";
 * import { cborCodec } from "@snapstream/snapstream/cbor";
 *
 * const old = jsonCodec<{ name: string }>();
 * const users = versioned(cborCodec<{ name: string }>(), 1, (bytes) => old.decode(bytes), { replaces: [old.name] });
 * console.assert(users.name === "cbor");
 * ```
 */
export function versioned<T>(
  codec: Codec<T>,
  version: number,
  migrate: (bytes: Uint8Array, from: CodecVersion) => T,
  options: VersionedOptions = {},
): Codec<T> {
  checkCodec(codec, "codec");
  checkInteger(version, "version", 1, 0xffff_ffff);
  checkFunction(migrate, "migrate");
  const { replaces = [] } = checkOptions(options, { replaces: listOf(checkString) });
  const { encodeInto, decodeFrom } = codec; // no spread: it would miss the methods of a class
  return {
    name: codec.name,
    version,
    migrate,
    replaces: [...replaces],
    encode: (value) => codec.encode(value),
    decode: (bytes) => codec.decode(bytes),
    ...(encodeInto && { encodeInto: encodeInto.bind(codec) }),
    ...(decodeFrom && { decodeFrom: decodeFrom.bind(codec) }),
  };
}

/**
 * Bytes as they are. Any value but a `Uint8Array` is refused.
 *
 * @category State
 *
 * @example
 * ```ts
 * import { bytesCodec, KeyValueMachine } from "@snapstream/snapstream";
 *
 * const machine = new KeyValueMachine(bytesCodec());
 * machine.apply({ index: 1n, term: 1n, data: machine.put("key", Uint8Array.of(1, 2)) });
 * console.assert(machine.get("key")?.length === 2);
 * ```
 */
export function bytesCodec(): Codec<Uint8Array> {
  const check = (value: Uint8Array) => checkBytes(value, "A value of bytes");
  return {
    name: "bytes",
    encode: check,
    decode: (bytes) => new Uint8Array(bytes), // not slice: a Buffer's does not copy
    encodeInto(value, target, at) {
      const bytes = check(value);
      if (at + bytes.length > target.length) return -1;
      target.set(bytes, at);
      return at + bytes.length;
    },
    decodeFrom: ({ bytes }, start, end) => bytes.slice(start, end),
  };
}

/** The longest text that is copied character by character, which is faster than a call of `TextEncoder`. */
const SHORT = 64;

/**
 * Text as UTF-8. Text with half a surrogate pair, which UTF-8 cannot hold, is refused.
 *
 * @category State
 * @see {@linkcode KeyValueMachine}
 */
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
    encode: (value) => encoder.encode(checkText(value, "A text")),
    decode: (bytes) => decode(new Block(bytes), 0, bytes.length),
    encodeInto(value, target, at) {
      checkString(value, "A text");
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
      return at + encoder.encodeInto(checkText(value, "A text"), target.subarray(at)).written;
    },
    decodeFrom: decode,
  };
}

/** Numbers in JSON that may become infinite in JavaScript. */
const HUGE = /\d[eE]\+?\d{3}|\d{200}/;

/**
 * Anything that JSON can hold, with at most 512 arrays and objects within each other. `NaN` and the infinities, which
 * JSON would turn into `null`, are refused.
 *
 * @category State
 * @see {@linkcode KeyedState}
 * @typeParam T the values; other conversions by JSON (of dates, of `undefined`) are the caller's affair
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
    if (json === undefined) throw new SnapshotError("MALFORMED", `JSON cannot hold a value of type ${typeof value}`);
    // Walking a whole value is slow: only if a part became null, or there may be too many levels.
    if (json.length > 2 * MAX_NESTING || json.includes("null")) checkNesting(value, "finite");
    return json;
  };
  const parse = (json: string): T => {
    let value: T;
    try {
      value = JSON.parse(json);
    } catch (error) {
      throw new SnapshotError("MALFORMED", `A value is not JSON: ${messageOf(error)}`, { cause: error });
    }
    if (json.length > 2 * MAX_NESTING || HUGE.test(json)) checkNesting(value, "finite");
    return value;
  };
  return {
    name: "json",
    encode: (value) => text.encode(stringify(value)),
    decode: (bytes) => parse(text.decode(bytes)),
    encodeInto: (value, target, at) => text.encodeInto!(stringify(value), target, at),
    decodeFrom: (block, start, end) => parse(text.decodeFrom!(block, start, end)),
  };
}

/** Checks a codec. */
export function checkCodec(value: unknown, what: string): void {
  able("a Codec", "encode", "decode")(value, what);
  checkString((value as { readonly name?: unknown }).name, `${what}.name`);
}
