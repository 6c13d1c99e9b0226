/**
 * Changes of the index: what of it is kept, retired, quarantined and restored. They are decided here alone, by the
 * index as it is at the moment of the put.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { stale } from "../../snapshot/mod.ts";
import { MAX_QUARANTINED } from "../evidence.ts";
import { allKept, type KeptSnapshot, type Lease, type ObjectIndex } from "./index.ts";
import { type HeldLease, withoutLease } from "./leases.ts";
import type { SharedTime } from "./shared_time.ts";

/** Which snapshots are kept. */
export interface Retaining {
  /** The snapshots of the group, the newest first; throws if a commit is of another group. */
  own(index: ObjectIndex): readonly KeptSnapshot[];
  /** Returns those of the snapshots that count, the newest first, that the retention does not keep. */
  old(counting: readonly KeptSnapshot[]): readonly KeptSnapshot[];
  /** Reports whether a snapshot counts as one of them: it can be read. */
  counts(id: string): boolean;
  /** Reports whether a snapshot is being read here, and stays. */
  isPinned(id: string): boolean;
  readonly time: SharedTime;
}

/** A commit. */
export interface Commit extends Retaining {
  readonly kept: KeptSnapshot;
  /** The lease under which it was written. */
  readonly lease: Pick<HeldLease, "id" | "since">;
  /** The lease of the next snapshot, which is taken with it. */
  next(index: ObjectIndex): Lease | undefined;
}

/**
 * Returns the index with a commit: checks here everything that decides whether it is allowed.
 *
 * @returns nothing if it is done already, though the answer was lost
 * @throws {SnapshotError} `STALE`; `TIMEOUT` if the lease is gone
 */
export function committed(index: ObjectIndex, commit: Commit): Partial<ObjectIndex> | undefined {
  const { kept, lease: { id, since }, time } = commit;
  if (allKept(index).some((other) => other.id === kept.id)) return undefined;
  const own = commit.own(index);
  checkNewer(kept, own[0]);
  if (index.leases.find((lease) => lease.id === id)?.since !== since) {
    throw new SnapshotError(
      "TIMEOUT",
      `The lease under which snapshot ${kept.index} was written has run out, or another process has resumed it: ` +
        `chunks that it shares with others may have been collected. Write it again`,
      { index: kept.index },
    );
  }
  const old = tooOld([kept, ...own], commit);
  const next = commit.next(index);
  const { leases } = withoutLease(index, id);
  return {
    leases: next === undefined ? leases : [...leases, next],
    snapshots: [kept, ...index.snapshots].filter((kept) => !old.includes(kept)).sort(newestFirst),
    retired: [...index.retired, ...old.map((kept) => retire(kept, index, time))],
  };
}

/** Returns the index without the snapshots that are too many, which are retired; nothing if there are none. */
export function pruned(index: ObjectIndex, retention: Retaining): Partial<ObjectIndex> | undefined {
  const old = tooOld(retention.own(index), retention);
  if (old.length === 0) return undefined;
  return {
    snapshots: index.snapshots.filter((kept) => !old.includes(kept)),
    retired: [...index.retired, ...old.map((kept) => retire(kept, index, retention.time))],
  };
}

function tooOld(own: readonly KeptSnapshot[], { counts, old, isPinned }: Retaining): KeptSnapshot[] {
  return old(own.filter(({ id }) => counts(id))).filter(({ id }) => !isPinned(id));
}

/**
 * Returns the index with a snapshot quarantined; those that were there with it are suspect from now on.
 *
 * @param bad the ids of quarantined ones that are proven bad: the oldest make room
 */
export function quarantined(
  index: ObjectIndex,
  kept: KeptSnapshot,
  reason: string,
  bad: ReadonlySet<string>,
  time: SharedTime,
): Partial<ObjectIndex> {
  const dropped = index.quarantined.slice(MAX_QUARANTINED - 1).filter(({ id }) => bad.has(id));
  return {
    snapshots: index.snapshots.filter((other) => other !== kept).map((kept) => ({ ...kept, suspect: true })),
    quarantined: [{ ...kept, reason }, ...index.quarantined.filter((kept) => !dropped.includes(kept))],
    retired: [...index.retired, ...dropped.map((kept) => retire(kept, index, time))],
  };
}

/** Returns the index with a quarantined snapshot restored; nothing if that is done already. */
export function restored(index: ObjectIndex, id: string): Partial<ObjectIndex> | undefined {
  if (index.snapshots.some((kept) => kept.id === id)) return undefined;
  const kept = index.quarantined.find((kept) => kept.id === id);
  if (kept === undefined) throw new SnapshotError("NOT_FOUND", "It is not quarantined any more");
  if (index.snapshots.some((other) => other.index === kept.index)) {
    throw new SnapshotError("BUSY", `There is a snapshot ${kept.index} here: nothing is restored over it`, {
      index: kept.index,
    });
  }
  const { reason: _, ...good } = kept;
  return {
    snapshots: [...index.snapshots, { ...good, suspect: true }].sort(newestFirst),
    quarantined: index.quarantined.filter((other) => other !== kept),
  };
}

/** @throws {SnapshotError} `STALE` if a snapshot is not newer than the newest */
export function checkNewer(snapshot: { readonly index: bigint }, newest: KeptSnapshot | undefined): void {
  if (newest !== undefined && snapshot.index <= newest.index) throw stale(snapshot.index, newest.index);
}

function newestFirst(a: KeptSnapshot, b: KeptSnapshot): number {
  return a.index > b.index ? -1 : a.index < b.index ? 1 : 0;
}

function retire(kept: KeptSnapshot, index: ObjectIndex, time: SharedTime): KeptSnapshot {
  return { ...kept, retiredAt: time.latest(), retiredIn: index.generation + 1n };
}
