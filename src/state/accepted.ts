/**
 * The values that a state accepts: those that every save can write. One value that cannot be saved would fail each
 * save, and so block the purging of the log.
 *
 * @module
 */

import { checkBytes } from "../checks.ts";
import { messageOf, SnapshotError } from "../errors.ts";
import { concat } from "../stream/mod.ts";
import type { Codec } from "./codecs/mod.ts";
import { encodeAt, MAX_LENGTH, type NamedCodec } from "./format/mod.ts";

/** The room in which values are encoded, of which only the size or a copy is wanted. */
const SCRATCH = 64 * 1024;
let scratch: Uint8Array | undefined;

/** Runs `work` with that room, which is taken meanwhile: a codec may encode another value. */
function inScratch<T>(work: (room: Uint8Array) => T): T {
  const room = scratch ?? new Uint8Array(SCRATCH);
  scratch = undefined;
  try {
    return work(room);
  } finally {
    scratch = room;
  }
}

/**
 * The number of bytes that a value takes in a file.
 *
 * @throws {SnapshotError} `MALFORMED` if no file can hold it
 * @throws the error with which the codec refuses it
 */
export function sizeOf<T>(codec: Codec<T>, value: T): number {
  if (codec.encodeInto !== undefined) {
    // Not at 0: an end one too early would be -1, "no room".
    const end = inScratch((room) => encodeAt(codec, value, room, 1));
    if (end >= 0) return end - 1;
  }
  return bytesOf(codec, value).length;
}

/** The bytes of a value behind a header of a byte or more, in an array of their own. Throws as {@linkcode sizeOf}. */
export function bytesBehind<T>(header: Uint8Array, codec: Codec<T>, value: T): Uint8Array {
  const at = header.length;
  if (codec.encodeInto !== undefined && at < SCRATCH) {
    const bytes = inScratch((room) => {
      const end = encodeAt(codec, value, room, at);
      if (end < 0) return undefined;
      room.set(header);
      return room.slice(0, end);
    });
    if (bytes !== undefined) return bytes;
  }
  return concat([header, bytesOf(codec, value)]);
}

/** The bytes of a value, which may belong to the codec. Throws as {@linkcode sizeOf}. */
export function bytesOf<T>(codec: Codec<T>, value: T): Uint8Array {
  const bytes = checkBytes(codec.encode(value), `What the codec ${codec.name} makes of a value`);
  checkLength(bytes.length);
  return bytes;
}

/**
 * Checks the number of bytes of a key or a value.
 *
 * @throws {SnapshotError} `MALFORMED` if it is too high for a file
 */
export function checkLength(length: number): void {
  if (length <= MAX_LENGTH) return;
  throw new SnapshotError("MALFORMED", `it has ${length} bytes, over ${MAX_LENGTH}`, {
    expected: MAX_LENGTH,
    actual: length,
  });
}

/** The error for a value that a state does not accept. */
export function refusedValue(
  state: string,
  { name, version = 0 }: NamedCodec,
  what: string,
  error: unknown,
): SnapshotError {
  return new SnapshotError(
    "MALFORMED",
    `The state ${JSON.stringify(state)} cannot save ${what} with the codec ${name}, version ${version}: ` +
      messageOf(error),
    { cause: error },
  );
}

/** A key, for a person. */
export function shownKey(key: unknown): string {
  return typeof key === "string" ? JSON.stringify(key.slice(0, 100)) : String(key);
}
