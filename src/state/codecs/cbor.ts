/**
 * Values as CBOR.
 *
 * @module
 */

import { decode, type DecodeOptions, encode, type EncodeOptions, Token, Type } from "cborg";
import { messageOf, SnapshotError } from "../../errors.ts";
import type { Codec } from "./codec.ts";
import { checkNesting, MAX_NESTING } from "./nesting.ts";

/** The tags of integers of any size (RFC 8949, 3.4.3): they stand for a `bigint`, and only for one. */
const Tag = { BIGINT: 2, NEGATIVE_BIGINT: 3 } as const;

/**
 * Anything that CBOR (RFC 8949) holds: all that JSON holds, and bytes, `undefined`, `NaN`, `-0` and `bigint`, all of
 * which come back unchanged; smaller than JSON. The same value always has the same bytes, with the keys of an object in
 * the order of their encodings. At most 512 arrays and objects may be within each other.
 *
 * @category State
 * @typeParam T the values: no functions, dates, maps or classes
 *
 * @example
 * ```ts
 * import { cborCodec } from "@snapstream/snapstream/cbor";
 *
 * const codec = cborCodec<{ id: bigint; picture: Uint8Array }>();
 * const { id } = codec.decode(codec.encode({ id: 2n ** 60n, picture: Uint8Array.of(1) }));
 * console.assert(id === 2n ** 60n);
 * ```
 */
export function cborCodec<T>(): Codec<T> {
  const encoding: EncodeOptions = {
    typeEncoders: {
      // -0, and integers that are not safe, would come back as something else if written as integers.
      number: (value: number) =>
        Number.isInteger(value) && (!Number.isSafeInteger(value) || Object.is(value, -0))
          ? [new Token(Type.float, value)]
          : null,
      bigint: (value: bigint) => [
        new Token(Type.tag, value < 0n ? Tag.NEGATIVE_BIGINT : Tag.BIGINT),
        new Token(Type.bytes, bytesOfInteger(value < 0n ? -1n - value : value)),
      ],
      string(value: string) {
        if (value.isWellFormed()) return null;
        throw new Error("a text has half of a surrogate pair");
      },
      ...Object.fromEntries(LOSSY.map((name) => [name, () => refuse(name)])),
    },
  };
  const decoding: DecodeOptions = {
    rejectDuplicateMapKeys: true,
    // The encoder writes none; and as the key of a map, cborg takes the end of one for a symbol.
    allowIndefinite: false,
    tags: {
      [Tag.BIGINT]: (decodeContent) => integerOf(decodeContent()),
      [Tag.NEGATIVE_BIGINT]: (decodeContent) => -1n - integerOf(decodeContent()),
    },
  };
  return {
    name: "cbor",
    encode(value) {
      let bytes: Uint8Array;
      try {
        bytes = encode(value, encoding);
      } catch (error) {
        throw new SnapshotError("MALFORMED", `CBOR cannot hold a value: ${messageOf(error)}`, { cause: error });
      }
      if (bytes.length > MAX_NESTING) checkNesting(value, "any"); // a level takes a byte
      return bytes;
    },
    decode(bytes) {
      let value: T;
      try {
        // Copied, since byte strings in the value would be views of the lent bytes.
        value = decode(bytes.slice(), decoding);
      } catch (error) {
        throw new SnapshotError("MALFORMED", `A value is not CBOR: ${messageOf(error)}`, { cause: error });
      }
      if (bytes.length > MAX_NESTING) checkNesting(value, "any");
      return value;
    },
  };
}

/** The types that would come back as something else. */
const LOSSY = [
  "Map",
  "ArrayBuffer",
  "DataView",
  "Int8Array",
  "Uint8ClampedArray",
  "Int16Array",
  "Uint16Array",
  "Int32Array",
  "Uint32Array",
  "Float32Array",
  "Float64Array",
  "BigInt64Array",
  "BigUint64Array",
] as const;

function refuse(name: string): never {
  throw new Error(`a ${name} would come back as something else`);
}

function bytesOfInteger(value: bigint): Uint8Array {
  const hex = value === 0n ? "" : value.toString(16);
  const even = hex.length % 2 === 0 ? hex : `0${hex}`;
  return Uint8Array.from(even.match(/../g) ?? [], (byte) => parseInt(byte, 16));
}

function integerOf(bytes: unknown): bigint {
  if (!(bytes instanceof Uint8Array)) throw new Error("an integer is not made of bytes");
  let hex = "";
  for (const byte of bytes) hex += byte.toString(16).padStart(2, "0");
  return hex === "" ? 0n : BigInt(`0x${hex}`);
}
