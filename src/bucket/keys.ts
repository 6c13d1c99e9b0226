/**
 * The checks of a bucket's arguments, made before any request.
 *
 * @module
 */

import {
  able,
  checkBytes,
  checkInteger,
  checkOptions,
  checkReadable,
  checkSignal,
  checkString,
  checkText,
  integer,
  isReadable,
  listOf,
  oneOf,
  withMembers,
} from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import type { Bucket, GetOptions, ListOptions, PutOptions } from "./bucket.ts";

/** The longest key, in bytes of UTF-8. */
const MAX_KEY_BYTES = 1024;
/** The most objects in a page of a list. */
export const MAX_PAGE = 1000;

/**
 * The bytes of a key.
 *
 * @throws {SnapshotError} `MALFORMED` if no bucket takes it
 */
export function keyBytes(key: string, what = "key"): Uint8Array {
  checkString(key, what);
  const bytes = new TextEncoder().encode(key);
  if (bytes.length >= 1 && bytes.length <= MAX_KEY_BYTES && !/\p{Surrogate}/u.test(key)) return bytes;
  throw new SnapshotError(
    "MALFORMED",
    `${what} is no key: ${
      JSON.stringify(key.slice(0, 100))
    }. A key is well-formed Unicode, 1 to ${MAX_KEY_BYTES} bytes of UTF-8`,
    { file: key, actual: bytes.length },
  );
}

/**
 * Checks the arguments of a `get`.
 *
 * @returns the bytes of the key
 * @throws {SnapshotError} `MALFORMED`, also for a range that is wrong for every object
 */
export function checkGet(key: string, options: GetOptions): Uint8Array {
  const bytes = keyBytes(key);
  const range = withMembers<NonNullable<GetOptions["range"]>>({ start: integer(0), end: checkEnd });
  const { start = 0, end = Infinity } = checkOptions(options, { range, signal: checkSignal }).range ?? {};
  if (end > start) return bytes;
  throw new SnapshotError("MALFORMED", `${start} to ${end} is no range of ${key}: it holds no byte`, { file: key });
}

function checkEnd(value: unknown, what: string): void {
  if (value !== Infinity) checkInteger(value, what);
}

/**
 * Checks the arguments of a `put`.
 *
 * @returns the bytes of the key, and the body; bytes as a plain `Uint8Array`
 * @throws {SnapshotError} `MALFORMED`, also for two conditions
 */
export function checkPut(
  key: string,
  body: Uint8Array | ReadableStream<Uint8Array>,
  options: PutOptions,
): { readonly order: Uint8Array; readonly body: Uint8Array | ReadableStream<Uint8Array> } {
  const order = keyBytes(key);
  const { ifMatch, ifNoneMatch } = checkOptions(options, {
    ifNoneMatch: oneOf("*"),
    ifMatch: checkString,
    signal: checkSignal,
  });
  if (ifMatch !== undefined && ifNoneMatch !== undefined) {
    throw new SnapshotError("MALFORMED", `${key} is to be put on two conditions: ifMatch or ifNoneMatch`, {
      file: key,
    });
  }
  if (!isReadable(body)) return { order, body: checkBytes(body, "body") };
  checkReadable(body, "body");
  return { order, body };
}

/**
 * Checks the arguments of a `delete`.
 *
 * @throws {SnapshotError} `MALFORMED`
 */
export function checkDelete(keys: readonly string[], options: { readonly signal?: AbortSignal }): void {
  listOf((key, what) => keyBytes(key as string, what))(keys, "keys");
  checkOptions(options, { signal: checkSignal });
}

/** Checks the prefix of a storage's keys. */
export function checkKeyPrefix(value: unknown, what: string): void {
  if (checkText(value, what) !== "") keyBytes(value as string, what);
}

/** Checks a bucket. */
export function checkBucket(value: unknown, what: string): asserts value is Bucket {
  able("a Bucket", "get", "put", "delete", "list")(value, what);
}

/**
 * The bytes of an object that a range means.
 *
 * @throws {SnapshotError} `MALFORMED` if it begins at or after the end
 */
export function rangeWithin(
  key: string,
  size: number,
  range: GetOptions["range"],
): { readonly start: number; readonly end: number } {
  const { start = 0, end = size } = range ?? {};
  if (range === undefined || start < size) return { start, end: Math.min(end, size) };
  throw beyondEnd(key, start, size);
}

/** The error for a range that begins at or after the end of the object. */
export function beyondEnd(key: string, start: number, size?: number): SnapshotError {
  return new SnapshotError(
    "MALFORMED",
    `${key} has ${size === undefined ? "fewer" : `${size}`} bytes, and none from ${start} on was to be had`,
    { file: key, ...(size === undefined ? {} : { actual: size }) },
  );
}

/**
 * Checks the arguments of a `list`.
 *
 * @returns the most objects that a page may have
 * @throws {SnapshotError} `MALFORMED`
 */
export function checkList(options: ListOptions): number {
  const { limit = MAX_PAGE } = checkOptions(options, {
    prefix: checkString,
    cursor: checkString,
    limit: integer(1, MAX_PAGE),
    signal: checkSignal,
  });
  return limit;
}
