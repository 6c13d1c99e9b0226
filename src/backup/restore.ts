/**
 * Restoring out of a backup: the newest snapshot before a point, and the log after it up to there.
 *
 * @module
 */

import { able, checkIndex, checkOptions, type Checks, checkSignal, integer } from "../checks.ts";
import { hasCode, SnapshotError, throwIfCancelled } from "../errors.ts";
import { yieldTurn } from "../async/mod.ts";
import { withJson } from "../stream/mod.ts";
import { type Bucket, checkKeyPrefix } from "../bucket/mod.ts";
import { historyAt, type LogStorage, MAX_TIME } from "../log/mod.ts";
import { checkStorage, type SnapshotInfo, type SnapshotReader, type SnapshotStorage } from "../snapshot/mod.ts";
import { asReplica, type LogEntry, type StateMachine } from "../state/mod.ts";
import { ObjectStorage } from "../storage/object/mod.ts";
import { batches, checkHistory } from "./batches.ts";
import { copySnapshot } from "./copy.ts";
import { BackupBucket, type ListedSegment, snapshotsPrefix } from "./layout.ts";

/** Entries that are appended to a log at once. */
const APPENDED_AT_ONCE = 1024;

/**
 * Options of {@linkcode restoreBackup} and {@linkcode copyBackup}.
 */
export interface RestoreBackupOptions {
  /**
   * The prefix of all keys: that of the backup.
   *
   * @default {""}
   */
  readonly prefix?: string;
  /** The last entry that is restored. By default the newest; not together with `time`. */
  readonly index?: bigint;
  /** Entries that were appended up to then are restored: milliseconds since 1970. */
  readonly time?: number;
  /** Cancels it. */
  readonly signal?: AbortSignal;
}

/**
 * The point to which a backup was restored.
 */
export interface RestoredPoint {
  /** The last entry. */
  readonly index: bigint;
  /** Its term. */
  readonly term: bigint;
  /** When it was appended: milliseconds since 1970; absent if it is in the snapshot, or that is not known. */
  readonly time: number | undefined;
  /** The snapshot that it began with; absent if all came from the log. */
  readonly snapshot: SnapshotInfo | undefined;
  /** The entries after it. */
  readonly entries: bigint;
}

/** Checks the options. */
function checkRestoreOptions(options: RestoreBackupOptions): RestoreBackupOptions {
  const checks: Checks<RestoreBackupOptions> = {
    prefix: checkKeyPrefix,
    index: checkIndex,
    time: integer(0, MAX_TIME),
    signal: checkSignal,
  };
  const { index, time } = checkOptions(options, checks);
  if (index === undefined || time === undefined) return options;
  throw new SnapshotError("MALFORMED", "A backup is restored to an index or to a time, not to both");
}

/**
 * Restores a machine to any point of a backup: by default the newest. Every byte was verified before the machine sees
 * it, and that the entries follow the snapshot. If it fails, the machine may have a part of it: use a new one.
 *
 * Of a replica with an `EncryptedStorage` the snapshots are encrypted, and the machine gets them so: its `load` has to
 * read a `decryptedReader` of them, or the backup is copied ({@linkcode copyBackup}) into an `EncryptedStorage`.
 *
 * @param machine the machine; it has no state yet
 * @param bucket has the backup
 * @param options which point
 * @returns the point, which is before the wanted time, or at the wanted index
 * @throws {SnapshotError} `NOT_FOUND` if there is no backup, or it has no such point; `CORRUPT` if something is damaged
 *   or missing on the way there; whatever the machine fails with
 *
 * @example See {@linkcode Backup}
 * ```ts
 * import { KeyValueMachine, utf8Codec } from "@snapstream/snapstream";
 * import { restoreBackup } from "@snapstream/snapstream/backup";
 * import { MemoryBucket } from "@snapstream/snapstream/object";
 *
 * const machine = new KeyValueMachine(utf8Codec());
 * const error = await restoreBackup(machine, new MemoryBucket()).catch((error) => error);
 * console.assert(error.code === "NOT_FOUND");
 * ```
 */
export async function restoreBackup(
  machine: Pick<StateMachine, "load" | "apply">,
  bucket: Bucket,
  options: RestoreBackupOptions = {},
): Promise<RestoredPoint> {
  able("a StateMachine", "load", "apply")(machine, "machine");
  return await restore(bucket, options, {
    load: (reader) => asReplica(() => machine.load(reader)),
    async take(entries) {
      for (const entry of entries) {
        const applying = entry.configuration === undefined ? asReplica(() => machine.apply(entry)) : undefined;
        if (applying !== undefined) await applying; // most machines apply at once
      }
    },
  });
}

/**
 * Copies a backup, up to any point of it, into a storage and a log, from which a replica can be opened: its snapshot,
 * and the entries after it.
 *
 * @param bucket has the backup
 * @param to the storage and the log, which must be empty
 * @param options which point
 * @returns the point
 * @throws {SnapshotError} as {@linkcode restoreBackup}; `STALE` if storage or log are not empty
 *
 * @example
 * ```ts
 * import { MemoryLog, MemoryStorage } from "@snapstream/snapstream";
 * import { copyBackup } from "@snapstream/snapstream/backup";
 * import { MemoryBucket } from "@snapstream/snapstream/object";
 *
 * const to = { storage: new MemoryStorage(), log: new MemoryLog() };
 * const error = await copyBackup(new MemoryBucket(), to).catch((error) => error);
 * console.assert(error.code === "NOT_FOUND");
 * ```
 */
