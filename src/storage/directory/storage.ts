/**
 * A directory of snapshots: opens it, and sweeps what a crash left in it.
 *
 * @module
 */

import { dirname } from "@std/path";
import { checkBoolean, checkFunction, checkOptions, checkPath, duration, oneOf } from "../../checks.ts";
import { hasCode, SnapshotError } from "../../errors.ts";
import { checkDisk, defaultDisk, type Disk } from "../../fs/mod.ts";
import { neverThrowing } from "../../async/mod.ts";
import type { CreateOptions, DamagedSnapshot, SnapshotWriter } from "../../snapshot/mod.ts";
import { withJson } from "../../stream/mod.ts";
import { DirectoryMedium } from "./medium.ts";
import { DirectoryRoot } from "./root.ts";
import { DirectorySync, type Durability } from "./sync.ts";
import type { ReferenceResolver } from "./references.ts";
import { tempPath } from "./temp.ts";
import { aboutSnapshot, examine, isProof } from "../evidence.ts";
import { indexOfDirectory, isInstall, isTrash, LOCK, TEMP } from "../layout.ts";
import type { UnreadablePlace } from "../entry.ts";
import type { StoredSnapshot } from "../medium.ts";
import { MediumStorage } from "../medium_storage.ts";
import { storageChecks, type StorageOptions } from "../storage_options.ts";

/** Good snapshots that an opening looks for: the newest, and one to fall back to. Older ones wait until needed. */
const LOOKED_AT = 2;

/** Options of {@linkcode DirectoryStorage.open}. */
export interface DirectoryStorageOptions extends StorageOptions {
  /**
   * The data made durable before a commit is acknowledged. Where the file system cannot sync a directory, `"full"`
   * works as `"file"`, and warns once (`onWarning`, `UNSUPPORTED`).
   *
   * @default {"full"}
   */
  readonly durability?: Durability;
  /**
   * Opens for reading only: nothing in the directory is changed, not even swept or locked.
   *
   * @default {false}
   */
  readonly readOnly?: boolean;
  /**
   * The milliseconds for which an interrupted install is kept to be resumed.
   *
   * @default {604800000}
   */
  readonly keepInstalls?: number;
  /**
   * A directory in which snapshots are written before they are committed (Ratis: `getTmpDir`), on the file system of
   * the root. It is made, and what a crash left of this storage's in it is swept. By default `temp` in the root.
   */
  readonly temp?: string;
  /**
   * Knows where the files are that a snapshot only refers to (braft's `FILE_SOURCE_REFERENCE`; those that were added
   * with `reference: true`): they are verified, archived and served like the others then. If it fails, gives nothing,
   * or other bytes, reading fails with `UNAVAILABLE` and the name of the file; the snapshot stays where it is. Without
   * it such a file is `NOT_FOUND` when it is read, and bad when it is verified.
   */
  readonly resolve?: ReferenceResolver;
  /** The disk; by default that of the runtime. */
  readonly disk?: Disk;
}

/** The writer of a {@linkcode DirectoryStorage}: it takes in files that are on a disk. */
export type DirectoryWriter = SnapshotWriter & Required<Pick<SnapshotWriter, "add">>;

/**
 * A directory of snapshots, laid out as braft's: a real braft storage can be opened, and braft can open this one.
 * One process at a time has it open.
 *
 * Opening sweeps what a crash left, and checks manifest and sizes from the newest snapshot on until two are good; those
 * of older ones are checked before anything else depends on them. One that is proven bad is quarantined, renamed to
 * `corrupt-…`, and the next older is used. One that cannot be read or understood now stays in place, with a warning:
 * see {@linkcode MediumStorage.unreadable}. Nothing that may be good is moved or deleted.
 */
export class DirectoryStorage extends MediumStorage {
  /** The snapshots that were proven bad when the storage was opened; later ones are told to `onWarning`. */
  readonly damaged: readonly DamagedSnapshot[];
  readonly #sync: DirectorySync;
  readonly #freeSpace: () => Promise<number | undefined>;

