/**
 * The facts that a storage tells of its snapshots.
 *
 * @module
 */

import type { SnapshotError } from "../errors.ts";
import type { SnapshotMeta } from "./meta.ts";

/**
 * A snapshot in a storage. `JSON.stringify` writes it with indices as decimal strings and digests in hexadecimal; so it
 * does with the results and events of replicas, pulls and backups.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface SnapshotInfo {
  /** Its metadata. */
  readonly meta: SnapshotMeta;
  /** Its name: 32 bytes. */
  readonly digest: Uint8Array;
  /** Bytes of all files; 0 where it is not known (a snapshot of braft's before it was opened). */
  readonly size: number;
  /** The number of its files. */
  readonly files: number;
  /** The number of their chunks; 0 for a snapshot that braft wrote. */
  readonly chunks: number;
  /** True while a reader keeps it from being deleted. */
  readonly pinned: boolean;
}

/**
 * A snapshot that was proven bad when its {@linkcode SnapshotStorage} was opened.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface DamagedSnapshot {
  /** Its index, from the name that it has in the storage. */
  readonly index: bigint;
  /** The error that says what is wrong with it. */
  readonly error: SnapshotError;
}

/**
 * A snapshot that cannot be read now.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface UnreadableSnapshot {
  /** Its index, from its name. */
  readonly index: bigint;
  /** The reason for which it cannot be read. */
  readonly error: SnapshotError;
}

/**
 * A snapshot that was quarantined.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface QuarantinedSnapshot {
  /** Its index. */
  readonly index: bigint;
  /** When it was quarantined: milliseconds since 1970. Absent where that is not kept. */
  readonly at?: number;
  /** Why, for a person. Absent where that is not kept. */
  readonly reason?: string;
}
