/**
 * What is too old.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import type { SnapshotMeta } from "./meta.ts";

/** The error for a snapshot that is not newer than the newest. */
export function stale(index: bigint, newest: SnapshotMeta): SnapshotError {
  return new SnapshotError(
    "STALE",
    `Snapshot ${index} is not newer than snapshot ${newest.lastIncludedIndex}, which is here`,
    { index, actual: newest.lastIncludedIndex },
  );
}
