/**
 * What a replica finds when it starts: the newest snapshot that is good, and the log after it.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../errors.ts";
import type { LogStorage } from "../log/mod.ts";
import type { SnapshotInfo, SnapshotMeta, SnapshotStorage } from "../snapshot/mod.ts";
import type { StateMachine } from "../state/mod.ts";

/**
 * Loads the newest snapshot that is good. One that turns out to be damaged is put aside, and the one before it tried:
 * the log has what that one lacks, since it is never purged beyond the oldest snapshot that is kept.
 *
 * @param storage has the snapshots
 * @param machine is loaded
 * @param durable up to where the machine has applied entries itself: none is loaded that is not newer
 * @returns the snapshot; nothing if there is none
 */
export async function loadNewest(
  storage: SnapshotStorage,
  machine: StateMachine,
  durable: bigint = 0n,
): Promise<SnapshotInfo | undefined> {
  let missed: bigint | undefined;
  for (;;) {
    const [newest] = await storage.list();
    if (newest === undefined) return undefined;
    const index = newest.meta.lastIncludedIndex;
    if (index <= durable) return undefined;
    try {
      const reader = await storage.open(index);
      try {
        await machine.load(reader);
        return newest;
      } finally {
        await reader.close();
      }
    } catch (error) {
      if (hasCode(error, "CORRUPT")) await storage.quarantine(index, error.message);
      // In a storage that others use too a newer one may have taken its place meanwhile.
      else if (hasCode(error, "NOT_FOUND") && index !== missed) missed = index;
      else throw error;
    }
  }
}

/**
 * Makes the log fit to a snapshot that the state was loaded from. Entries after the snapshot are kept if the log has
 * the snapshot's last entry, with its term; else they are not what follows it, and all goes (braft's
 * `LogManager::set_snapshot`).
 */
export async function alignLog(
  log: LogStorage,
  { lastIncludedIndex: index, lastIncludedTerm: term }: SnapshotMeta,
): Promise<void> {
  if (await log.term(index) !== term) await log.reset(index, term);
}

/**
 * Checks that nothing is missing between snapshot and log.
 *
 * @throws {SnapshotError} `CORRUPT` if the log begins later
 */
export function checkNoGap(log: LogStorage, snapshot: SnapshotMeta | undefined): void {
  const index = snapshot?.lastIncludedIndex ?? 0n;
  if (log.firstIndex <= index + 1n) return;
  throw new SnapshotError(
    "CORRUPT",
    `Entries ${index + 1n} to ${
      log.firstIndex - 1n
    } are neither in a snapshot that is good nor in the log: install a ` +
      `snapshot from another node into the storage`,
    { index, expected: index + 1n, actual: log.firstIndex },
  );
}
