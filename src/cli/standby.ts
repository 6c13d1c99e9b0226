/**
 * The snapshots of a replica that has no state of its own to save: they come from those that it follows.
 *
 * @module
 */

import { type Backoff, backoff, pause } from "../async/mod.ts";
import { hasCode, SnapshotError } from "../errors.ts";
import type { Follower, Replica } from "../executor/mod.ts";
import { pull, type SourceOptions } from "../transfer/mod.ts";
import type { OpaqueMachine } from "./opaque_machine.ts";

/** How often a server is asked for a newer snapshot, in milliseconds. */
const SNAPSHOTS = 10_000;
/** The attempts to pull a snapshot while others are installed, and the waits between them. */
const PULLS = 12;
const RETRY: Backoff = { first: 100, longest: 2000, jitter: [0.75, 1.25] };

/** A replica that takes its snapshots from those that it follows. */
export interface Standby {
  /** The replica. */
  readonly replica: Replica<OpaqueMachine>;
  /** Its follower. */
  readonly follower: Follower;
  /** Whom it follows. */
  readonly servers: readonly SourceOptions[];
}

/** Pulls newer snapshots, behind which the log can be purged. */
export async function refresh(standby: Standby, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await pullNewest(standby, signal).then(() => standby.replica.purge(), () => {}); // the next may do
    await pause(SNAPSHOTS, signal).catch(() => {});
  }
}

/**
 * Pulls the newest snapshot, once the log has come there. One that is ahead of the log is for the follower, which loads
 * it: if it were in the storage already, the follower could not install it, nor go on without it.
 */
export async function pullNewest(
  { replica, follower, servers }: Standby,
  signal: AbortSignal,
): Promise<void> {
  const onManifest = ({ index }: { readonly index: bigint }): void => {
    const { appliedIndex } = replica.status();
    if (index <= appliedIndex) return;
    throw new SnapshotError("BUSY", `Snapshot ${index} is ahead of the log, which is followed up to ${appliedIndex}`);
  };
  for (let tries = 0;; tries++) {
    try {
      await follower.caughtUp(undefined, { signal });
      await pull(replica.storage, servers, { signal, onManifest });
      return;
    } catch (error) {
      if (hasCode(error, "NOT_FOUND")) return; // there is none yet
      // The follower installs one just now, or has just done so.
      if (!hasCode(error, "BUSY", "STALE") || tries === PULLS) throw error;
      await pause(backoff(tries, RETRY), signal);
    }
  }
}
