/**
 * One snapshot that a storage on a medium knows.
 *
 * @module
 */

import {
  able,
  type Check,
  checkBoolean,
  checkIndex,
  integer,
  isOf,
  listOf,
  required,
  unfit,
  withMembers,
} from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import { checkManifest, type SnapshotInfo, type UnreadableSnapshot } from "../snapshot/mod.ts";
import { withJson } from "../stream/mod.ts";
import type { Place, StoredSnapshot } from "./medium.ts";
import type { StoredReader } from "./reader.ts";

/** A check of snapshots that are said to be on a medium. */
export function storedChecks(): Check {
  return listOf(withMembers<StoredSnapshot>({
    place: required(able("a Place", "open", "remove")),
    manifest: required(checkManifest),
    size: required(integer(0)),
  }));
}

/** A check of snapshots that are said to be on a medium but not readable. */
export function unreadableChecks(): Check {
  return listOf(withMembers<UnreadablePlace>({
    place: required(able("a Place", "open", "remove")),
    index: required(checkIndex),
    error: required((error, what) => {
      if (!isOf(error, SnapshotError)) throw unfit(what, "a SnapshotError", error);
    }),
    isUnseen: checkBoolean,
  }));
}

/** A snapshot of the storage. */
export interface Entry extends StoredSnapshot {
  readonly readers: Set<StoredReader>;
  /** The reason why it may not be opened any more, if it is bad. */
  bad?: string;
  /** True if another was found bad meanwhile: files may be linked, and then damage in one is in both. */
  suspect?: boolean;
  /** True once a commit has found it too old. Snapshots found at opening stay until then. */
  retired?: boolean;
  /**
   * The files that could not be read. Until they were read again, the snapshot neither counts for retention nor is
   * retired.
   */
  unread?: Set<string>;
}

/** A snapshot that could not be read or understood when the storage was opened, or was not looked at then. */
export interface UnreadablePlace extends UnreadableSnapshot {
  readonly place: Place;
  /** True if nobody has looked at it yet, since newer ones are good. */
  readonly isUnseen?: boolean;
}

/** Compares entries: the newest first. */
export function newestFirst(a: Entry, b: Entry): number {
  return a.manifest.index > b.manifest.index ? -1 : a.manifest.index < b.manifest.index ? 1 : 0;
}

/** Returns a snapshot as a storage lists it. */
export function infoOf({ manifest, size, readers }: Entry): SnapshotInfo {
  return withJson({
    meta: manifest.meta,
    digest: manifest.digest,
    size,
    files: manifest.files.length,
    chunks: manifest.files.reduce((sum, { chunks }) => sum + (chunks?.count ?? 0), 0),
    pinned: readers.size > 0,
  });
}
