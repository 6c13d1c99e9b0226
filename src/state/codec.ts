/**
 * Values as bytes.
 *
 * @module
 */

import { messageOf, SnapshotError } from "../errors.ts";

/** Turns values into bytes and back. */
export interface Codec<T> {
  /** What it is called in a snapshot; a snapshot is loaded only with the codec that it was saved with. */
  readonly name: string;
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
}

/** Bytes as they are. */
export function bytesCodec(): Codec<Uint8Array> {
  return { name: "bytes", encode: (value) => value, decode: (bytes) => bytes.slice() };
}

/** Text as UTF-8. Half a surrogate pair, which UTF-8 cannot hold, is refused. */
export function utf8Codec(): Codec<string> {
  const encoder = new TextEncoder();
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  return {
    name: "utf-8",
    encode(value) {
      if (value.isWellFormed()) return encoder.encode(value);
      throw new SnapshotError("MALFORMED", `A text has half of a surrogate pair, which UTF-8 cannot hold`);
    },
    decode(bytes) {
      try {
        return decoder.decode(bytes);
      } catch (error) {
        throw new SnapshotError("MALFORMED", "A text is not UTF-8", { cause: error });
      }
    },
  };
}

/**
 * Anything that JSON can hold.
 *
 * @typeParam T what is held; what JSON does to it (dates, `undefined`) is the caller's affair
 */
export function jsonCodec<T>(): Codec<T> {
  const text = utf8Codec();
  return {
    name: "json",
    encode(value) {
      let json: string | undefined;
      try {
        json = JSON.stringify(value) as string | undefined;
      } catch (error) {
        throw new SnapshotError("MALFORMED", `JSON cannot hold a value: ${messageOf(error)}`, { cause: error });
      }
      if (json !== undefined) return text.encode(json);
      throw new SnapshotError("MALFORMED", `JSON cannot hold a value of type ${typeof value}`);
    },
    decode(bytes) {
      try {
        return JSON.parse(text.decode(bytes));
      } catch (error) {
        throw new SnapshotError("MALFORMED", `A value is not JSON: ${messageOf(error)}`, { cause: error });
      }
    },
  };
}
