/**
 * Purging the entries that the log need not keep any more.
 *
 * @module
 */

import type { SnapshotInfo } from "../snapshot/mod.ts";
import type { Clock } from "./clock.ts";
import type { SnapshotEvidence } from "./evidence.ts";
import type { ExecutorContext } from "./options.ts";
import { purgeIndex, type PurgeOptions } from "./purge.ts";

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
 * @param signal cancels the trials
 * @returns the purge; nothing if no entry may go, or too few
 */
export async function purgeLog(
  context: ExecutorContext,
  evidence: SnapshotEvidence,
  clock: Clock,
  options: PurgeOptions,
  signal: AbortSignal,
): Promise<Purged | undefined> {
  const { fsm, storage, log } = context;
  const { counted } = evidence;
  const find = (listed: readonly SnapshotInfo[]) => {
    const { index: applied } = fsm.applied; // another replica's snapshot may be ahead of that
    const oldest = listed.length < storage.retain ? undefined : listed.at(-1);
    return purgeIndex({
      snapshotIndex: counted.index < applied ? counted.index : applied,
      oldestSnapshot: oldest?.meta.lastIncludedIndex ?? 0n,
      firstIndex: log.firstIndex,
      lastIndex: log.lastIndex,
      now: clock.monotonic(),
    }, options);
  };
  const listed = await evidence.refresh();
  if (find(listed) === undefined) return undefined;
  const enough = Math.min(storage.retain, MIN_COUNTED);
  for (const snapshot of listed) {
    if (counted.count >= enough) break;
    if (!counted.has(snapshot)) await evidence.prove(snapshot, signal);
  }
  const now = await evidence.refresh();
  const index = counted.count < enough ? undefined : find(now);
  if (index === undefined) return undefined;
  const { firstIndex } = log;
  await log.purge(index);
  return { index, entries: log.firstIndex - firstIndex };
}
