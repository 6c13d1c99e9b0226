/**
 * Verifying all of a backup.
 *
 * @module
 */

import { able, checkOptions, checkSignal } from "../checks.ts";
import { hasCode, messageOf, SnapshotError, throwIfCancelled } from "../errors.ts";
import { Operation, type Tracker, yieldTurn } from "../async/mod.ts";
import { withJson } from "../stream/mod.ts";
import { type Bucket, checkKeyPrefix } from "../bucket/mod.ts";
import { historyAt } from "../log/mod.ts";
import { ObjectStorage } from "../storage/object/mod.ts";
import { checkHistory, missing } from "./batches.ts";
import { BackupBucket, snapshotsPrefix } from "./layout.ts";
import type { RestoreBackupOptions } from "./restore.ts";
import { readSegment } from "./segment.ts";

/**
 * The result of {@linkcode verifyBackup}.
 */
export interface BackupReport {
  /** Snapshots, all of whose bytes are right. */
  readonly snapshots: number;
  /** Segments that are right. */
  readonly segments: number;
  /** The entries in them. */
  readonly entries: bigint;
  /** The first point that can be restored; absent if none can. */
  readonly first: bigint | undefined;
  /** The last. */
  readonly last: bigint | undefined;
  /** What is wrong, each with its file or index. */
  readonly problems: readonly SnapshotError[];
}

/**
 * Reads and verifies all of a backup: every byte, that no segment is missing or in another's place, and that the log
 * leads on from each snapshot.
 *
 * @param bucket has the backup
 * @param options the prefix, and the signal
 * @returns work that gives what is there, and what is wrong with it
 * @throws {SnapshotError} `NOT_FOUND` if there is no backup; what the bucket fails with
 *
 * @example
 * ```ts
 * import { MemoryBucket } from "@snapstream/snapstream/object";
 * import { verifyBackup } from "@snapstream/snapstream/backup";
 *
 * const error = await verifyBackup(new MemoryBucket()).result.catch((error) => error);
 * console.assert(error.code === "NOT_FOUND");
 * ```
 */
export function verifyBackup(
  bucket: Bucket,
  options: Pick<RestoreBackupOptions, "prefix" | "signal"> = {},
): Operation<BackupReport> {
  able("a Bucket", "get", "put", "delete", "list")(bucket, "bucket");
  const { prefix = "", signal } = checkOptions(options, { prefix: checkKeyPrefix, signal: checkSignal });
  return new Operation(async (tracker) => {
    const objects = new BackupBucket(bucket, prefix);
    const storage = await ObjectStorage.open(bucket, {
      prefix: snapshotsPrefix(prefix),
      retain: Number.MAX_SAFE_INTEGER,
    });
    try {
      return await verify(objects, storage, tracker, signal);
    } finally {
      await storage.close();
    }
  });
}

async function verify(
  objects: BackupBucket,
  storage: ObjectStorage,
  tracker: Tracker,
  signal: AbortSignal | undefined,
): Promise<BackupReport> {
  const problems: SnapshotError[] = [];
  const note = (error: unknown) => {
    throwIfCancelled(signal);
    if (!(error instanceof SnapshotError)) throw error;
    problems.push(error);
  };
  const listed = await storage.list();
  const segments = await objects.segments(signal);
  if (listed.length === 0 && segments.length === 0) {
    const [unreadable] = await storage.unreadable();
    throw unreadable?.error ?? new SnapshotError("NOT_FOUND", "There is no backup in this bucket, at this prefix");
  }
  tracker.phase("verify", listed.reduce((sum, { size }) => sum + size, segments.reduce((sum, s) => sum + s.size, 0)));
  const histories = new Map<bigint, Uint8Array>();
  let good = 0;
  for (const { meta: { lastIncludedIndex: index }, digest, size } of listed) {
    try {
      const reader = await storage.open(index);
      try {
        const { bad } = await reader.verify(signal === undefined ? {} : { signal }).result;
        // What was bad is read again: the error says whether that is proven, or cannot be read now.
        for (const name of new Set(bad.map(({ file }) => file))) for await (const _ of reader.file(name));
      } finally {
        await reader.close();
      }
      const history = await objects.history({ index, digest });
      if (history !== undefined) histories.set(index, history);
      good++;
    } catch (error) {
      note(
        error instanceof SnapshotError
          ? new SnapshotError(error.code, `Snapshot ${index}: ${error.message}`, { ...error.fields, index })
          : error,
      );
    }
    tracker.add(size);
  }
  for (const { error } of await storage.unreadable()) note(error);
  const oldest = listed.at(-1)?.meta.lastIncludedIndex;
  const [start] = segments;
  if (start !== undefined && start.first > (oldest ?? 0n) + 1n) note(missing((oldest ?? 0n) + 1n, start.first - 1n));
  let [right, entries] = [0, 0n];
  let end: { readonly next: bigint; readonly digest: Uint8Array } | undefined;
  for (const { first, key, size } of segments) {
    try {
      if (end !== undefined && end.next !== first) note(missing(end.next, first - 1n));
      const previous = end?.next === first ? end.digest : undefined;
      const stream = await objects.segment(first);
      if (stream === undefined) throw missing(first, first);
      for (const batch of readSegment(stream, { first, previous, source: objects.name(key) })) {
        const before = batch.entries[0]!.index - 1n;
        for (const [index, history] of histories) {
          if (index < before || index > batch.entries.at(-1)!.index) continue;
          checkHistory(history, historyAt(batch, index), index);
          histories.delete(index);
        }
        end = { next: before + BigInt(batch.entries.length) + 1n, digest: batch.digest };
        entries += BigInt(batch.entries.length);
      }
      right++;
    } catch (error) {
      note(
        hasCode(error, "STALE")
          ? new SnapshotError(
            "CORRUPT",
            `${objects.name(key)} does not follow the segment before it: ${messageOf(error)}`,
            {
              file: objects.name(key),
              index: first,
            },
          )
          : error,
      );
      end = undefined;
    }
    tracker.add(size);
    await yieldTurn();
  }
  const newest = listed[0]?.meta.lastIncludedIndex ?? 0n;
  const last = end === undefined ? newest : end.next - 1n;
  return withJson({
    snapshots: good,
    segments: right,
    entries,
    first: start?.first === 1n ? 1n : oldest,
    last: (last > newest ? last : newest) || undefined,
    problems,
  });
}
