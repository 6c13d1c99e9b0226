/**
 * A directory of snapshots in OPFS: opens it, and sweeps what a crash left in it.
 *
 * @module
 */

import { checkBoolean, checkOptions, checkSignal, duration } from "../../checks.ts";
import { SnapshotError } from "../../errors.ts";
import { openOpfs, type OpfsDirectory } from "../../opfs/mod.ts";
import type { DamagedSnapshot, UnreadableSnapshot } from "../../snapshot/mod.ts";
import { neverThrowing } from "../../async/mod.ts";
import { withJson } from "../../stream/mod.ts";
import { examine, isProof } from "../evidence.ts";
import type { StoredSnapshot } from "../medium.ts";
import { MediumStorage } from "../medium_storage.ts";
import { storageChecks, type StorageOptions } from "../storage_options.ts";
import { OpfsMedium } from "./medium.ts";
import type { OpfsPlace } from "./place.ts";

/** Options of {@linkcode OpfsStorage.open}. */
export interface OpfsStorageOptions extends StorageOptions {
  /**
   * The milliseconds for which an interrupted install is kept to be resumed.
   *
   * @default {604800000}
   */
  readonly keepInstalls?: number;
  /**
   * Opens for reading only, beside another tab or worker that may have it open: nothing is changed, not even swept or
   * locked. What is committed later is not seen.
   *
   * @default {false}
   */
  readonly readOnly?: boolean;
  /**
   * Waits while another tab or worker has the storage open, until this signal fires: the opening then is the news that
   * it is free. Without one, `BUSY` is the answer at once.
   */
  readonly wait?: AbortSignal;
}

/**
 * Snapshots in a directory of OPFS. One tab or worker of the origin at a time has it open; a worker can read what a
 * page wrote, and the other way round.
 *
 * Killing the tab or the browser at any moment loses nothing that was committed. In a dedicated worker content is also
 * synced to the disk; the browser chooses when to sync the names of files, so that a power failure may take the newest
 * snapshots. A browser that is short of space may remove all data of an origin, unless the page was granted
 * `navigator.storage.persist()`, which the page must request itself.
 *
 * Opening sweeps what a crash left, and checks the manifest and the sizes of every snapshot. One that is proven bad is
 * quarantined, by a file `corrupt-…` in its place below `places/`, and the next older is used. One that cannot be read
 * or understood now stays as it is, with a warning: see {@linkcode MediumStorage.unreadable}.
 */
export class OpfsStorage extends MediumStorage {
  /** The snapshots that were proven bad when the storage was opened. */
  readonly damaged: readonly DamagedSnapshot[];

  private constructor(
    medium: OpfsMedium,
    found: readonly StoredSnapshot[],
    unreadable: readonly (UnreadableSnapshot & { readonly place: OpfsPlace })[],
    damaged: readonly DamagedSnapshot[],
    options: StorageOptions,
  ) {
    super(medium, found, options, unreadable);
    this.damaged = damaged;
  }

  /**
   * Opens a storage; makes it if there is none.
   *
   * @param directory a directory of OPFS, or its path from the root of that (`"snapshots"`, `"app/snapshots"`)
   * @param options see {@linkcode OpfsStorageOptions}
   * @throws {SnapshotError} `BUSY` if another tab or worker has it open, `CANCELLED` if that was waited for,
   *   `UNSUPPORTED` if there is no OPFS, `MALFORMED` if it is no directory of OPFS, `FORBIDDEN` if the browser says so,
   *   `NOT_FOUND` if it is not there and opened read-only
   */
  static async open(
    directory: OpfsDirectory | string = "snapshots",
    options: OpfsStorageOptions = {},
  ): Promise<OpfsStorage> {
    const { keepInstalls = 7 * 24 * 3600 * 1000, readOnly = false, wait } = checkOptions(options, {
      ...storageChecks(),
      keepInstalls: duration(),
      readOnly: checkBoolean,
      wait: checkSignal,
    });
    const { root, path, unlock } = await openOpfs(directory, readOnly ? "read" : { wait });
    try {
      const warn = neverThrowing(options.onWarning ?? (() => {}));
      const medium = await OpfsMedium.open(root, path, unlock, keepInstalls, warn);
      const found: StoredSnapshot[] = [];
      const unreadable: (UnreadableSnapshot & { readonly place: OpfsPlace })[] = [];
      const damaged: DamagedSnapshot[] = [];
      for (const [place, index] of medium.snapshots()) {
        try {
          found.push(await examine(medium, place, index));
        } catch (error) {
          if (!(error instanceof SnapshotError)) throw error;
          if (readOnly && await medium.isGone(place)) continue; // its owner removed it since
          warn(new SnapshotError(error.code, error.message, { ...error.fields, index, cause: error }));
          // Only a snapshot that is proven bad is quarantined. An unreadable one may be good, and the newest.
          if (!isProof(error)) unreadable.push({ index, error, place });
          else {
            damaged.push(withJson({ index, error }));
            await medium.quarantine(place, index).catch(() => unreadable.push({ index, error, place }));
          }
        }
      }
      return new OpfsStorage(medium, found, unreadable, damaged, options);
    } catch (error) {
      await unlock?.();
      throw error;
    }
  }
}
