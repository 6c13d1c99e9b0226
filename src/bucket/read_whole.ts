/**
 * Objects read as a whole.
 *
 * @module
 */

import { onAbort } from "../async/mod.ts";
import { SnapshotError, throwIfCancelled } from "../errors.ts";
import type { Bucket } from "./bucket.ts";

/** Options of {@linkcode readWhole}. */
export interface ReadWholeOptions {
  /** The bytes to read; all if absent. */
  readonly range?: { readonly start: number; readonly end: number } | undefined;
  /** The most bytes that are taken into memory. */
  readonly limit: number;
  /** Memory for the bytes, used if they fit; not to be used for anything else before this has settled. */
  readonly into?: Uint8Array | undefined;
}

/** An object, read as a whole. */
export interface ReadObject {
  /** Its bytes, or the range of them. */
  readonly bytes: Uint8Array;
  /** The ETag of the object that was read. */
  readonly etag: string;
  /** The size of the object in bytes. */
  readonly size: number;
}

/**
 * Reads an object, or a part of it, into memory: all of the bytes, or it fails.
 *
 * @param bucket the bucket
 * @param key the object
 * @param options which bytes, and how many at most
 * @param signal cancels it; nothing is written to the memory any more
 * @param alive called when bytes have come
 * @returns nothing if there is none
 * @throws {SnapshotError} `CORRUPT` if its size does not fit the range or the `limit`; `UNAVAILABLE` if another number
 *   of bytes came
 */
export async function readWhole(
  bucket: Bucket,
  key: string,
  { range, limit, into }: ReadWholeOptions,
  signal: AbortSignal,
  alive: () => void,
): Promise<ReadObject | undefined> {
  const found = await bucket.get(key, { ...(range !== undefined && { range }), signal });
  if (found === undefined) return undefined;
  const { etag, size, body } = found;
  const expected = range === undefined ? size : Math.min(range.end, size) - range.start;
  if (!(expected >= 0 && expected <= limit)) {
    await body.cancel();
    throw new SnapshotError("CORRUPT", `${key} has ${size} bytes: it is not what it was`, { file: key, actual: size });
  }
  const bytes = into !== undefined && expected <= into.length ? into.subarray(0, expected) : new Uint8Array(expected);
  const reader = body.getReader();
  let length = 0;
  const stop = () => void reader.cancel(signal.reason).catch(() => {});
  const unlink = onAbort(signal, stop);
  try {
    while (length <= expected) {
      const { done, value } = await reader.read();
      throwIfCancelled(signal);
      if (done) break;
      alive();
      if (length + value.length <= expected) bytes.set(value, length);
      length += value.length;
    }
  } finally {
    unlink();
    if (length !== expected) stop();
  }
  if (length === expected) return { bytes, etag, size };
  throw new SnapshotError(
    "UNAVAILABLE",
    `${key} was answered with ${length > expected ? "more than" : `${length} of`} ${expected} bytes`,
    { source: key, expected, ...(length < expected && { actual: length }) },
  );
}
