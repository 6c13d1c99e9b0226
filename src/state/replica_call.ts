/**
 * Calls by a replica, told apart from other calls.
 *
 * @module
 */

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

/** Reports whether the running code was called by a replica and has not awaited anything yet. */
export function isReplicaCall(): boolean {
  return calling;
}
