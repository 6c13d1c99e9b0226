/**
 * The error for snapshots that are too old.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";

/** The error for a snapshot that is not newer than the newest. */
export function stale(index: bigint, newest: bigint): SnapshotError {
  return new SnapshotError(
    "STALE",
    `Snapshot ${index} is not newer than snapshot ${newest}, which is here`,
    { index, actual: newest },
  );
}
