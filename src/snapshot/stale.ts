/**
 * The error for snapshots that are too old.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../errors.ts";

/** The error for a snapshot that is not newer than the newest. */
export function stale(index: bigint, newest: bigint): SnapshotError {
  return new SnapshotError(
    "STALE",
    `Snapshot ${index} is not newer than snapshot ${newest}, which is here`,
    { index, actual: newest },
  );
}

/** Whether an error says of a snapshot that it is not newer than an index: that there is nothing new to install. */
export function isPassed(error: unknown, index: bigint): boolean {
  return hasCode(error, "STALE") && error.index !== undefined && error.index <= index;
}
