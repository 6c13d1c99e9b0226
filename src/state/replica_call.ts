/**
 * Calls by a replica, told apart from other calls.
 *
 * @module
 */

import { listOf } from "../checks.ts";
import { checkReader, type SnapshotReader } from "../snapshot/mod.ts";

/** True while a replica calls a method of its machine, until the method returns or awaits. */
let calling = false;

/** Calls a method of a machine on behalf of a replica. */
export function asReplica<T>(call: () => T): T {
  const before = calling;
  calling = true;
  try {
    return call();
  } finally {
    calling = before;
  }
}

/**
 * Takes apart what `check` of a state is called with: snapshots, and then, by a replica, whether to keep them.
 *
 * @throws {SnapshotError} `MALFORMED` if it is something else
 */
export function toCheck(
  given: readonly (SnapshotReader | boolean | undefined)[],
): { readonly readers: readonly SnapshotReader[]; readonly keep: boolean } {
  const last = given.length > 1 ? given.at(-1) : undefined;
  const readers = typeof last === "boolean" ? given.slice(0, -1) : given;
  listOf(checkReader)(readers, "readers");
  return { readers: readers as readonly SnapshotReader[], keep: last === true };
}

/** Reports whether the running code was called by a replica and has not awaited anything yet. */
export function isReplicaCall(): boolean {
  return calling;
}