export async function copyBackup(
  bucket: Bucket,
  to: { readonly storage: SnapshotStorage; readonly log: LogStorage },
  options: RestoreBackupOptions = {},
): Promise<RestoredPoint> {
  const { storage, log } = to;
  checkStorage(storage, "to.storage");
  able("a LogStorage", "append", "entries", "reset")(log, "to.log");
  const [snapshot] = await storage.list();
  if (snapshot !== undefined || log.lastIndex > 0n) {
    throw new SnapshotError("STALE", "There is state already where the backup is to go: use a new storage and log", {
      index: snapshot?.meta.lastIncludedIndex ?? log.lastIndex,
    });
  }
  return await restore(bucket, options, {
    async copy(from, { meta }) {
      const { lastIncludedIndex: index, lastIncludedTerm: term } = meta;
      await copySnapshot(from, storage, index, options.signal);
      await log.reset(index, term);
    },
    async begin(digest) {
      await log.bindDigest?.(digest);
    },
    take: (entries) => log.append(entries),
  });
}

/** Where a backup is restored to. */
interface Target {
  /** Loads the snapshot; or else `copy`. */
  load?(reader: SnapshotReader): Promise<void>;
  /** Copies the snapshot. */
  copy?(from: SnapshotStorage, snapshot: SnapshotInfo): Promise<void>;
  /** Is told the digest of the history before the first entry. */
  begin?(digest: Uint8Array): Promise<void>;
  /** Takes entries, in order. */
  take(entries: readonly LogEntry[]): Promise<void>;
}

async function restore(bucket: Bucket, options: RestoreBackupOptions, target: Target): Promise<RestoredPoint> {
  able("a Bucket", "get", "put", "delete", "list")(bucket, "bucket");
  const { prefix = "", signal } = checkRestoreOptions(options);
  throwIfCancelled(signal);
  const objects = new BackupBucket(bucket, prefix);
  const storage = await ObjectStorage.open(bucket, {
    prefix: snapshotsPrefix(prefix),
    retain: Number.MAX_SAFE_INTEGER,
  });
  try {
    const segments = await objects.segments(signal);
    const snapshot = await base(storage, segments, options, target);
    return await follow(objects, segments, snapshot, options, target);
  } finally {
    await storage.close();
  }
}

/** Loads the newest snapshot that is not behind the point, and that can be loaded. */
async function base(
  storage: ObjectStorage,
  segments: readonly ListedSegment[],
  { index, time, signal }: RestoreBackupOptions,
  target: Target,
): Promise<SnapshotInfo | undefined> {
  let failure: unknown;
  for (const snapshot of await storage.list()) {
    const { lastIncludedIndex, createdAt = 0 } = snapshot.meta;
    // All that a snapshot has was appended before it was taken.
    if (index !== undefined && lastIncludedIndex > index || time !== undefined && createdAt > time) continue;
    try {
      if (target.copy !== undefined) await target.copy(storage, snapshot);
      else {
        const reader = await storage.open(lastIncludedIndex);
        try {
          await target.load!(reader);
        } finally {
          await reader.close();
        }
      }
      return snapshot;
    } catch (error) {
      if (signal?.aborted || !hasCode(error, "CORRUPT", "UNAVAILABLE", "NOT_FOUND")) throw error;
      failure ??= error; // an older one and the log after it give the same state
    }
  }
  const [unreadable] = await storage.unreadable();
  if (segments[0]?.first === 1n) return undefined;
  if (failure !== undefined) throw failure;
  if (unreadable !== undefined) throw unreadable.error;
  const what = index !== undefined ? `entry ${index}` : time !== undefined ? new Date(time).toISOString() : "it";
  throw new SnapshotError(
    "NOT_FOUND",
    segments.length === 0
      ? "There is no backup in this bucket, at this prefix"
      : `The backup does not reach back to ${what}: there is no snapshot from before`,
  );
}

/** Takes the entries after the snapshot, up to the point. */
async function follow(
  objects: BackupBucket,
  segments: readonly ListedSegment[],
  snapshot: SnapshotInfo | undefined,
  { index: upTo, time: until, signal }: RestoreBackupOptions,
  target: Target,
): Promise<RestoredPoint> {
  let index = snapshot?.meta.lastIncludedIndex ?? 0n;
  let term = snapshot?.meta.lastIncludedTerm ?? 0n;
  let time: number | undefined;
  const first = index + 1n;
  const history = snapshot && await objects.history({ index, digest: snapshot.digest });
  let isOver = false;
  let hasBegun = false;
  for await (const batch of batches(objects, segments, first, signal)) {
    if (isOver) break;
    const last = batch.entries.at(-1)!;
    if (last.index < index) continue;
    if (!hasBegun) {
      const digest = historyAt(batch, index);
      if (history !== undefined) checkHistory(history, digest, index);
      await target.begin?.(digest);
      hasBegun = true;
    }
    const after = batch.entries.filter((entry) => entry.index > index);
    const past = after.findIndex((entry) =>
      entry.index > (upTo ?? entry.index) || (entry.time ?? 0) > (until ?? Infinity)
    );
    const wanted = past < 0 ? after : after.slice(0, past);
    for (let at = 0; at < wanted.length; at += APPENDED_AT_ONCE) {
      await target.take(wanted.slice(at, at + APPENDED_AT_ONCE));
    }
    const end = wanted.at(-1);
    if (end !== undefined) ({ index, term, time } = end);
    isOver = index < last.index || index === upTo;
    await yieldTurn();
    throwIfCancelled(signal);
  }
  if (upTo !== undefined && index < upTo) {
    throw new SnapshotError("NOT_FOUND", `The backup goes up to entry ${index}, not to ${upTo}`, {
      index: upTo,
      actual: index,
    });
  }
  return withJson({ index, term, time, snapshot, entries: index - (first - 1n) });
}