  private constructor(
    medium: DirectoryMedium,
    sync: DirectorySync,
    found: readonly StoredSnapshot[],
    unreadable: readonly UnreadablePlace[],
    damaged: readonly DamagedSnapshot[],
    options: StorageOptions,
    freeSpace: () => Promise<number | undefined>,
  ) {
    super(medium, found, options, unreadable);
    this.#sync = sync;
    this.#freeSpace = freeSpace;
    this.damaged = damaged;
  }

  /** The bytes that can still be written to its file system, where that is known. */
  freeSpace(): Promise<number | undefined> {
    return this.#freeSpace();
  }

  /** Begins a snapshot, as every storage does; its writer has {@linkcode SnapshotWriter.add}. */
  override async create(options: CreateOptions = {}): Promise<DirectoryWriter> {
    return await super.create(options) as DirectoryWriter; // its medium has files, so its writer adds them
  }

  /** The durability in effect: the one that was asked for, or less where the file system cannot do that. */
  get durability(): Durability {
    return this.#sync.durability;
  }

  /**
   * Opens a storage; makes it if there is none. Nothing outside the directory is read or changed, except when it is
   * made with durability `"full"`: then the nearest existing directory above it is read, to make its name durable.
   *
   * Files and directories have the mode that the process's umask leaves (666 and 777 without it). State may be private:
   * a directory that was made with mode 700 keeps it so.
   *
   * @param root the directory
   * @param options see {@linkcode DirectoryStorageOptions}
   * @throws {SnapshotError} `UNSUPPORTED` if `temp` is on another device; `BUSY` if a process has it open,
   *   `FORBIDDEN` if it may not be read, `NOT_FOUND` if it is
   *   not there and opened read-only
   */
  static async open(root: string, options: DirectoryStorageOptions = {}): Promise<DirectoryStorage> {
    checkPath(root, "root");
    const {
      disk = defaultDisk(),
      durability = "full",
      readOnly = false,
      keepInstalls = 7 * 24 * 3600 * 1000,
      temp,
      resolve,
    } = checkOptions(options, {
      ...storageChecks(),
      durability: oneOf("full", "file", "none"),
      readOnly: checkBoolean,
      keepInstalls: duration(),
      temp: checkPath,
      resolve: checkFunction,
      disk: checkDisk,
    });
    const warn = neverThrowing(options.onWarning ?? (() => {}));
    const sync = new DirectorySync(disk, durability, warn);
    if (!readOnly) await makeRoot(disk, root, sync);
    const lock = readOnly ? undefined : await disk.lock(`${root}/${LOCK}`);
    try {
      const hasTemp = temp !== undefined && !readOnly;
      const outside = hasTemp ? await tempPath(disk, root, temp) : undefined;
      const medium = new DirectoryMedium(new DirectoryRoot(disk, root, sync, lock, outside), resolve);
      if (hasTemp) await medium.temp.remove();
      const directories = (await disk.list(root)).filter(({ kind }) => kind === "directory").map(({ name }) => name);
      if (!readOnly) await sweep(new DirectoryRoot(disk, root, sync, lock), directories, keepInstalls, warn);
      const found: StoredSnapshot[] = [];
      const unreadable: UnreadablePlace[] = [];
      const damaged: DamagedSnapshot[] = [];
      let notLookedAt: SnapshotError | undefined;
      for (const { name, index } of snapshotsOf(directories)) {
        const place = medium.at(name);
        // Those of a storage that others change are looked at at once: later they may be gone.
        if (found.length >= LOOKED_AT && !readOnly) {
          // One error stands for all of them until they are looked at: to make one takes longer than to list a name.
          notLookedAt ??= new SnapshotError("UNAVAILABLE", `The snapshots up to ${index} were not looked at yet`);
          unreadable.push({ place, index, error: notLookedAt, isUnseen: true });
          continue;
        }
        try {
          found.push(await examine(medium, place, index));
        } catch (error) {
          if (!(error instanceof SnapshotError)) throw error;
          if (readOnly && await isGone(disk, place.path())) continue; // its owner removed it since
          warn(aboutSnapshot(error, index));
          // Only a snapshot that is proven bad is moved. An unreadable one may be good, and the newest.
          if (!isProof(error)) unreadable.push({ place, index, error });
          else {
            damaged.push(withJson({ index, error }));
            await medium.quarantine(place, index).catch((error) => {
              unreadable.push({ place, index, error }); // as long as it stays in place
              warn(aboutSnapshot(error, index));
            });
          }
        }
      }
      return new DirectoryStorage(
        medium,
        sync,
        found,
        unreadable,
        damaged,
        options,
        async () => await disk.freeSpace?.(root),
      );
    } catch (error) {
      await lock?.release();
      throw error;
    }
  }
}

