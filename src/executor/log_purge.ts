/**
 * Purging the entries that the log need not keep any more.
 *
 * @module
 */

import type { SnapshotInfo } from "../snapshot/mod.ts";
import type { Clock } from "./clock.ts";
import type { DiskLimits } from "./disk_based.ts";
import type { SnapshotEvidence } from "./evidence.ts";
import type { ExecutorContext } from "./options.ts";
import { purgeIndex, type PurgeOptions, SAFE_INDEX_TIMEOUT } from "./purge.ts";

/** The snapshots that must count before entries go, if so many are kept: of two, one may rot unseen. */
const MIN_COUNTED = 2;

/** The result of a purge. */
export interface Purged {
  /** The last entry that was purged. */
  readonly index: bigint;
  /** The number of entries that were purged. */
  readonly entries: bigint;
}

/**
 * Purges the log behind snapshots that count; those that do not yet, since an earlier process or another replica saved
 * them, are tried first. A snapshot that cannot be used holds the log as if it were absent.
 *
 * A full log would never get room if it waited for a second snapshot, since nothing can be appended for one: then the
 * newest that counts is enough, if all of it can be read now.
 *
 * Behind a machine that has its state on a disk no snapshot is needed: those that are there say nothing then, but for
 * one that is being sent.
 *
 * @param isFull whether the log has no room
 * @param disk what the machine has on its disk; absent if it has none
 * @param signal cancels the trials
 * @returns the purge; nothing if no entry may go, or too few
 */
export async function purgeLog(
  context: ExecutorContext,
  evidence: SnapshotEvidence,
  clock: Clock,
  options: PurgeOptions,
  isFull: boolean,
  disk: DiskLimits | undefined,
  signal: AbortSignal,
): Promise<Purged | undefined> {
  const { fsm, storage, log } = context;
  const { counted } = evidence;
  const rules = isFull ? { ...options, gap: 1 } : options;
  const within = (snapshotIndex: bigint, oldestSnapshot: bigint) => {
    const { firstIndex, lastIndex } = log;
    const state = { snapshotIndex, oldestSnapshot, firstIndex, lastIndex, now: clock.monotonic() };
    const free = purgeIndex(state, rules);
    if (free === undefined || isFull) return free; // for want of room proposals fail; followers can install a snapshot
    const followers = context.followers?.(free, options.safeIndexTimeout ?? SAFE_INDEX_TIMEOUT) ?? [];
    return purgeIndex(state, { ...rules, members: () => [...options.members?.() ?? [], ...followers] });
  };
  const find = (oldestSnapshot: bigint) => {
    const { index: applied } = fsm.applied; // another replica's snapshot may be ahead of that
    return within(counted.index < applied ? counted.index : applied, oldestSnapshot);
  };
  const byOldest = async () => {
    const oldest = (listed: readonly SnapshotInfo[]) => {
      return listed.length < storage.retain ? 0n : listed.at(-1)?.meta.lastIncludedIndex ?? 0n;
    };
    const listed = await evidence.refresh();
    if (find(oldest(listed)) === undefined) return undefined;
    const enough = Math.min(storage.retain, MIN_COUNTED);
    for (const snapshot of listed) {
      if (counted.count >= enough) break;
      if (!counted.has(snapshot)) await evidence.prove(snapshot, signal);
    }
    const now = await evidence.refresh();
    return counted.count < enough ? undefined : find(oldest(now));
  };
  const byNewest = async () => {
    const newest = (await evidence.refresh()).find((snapshot) => counted.has(snapshot));
    if (newest === undefined || find(newest.meta.lastIncludedIndex) === undefined) return undefined;
    return await evidence.prove(newest, signal, true) ? find(newest.meta.lastIncludedIndex) : undefined;
  };
  const byDisk = ({ synced, sent = synced }: DiskLimits) => within(synced, isFull ? synced : sent);
  const bySnapshots = async () => {
    if (options.upToSnapshotIndex === "newest") return await byNewest();
    return await byOldest() ?? (isFull ? await byNewest() : undefined);
  };
  const may = disk !== undefined ? byDisk(disk) : await bySnapshots();
  if (may === undefined) return undefined;
  const { firstIndex } = log;
  const held = context.held?.() ?? may;
  const index = held < may ? held : may;
  if (index < firstIndex) return undefined;
  await log.purge(index);
  return { index, entries: log.firstIndex - firstIndex };
}
