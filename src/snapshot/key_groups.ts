/**
 * The key groups of a file in the manifest: which it holds, and where each begins.
 *
 * @module
 */

import { checkOptions, type Checks, integer, isOf, required, unfit } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import type { KeyGroupsMessage } from "./messages.ts";
import type { KeyGroupOffsets } from "./meta.ts";

/** The most key groups that there can be: Flink's upper bound of the maximum parallelism. */
export const MAX_KEY_GROUPS: number = 32_768;
/** The longest encoding: an offset takes up to eight bytes (2^53). */
export const MAX_KEY_GROUPS_BYTES: number = MAX_KEY_GROUPS * 8 + 32;

/** Encodes key groups as a message. */
export function keyGroupsMessage({ first, last, offsets }: KeyGroupOffsets): KeyGroupsMessage {
  return { first, last, offsets: Array.from(offsets, (offset) => BigInt(offset)) };
}

/** Decodes key groups from a message; see {@linkcode checkKeyGroups}. */
export function keyGroupsOf({ first = 0, last = 0, offsets = [] }: KeyGroupsMessage, size: number): KeyGroupOffsets {
  return checkKeyGroups({ first, last, offsets: Float64Array.from(offsets, Number) }, size);
}

/**
 * Checks a table of key groups.
 *
 * @param groups the table
 * @param size the size of the file
 * @throws {SnapshotError} `MALFORMED` if the range is none, or the offsets do not rise within the file
 */
export function checkKeyGroups(groups: KeyGroupOffsets, size: number): KeyGroupOffsets {
  const { first, last, offsets } = checkOptions(groups, groupChecks(), "keyGroups");
  if (first > last) {
    throw malformed(`there is no range from ${first} to ${last}`);
  }
  if (offsets.length !== last - first + 1) {
    throw malformed(`${offsets.length} offsets for the key groups ${first} to ${last}`);
  }
  for (let i = 0; i < offsets.length; i++) {
    const before = i === 0 ? 0 : offsets[i - 1]!;
    if (!(Number.isSafeInteger(offsets[i]) && offsets[i]! >= before && offsets[i]! <= size)) {
      throw malformed(`key group ${first + i} begins at ${offsets[i]}, outside of ${before} to ${size}`);
    }
  }
  return groups;
}

function groupChecks(): Checks<KeyGroupOffsets> {
  const number = required(integer(0, MAX_KEY_GROUPS - 1));
  const offsets = (value: unknown, what: string) => {
    if (!isOf(value, Float64Array)) throw unfit(what, "a Float64Array", value);
  };
  return { first: number, last: number, offsets: required(offsets) };
}

function malformed(what: string): SnapshotError {
  return new SnapshotError("MALFORMED", `The table of key groups of a file is wrong: ${what}`);
}
