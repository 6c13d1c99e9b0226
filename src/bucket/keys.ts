/**
 * What buckets check before they ask anybody.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import type { GetOptions, ListOptions, PutOptions } from "./bucket.ts";

/** The longest key, in bytes of UTF-8. */
const MAX_KEY_BYTES = 1024;
/** The most objects in a page of a list. */
export const MAX_PAGE = 1000;

/**
 * The bytes of a key.
 *
 * @throws {SnapshotError} `MALFORMED` if no bucket takes it
 */
export function keyBytes(key: string): Uint8Array {
  const bytes = new TextEncoder().encode(key);
  if (bytes.length >= 1 && bytes.length <= MAX_KEY_BYTES && !/\p{Surrogate}/u.test(key)) return bytes;
  throw new SnapshotError(
    "MALFORMED",
    `${
      JSON.stringify(key.slice(0, 100))
    } is no key: a key is well-formed Unicode, 1 to ${MAX_KEY_BYTES} bytes of UTF-8`,
    { file: key, actual: bytes.length },
  );
}

/** Refuses a range that can be told to be wrong without looking at the object. */
export function checkRange(key: string, { start = 0, end = Infinity }: NonNullable<GetOptions["range"]>): void {
  const isEnd = end === Infinity || Number.isSafeInteger(end);
  if (Number.isSafeInteger(start) && start >= 0 && isEnd && end > start) return;
  throw new SnapshotError("MALFORMED", `${start} to ${end} is no range of ${key}: it holds no byte`, { file: key });
}

/**
 * Which bytes of an object a range means.
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

/** Refuses two conditions. */
export function checkConditions(key: string, { ifMatch, ifNoneMatch }: PutOptions): void {
  if (ifMatch === undefined || ifNoneMatch === undefined) return;
  throw new SnapshotError("MALFORMED", `${key} is to be put on two conditions: ifMatch or ifNoneMatch`, { file: key });
}

/** How many objects a page is to have. */
export function pageSize({ limit = MAX_PAGE }: ListOptions): number {
  if (Number.isSafeInteger(limit) && limit >= 1 && limit <= MAX_PAGE) return limit;
  throw new SnapshotError("MALFORMED", `A page of a list has 1 to ${MAX_PAGE} objects, not ${limit}`, {
    actual: limit,
  });
}