/** The snapshots among directories, newest first; others are not ours, and left alone. */
function snapshotsOf(directories: readonly string[]): { readonly name: string; readonly index: bigint }[] {
  return [...directories].sort().reverse().flatMap((name) => { // their indices have the same number of digits
    const index = indexOfDirectory(name);
    return index === undefined ? [] : [{ name, index }];
  });
}

/**
 * Makes the root, and makes its name durable. Only for that are directories outside the root read, and only until a
 * first opening has made the lock.
 */
async function makeRoot(disk: Disk, root: string, sync: DirectorySync): Promise<void> {
  if (sync.durability !== "full") return await disk.makeDirectory(root);
  const missing: string[] = [];
  for (let path = root; await disk.stat(path) === undefined && dirname(path) !== path; path = dirname(path)) {
    missing.push(path);
  }
  await disk.makeDirectory(root);
  await sync.sync(root); // a file system that cannot do that warns at once
  for (const path of missing) await sync.sync(dirname(path));
  if (missing.length > 0 || await disk.stat(`${root}/${LOCK}`) !== undefined) return;
  // The process that made the root may have been killed before its name and those of its parents were durable.
  try {
    for (let path = root; dirname(path) !== path; path = dirname(path)) await sync.sync(dirname(path));
  } catch (error) {
    if (!hasCode(error, "FORBIDDEN")) throw error; // a parent of another user, who made the root for us
  }
}

/**
 * Removes what a crash left: the snapshot being written, directories being removed, and old installs. A failed removal
 * is only a warning.
 */
async function sweep(
  root: DirectoryRoot,
  directories: readonly string[],
  keepInstalls: number,
  warn: (error: SnapshotError) => void,
): Promise<void> {
  const { disk } = root;
  const medium = new DirectoryMedium(root);
  // The process that renamed it may have been killed before the rename was durable.
  if (directories.some(isTrash)) await root.syncNames();
  for (const name of directories) {
    const place = medium.at(name);
    try {
      if (isTrash(name)) await disk.remove(place.path());
      else if (name === TEMP) await place.remove();
      else if (isInstall(name)) {
        if (Date.now() - await lastChange(disk, place.path()) > keepInstalls) await place.remove();
      }
    } catch (error) {
      if (!(error instanceof SnapshotError)) throw error;
      warn(error);
    }
  }
}

async function isGone(disk: Disk, path: string): Promise<boolean> {
  return await disk.stat(path).catch(() => true) === undefined;
}

/** Returns the time of the last change in a directory, files included: a write to a file does not change its parent. */
async function lastChange(disk: Disk, directory: string): Promise<number> {
  let last = (await disk.stat(directory))?.changedAt ?? 0;
  for (const { name, kind } of await disk.list(directory)) {
    const path = `${directory}/${name}`;
    last = Math.max(
      last,
      kind === "directory" ? await lastChange(disk, path) : (await disk.stat(path))?.changedAt ?? 0,
    );
  }
  return last;
}
