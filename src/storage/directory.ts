/**
 * Snapshots on a disk, for Deno, Node and Bun.
 *
 * @example
 * ```ts
 * import { DirectoryStorage } from "@snapstream/snapstream/fs";
 *
 * const root = await Deno.makeTempDir();
 * await using storage = await DirectoryStorage.open(root);
 * const writer = await storage.create();
 * await ReadableStream.from([new TextEncoder().encode("hello")]).pipeTo(writer.file("greeting"));
 * await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] }); // durable from here on
 * ```
 *
 * @module
 */

import { dirname } from "@std/path";
import { checkBoolean, checkOptions, checkPath, duration, oneOf } from "../checks.ts";
import { hasCode, type SnapshotError } from "../errors.ts";
import { checkDisk, defaultDisk, type Disk } from "../fs/mod.ts";
import { neverThrowing } from "../stream/mod.ts";
import { DirectoryMedium, type Durability } from "./directory_medium.ts";
import { indexOfDirectory, isInstall, isTrash, LOCK, TEMP } from "./layout.ts";
import type { StoredSnapshot } from "./medium.ts";
import { MediumStorage, storageChecks, type StorageOptions } from "./medium_storage.ts";

export * from "../bucket/directory.ts";
export type { Durability } from "./directory_medium.ts";
export type { Medium, MediumFile, PlacedSnapshot, Places, StoredSnapshot, WrittenChunk } from "./medium.ts";
export { MediumStorage, type StorageOptions } from "./medium_storage.ts";
export { defaultDisk, type Disk, type DiskEntry, type DiskFile, type DiskStat } from "../fs/mod.ts";

/** Options of {@linkcode DirectoryStorage.open}. */
export interface DirectoryStorageOptions extends StorageOptions {
  /**
   * What is made durable before it is acknowledged.
   *
   * @default {"full"}
   */
  readonly durability?: Durability;
  /**
   * Look only: nothing in the directory is changed, not even swept or locked.
   *
   * @default {false}
   */
  readonly readOnly?: boolean;
  /**
   * How long an interrupted install is kept to be gone on with, in milliseconds.
   *
   * @default {604800000}
   */
  readonly keepInstalls?: number;
  /** The disk; by default that of the runtime. */
  readonly disk?: Disk;
}

/** A snapshot that was found damaged when its storage was opened. */
export interface DamagedSnapshot {
  /** Its index, from the name of its directory. */
  readonly index: bigint;
  /** What is wrong with it. */
  readonly error: SnapshotError;
}

/**
 * A directory of snapshots, laid out as braft's: a real braft storage can be opened, and braft can open this one.
 * One process at a time has it open.
 *
 * Opening sweeps what a crash left, and looks at the manifest and the sizes of every snapshot. One that is damaged is
 * renamed to `corrupt-…` and the next older is used; nothing that is good is ever deleted by an opening.
 */
export class DirectoryStorage extends MediumStorage {
  /** What was found damaged when the storage was opened. */
  readonly damaged: readonly DamagedSnapshot[];

  private constructor(
    medium: DirectoryMedium,
    found: readonly StoredSnapshot[],
    damaged: readonly DamagedSnapshot[],
    options: StorageOptions,
  ) {
    super(medium, found, options);
    this.damaged = damaged;
  }

  /**
   * Opens a storage; makes it if there is none. Nothing but the directory is looked at or changed; if it is to be made,
   * and durability is `"full"`, the nearest directory above it that is there is read too, to make its name durable.
   *
   * Files and directories have the mode that the process's umask leaves (666 and 777 without it). State may be private:
   * a directory that was made with mode 700 keeps it so.
   *
   * @param root the directory
   * @param options see {@linkcode DirectoryStorageOptions}
   * @throws {SnapshotError} `BUSY` if a process has it open, `FORBIDDEN` if it, or a snapshot in it, may not be read,
   *   `NOT_FOUND` if it is not there and opened read-only, `UNSUPPORTED` if a newer release wrote a snapshot in it
   */
  static async open(root: string, options: DirectoryStorageOptions = {}): Promise<DirectoryStorage> {
    checkPath(root, "root");
    const { disk = defaultDisk(), durability = "full", readOnly = false, keepInstalls = 7 * 24 * 3600 * 1000 } =
      checkOptions(options, {
        ...storageChecks(),
        durability: oneOf("full", "file", "none"),
        readOnly: checkBoolean,
        keepInstalls: duration(),
        disk: checkDisk,
      });
    if (!readOnly) await makeRoot(disk, root, durability);
    const unlock = readOnly ? undefined : await disk.lock(`${root}/${LOCK}`);
    try {
      const medium = new DirectoryMedium(disk, root, durability, unlock);
      if (!readOnly) await sweep(disk, root, medium, durability, keepInstalls);
      const found: StoredSnapshot[] = [];
      const damaged: DamagedSnapshot[] = [];
      for (const { name, kind } of await disk.list(root)) {
        const index = indexOfDirectory(name);
        if (index === undefined || kind !== "directory") continue; // somebody else's: left alone
        try {
          found.push(await medium.inspect(name, index));
        } catch (error) {
          if (readOnly && await disk.stat(`${root}/${name}`) === undefined) continue; // its owner removed it since
          // Only what is known to be damaged. What may not be read may well be good, and newer than all the rest.
          if (!hasCode(error, "CORRUPT", "MALFORMED")) throw error;
          damaged.push({ index, error });
          neverThrowing(options.onWarning ?? (() => {}))(error);
          await medium.quarantine(name, index);
        }
      }
      return new DirectoryStorage(medium, found, damaged, options);
    } catch (error) {
      await unlock?.();
      throw error;
    }
  }
}

/**
 * Makes the root, and its name durable: only for that is anything looked at beside the root, and only before the first
 * opening has come to its lock.
 */
async function makeRoot(disk: Disk, root: string, durability: Durability): Promise<void> {
  if (durability !== "full") return await disk.makeDirectory(root);
  const missing: string[] = [];
  for (let path = root; await disk.stat(path) === undefined && dirname(path) !== path; path = dirname(path)) {
    missing.push(path);
  }
  await disk.makeDirectory(root);
  for (const path of missing) await disk.syncDirectory(dirname(path));
  if (missing.length > 0 || await disk.stat(`${root}/${LOCK}`) !== undefined) return;
  // Whoever made it may have been killed before its name, and that of what it is in, was durable.
  try {
    for (let path = root; dirname(path) !== path; path = dirname(path)) await disk.syncDirectory(dirname(path));
  } catch (error) {
    if (!hasCode(error, "FORBIDDEN")) throw error; // somebody else's, who made it for us
  }
}

/** Removes what a crash left: the snapshot that was being written, what was on its way out, installs of old. */
async function sweep(
  disk: Disk,
  root: string,
  medium: DirectoryMedium,
  durability: Durability,
  keepInstalls: number,
): Promise<void> {
  const directories = (await disk.list(root)).filter(({ kind }) => kind === "directory");
  // Who renamed it may have been killed before that was durable.
  if (durability === "full" && directories.some(({ name }) => isTrash(name))) await disk.syncDirectory(root);
  for (const { name } of directories) {
    if (isTrash(name)) await disk.remove(`${root}/${name}`);
    else if (name === TEMP) await medium.remove(name);
    else if (isInstall(name)) {
      if (Date.now() - await lastChange(disk, `${root}/${name}`) > keepInstalls) await medium.remove(name);
    }
  }
}

/** When something in a directory was changed last: writing to a file does not change the directory that it is in. */
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
