/**
 * Whether it is a replica that calls.
 *
 * @module
 */

/** Set while a replica calls a method of its machine, until that returns or awaits. */
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

/** Whether what runs now was called by a replica, and has not awaited anything yet. */
export function isReplicaCall(): boolean {
  return calling;
}
