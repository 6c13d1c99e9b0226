/**
 * What a backup is told, and what it tells.
 *
 * @module
 */

import { checkFunction, checkOptions, type Checks, duration, integer, oneOf } from "../checks.ts";
import type { SnapshotError } from "../errors.ts";
import { checkKeyPrefix } from "../bucket/mod.ts";
import type { ServedLog } from "../log/mod.ts";
import type { SnapshotInfo, SnapshotStorage } from "../snapshot/mod.ts";
import type { Compression } from "./segment.ts";

/** The largest segment before compression, but for one record. */
const MAX_SEGMENT_BYTES = 64 * 1024 * 1024;

/**
 * An event of a `Backup`.
 */
export type BackupEvent =
  /** A segment is in the bucket: all entries up to `last` are. */
  | { readonly type: "uploaded"; readonly first: bigint; readonly last: bigint; readonly bytes: number }
  /** A snapshot is in the bucket. */
  | { readonly type: "copied"; readonly index: bigint }
  /** Something failed, so many times in a row; it is tried again. */
  | {
    readonly type: "failed";
    readonly what: "segment" | "snapshot";
    readonly error: unknown;
    readonly failures: number;
  }
  /** Entries are missing from the backup: they were purged before it began, or in spite of it. */
  | { readonly type: "gap"; readonly first: bigint; readonly last: bigint }
  /** The backup has ended: somebody else writes to the bucket, or it has another history. */
  | { readonly type: "ended"; readonly error: SnapshotError };

/**
 * Options of `Backup.start`.
 */
export interface BackupOptions {
  /**
   * The prefix of all keys, such as `"shop/"`.
   *
   * @default {""}
   */
  readonly prefix?: string;
  /**
   * The longest time for which entries wait for more to make a segment, in milliseconds: what a loss of the whole
   * machine can cost. 0: none wait.
   *
   * @default {1000}
   */
  readonly interval?: number;
  /**
   * The bytes of a segment before compression, about, up to 64 MiB: if there are more, they make several.
   *
   * @default {4194304}
   */
  readonly segmentBytes?: number;
  /**
   * The compression of segments. Every runtime reads gzip; zstd is quicker and smaller, for runtimes that have it (Node
   * 22.15, Deno and Bun).
   *
   * @default {"gzip"}
   */
  readonly compression?: Compression;
  /**
   * The number of snapshots that are kept in the bucket, with all entries from the oldest of them on.
   *
   * @default {2}
   */
  readonly retain?: number;
  /**
   * The time before the newest snapshot for which any point can be restored, in milliseconds: a snapshot is kept as
   * long as it is the newest from before that time. No clock is asked. By default only the number counts.
   *
   * @default {0}
   */
  readonly keep?: number;
  /** Called with each event. Its errors are ignored. */
  readonly onEvent?: (event: BackupEvent) => void;
}

/**
 * The state of a `Backup`.
 */
export interface BackupStatus {
  /** The last entry that is in the bucket. */
  readonly uploadedIndex: bigint;
  /** The last entry of the replica. */
  readonly lastIndex: bigint;
  /** The newest snapshot that was copied or found there; absent if there is none. */
  readonly snapshotIndex: bigint | undefined;
  /** Milliseconds since the oldest entry that is not in the bucket was taken up for it; 0 if all are there. */
  readonly lag: number;
  /** Segments written, and bytes of them. */
  readonly segments: number;
  /** Bytes written. */
  readonly bytes: number;
  /** Failures in a row: of segments, and of snapshots that are copied or collected. */
  readonly failures: number;
  /** Why segments or snapshots are not written just now, or nothing ever again. */
  readonly problem?: SnapshotError;
  /** Returns what `JSON.stringify` writes of it: indices as strings, errors as their code, message and fields. */
  toJSON(): Record<string, unknown>;
}

/** What is backed up: a `Replica`, or what has the same two. */
export interface BackedUp {
  /** The log. */
  readonly log: ServedLog | undefined;
  /** The snapshots, which are copied as they are taken. */
  readonly storage: SnapshotStorage;
  /** Says which snapshot is the newest that counts. */
  status(): { readonly snapshot: SnapshotInfo | undefined };
}

/** Checks the options of a backup. */
export function checkBackupOptions(options: BackupOptions): BackupOptions {
  const checks: Checks<BackupOptions> = {
    prefix: checkKeyPrefix,
    interval: duration(),
    segmentBytes: integer(1, MAX_SEGMENT_BYTES),
    compression: oneOf("none", "gzip", "zstd"),
    retain: integer(1),
    keep: duration(),
    onEvent: checkFunction,
  };
  return checkOptions(options, checks);
}
