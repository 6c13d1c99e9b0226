/**
 * Keys as bytes, with the hash that determines their key group.
 *
 * @module
 */

import { able, checkText, unfit } from "../../checks.ts";
import { checkCodec, type Codec, utf8Codec } from "./codec.ts";
import { SnapshotError } from "../../errors.ts";
import { hashLong, hashString } from "../key_groups.ts";

/**
 * A codec for keys. Keys have the same bytes if, and only if, they are the same key in a `Map`.
 *
 * @category State
 * @see {@linkcode intKeys}
 */
export interface KeyCodec<K> extends Codec<K> {
  /**
   * Java's `hashCode` of the key, so that it is in the same key group as in Flink.
   *
   * @throws {SnapshotError} `MALFORMED` if it cannot be a key
   */
  hash(key: K): number;
  /** The key as a text, different for each key. */
  text(key: K): string;
  /** The key of such a text. */
  ofText(text: string): K;
}

/**
 * Texts as keys: Java's `String`, as UTF-8.
 *
 * @category State
 * @see {@linkcode KeyedState}
 */
export function stringKeys(): KeyCodec<string> {
  return {
    ...utf8Codec(),
    name: "string",
    hash(key) {
      if (typeof key === "string" && key.isWellFormed()) return hashString(key);
      checkText(key, "A key");
      throw unfit("A key", "a string", key);
    },
    text: (key) => key,
    ofText: (text) => text,
  };
}

/**
 * Integers of 32 bits as keys: Java's `Integer`, big-endian.
 *
 * @category State
 *
 * @example
 * ```ts
 * import { intKeys, jsonCodec, KeyedState } from "@snapstream/snapstream";
 *
 * const state = new KeyedState({ keys: intKeys() });
 * const names = state.value("names", jsonCodec<string>());
 * names.set(7, "seven");
 * console.assert(names.get(7) === "seven");
 * ```
 */
export function intKeys(): KeyCodec<number> {
  const hash = (key: number) => {
    if (typeof key === "number" && (key | 0) === key) return key;
    throw unfit("A key", "an integer of 32 bits", key);
  };
  return {
    ...fixed<number>("int", 4, (view, key) => view.setInt32(0, hash(key)), (view) => view.getInt32(0)),
    hash,
    text: String,
    ofText: Number,
  };
}

/**
 * Integers of 64 bits as keys: Java's `Long`, big-endian.
 *
 * @category State
 *
 * @example
 * ```ts
 * import { longKeys, jsonCodec, KeyedState } from "@snapstream/snapstream";
 *
 * const state = new KeyedState({ keys: longKeys() });
 * const names = state.value("names", jsonCodec<string>());
 * names.set(7n, "seven");
 * console.assert(names.get(7n) === "seven");
 * ```
 */
export function longKeys(): KeyCodec<bigint> {
  const checked = (key: bigint) => {
    if (typeof key === "bigint" && BigInt.asIntN(64, key) === key) return key;
    throw unfit("A key", "a bigint of 64 bits", key);
  };
  return {
    ...fixed<bigint>("long", 8, (view, key) => view.setBigInt64(0, checked(key)), (view) => view.getBigInt64(0)),
    hash: (key) => hashLong(checked(key)),
    text: String,
    ofText: BigInt,
  };
}

function fixed<T>(
  name: string,
  size: number,
  set: (view: DataView, value: T) => void,
  get: (view: DataView) => T,
): Codec<T> {
  const codec: Required<Pick<Codec<T>, "name" | "encode" | "decode" | "encodeInto" | "decodeFrom">> = {
    name,
    encode(value) {
      const bytes = new Uint8Array(size);
      codec.encodeInto(value, bytes, 0);
      return bytes;
    },
    decode: (bytes) => read(bytes, 0, bytes.length),
    encodeInto(value, target, at) {
      if (at + size > target.length) return -1;
      set(new DataView(target.buffer, target.byteOffset + at), value);
      return at + size;
    },
    decodeFrom: ({ bytes }, start, end) => read(bytes, start, end),
  };
  const read = (bytes: Uint8Array, start: number, end: number) => {
    if (end - start === size) return get(new DataView(bytes.buffer, bytes.byteOffset + start));
    throw new SnapshotError("MALFORMED", `A key of type ${name} has ${size} bytes, not ${end - start}`, {
      expected: size,
      actual: end - start,
    });
  };
  return codec;
}

/** Checks a codec for keys. */
export function checkKeyCodec(value: unknown, what: string): void {
  checkCodec(value, what);
  able("a KeyCodec", "hash", "text", "ofText")(value, what);
}
