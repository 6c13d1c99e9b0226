/**
 * The layout of keyed state in a database.
 *
 * ```text
 * key     = slot keyGroup length name key   slot = 00 or 01, keyGroup = u16 big-endian
 *                                           length = u8, of the state's name
 * meta    = FF                              its value: slot, or slot + 2 if there is `applied`; StateHead, framed as
 *                                           in a file
 * applied = FF 01                           up to where a log was applied: see `applied_record.ts`
 * group   = FF 02                           the name of the group whose state it is, in UTF-8; absent if it has none
 * ```
 *
 * So entries are in the order of key groups, as they are in a file. Of the two slots one is the state; a load fills the
 * other, and then changes over in one write. A program that does not know of `applied` must not change such a state:
 * the 2 keeps it out.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { checkGroup } from "../../snapshot/mod.ts";
import { concat } from "../../stream/mod.ts";
import type { Change } from "./engine.ts";

/** One of the two places for the whole state. */
export type Slot = 0 | 1;

/** The longest name of a state, in bytes of UTF-8. */
const MAX_NAME = 255;
/** Slot, key group and length of the name. */
const HEAD = 4;

/** The key of what is said of the whole. */
export function metaKey(): Uint8Array {
  return Uint8Array.of(0xff);
}

/** A key that is never there, for a write that changes nothing. */
export function unusedKey(): Uint8Array {
  return Uint8Array.of(0xfe);
}

/** The value of {@linkcode metaKey}. */
export function metaValue(slot: Slot, hasApplied: boolean, head: Uint8Array): Uint8Array {
  return concat([Uint8Array.of(hasApplied ? slot + 2 : slot), head]);
}

/** The parts of such a value; nothing if it is none. */
export function splitMeta(
  value: Uint8Array,
): { readonly slot: Slot; readonly hasApplied: boolean; readonly head: Uint8Array } | undefined {
  const [first = 4] = value;
  return first > 3 ? undefined : { slot: (first & 1) as Slot, hasApplied: first >= 2, head: value.subarray(1) };
}

/** The key of what is said of the entries that were applied. */
export function appliedKey(): Uint8Array {
  return Uint8Array.of(0xff, 1);
}

/** Returns the change that names the group of the state; or, without one, that it has none. */
export function groupChange(group: string | undefined): Change {
  return { key: groupNameKey(), value: group === undefined ? undefined : new TextEncoder().encode(group) };
}

/** The key of the name of the group. */
export function groupNameKey(): Uint8Array {
  return Uint8Array.of(0xff, 2);
}

/**
 * Decodes the name of the group.
 *
 * @throws {SnapshotError} `MALFORMED` if it is none
 */
export function groupNameOf(value: Uint8Array | undefined): string | undefined {
  return value && checkGroup(new TextDecoder("utf-8", { ignoreBOM: true }).decode(value), "What the database names");
}

/** Returns the prefix of a state's keys in a key group. */
export function prefixOf(slot: Slot, keyGroup: number, name: Uint8Array): Uint8Array {
  return concat([Uint8Array.of(slot, keyGroup >>> 8, keyGroup & 0xff, name.length), name]);
}

/** The key before which all keys are whose bytes begin with these, and after which none is. */
export function endOf(prefix: Uint8Array): Uint8Array {
  const end = prefix.slice();
  let last = end.length - 1;
  while (end[last] === 0xff) last--;
  end[last]!++;
  return end.subarray(0, last + 1);
}

/** The first key of a key group; of the one after the last, the end. */
export function groupKey(slot: Slot, keyGroup: number): Uint8Array {
  return keyGroup > 0xffff ? Uint8Array.of(slot + 1) : Uint8Array.of(slot, keyGroup >>> 8, keyGroup & 0xff);
}

/**
 * The parts of a key.
 *
 * @throws {SnapshotError} `MALFORMED` if it is of something else
 */
export function splitKey(
  key: Uint8Array,
): { readonly keyGroup: number; readonly name: Uint8Array; readonly key: Uint8Array } {
  const end = HEAD + (key[HEAD - 1] ?? 0);
  if (key.length < end || key.length < HEAD) {
    throw new SnapshotError(
      "MALFORMED",
      "The database has keys that are not of keyed state: give the state one of its own",
    );
  }
  return { keyGroup: key[1]! << 8 | key[2]!, name: key.subarray(HEAD, end), key: key.subarray(end) };
}

/**
 * The name of a state as it is in keys.
 *
 * @throws {SnapshotError} `MALFORMED` if it is too long, or UTF-8 cannot hold it: two such names would be the same
 *   bytes
 */
export function nameBytes(name: string): Uint8Array {
  if (!name.isWellFormed()) throw new SnapshotError("MALFORMED", "The name of a state has half of a surrogate pair");
  const bytes = new TextEncoder().encode(name);
  if (bytes.length <= MAX_NAME) return bytes;
  throw new SnapshotError("MALFORMED", `The name of a state has at most ${MAX_NAME} bytes here, not ${bytes.length}`, {
    expected: MAX_NAME,
    actual: bytes.length,
  });
}
