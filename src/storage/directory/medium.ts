/**
 * Snapshots in directories in the layout of braft, written so that no crash loses one.
 *
 * @module
 */

import { resolve } from "node:path";
import { dirname, join } from "@std/path";
import { hasCode, SnapshotError } from "../../errors.ts";
import type { Disk, DiskFile, DiskLock } from "../../fs/mod.ts";
import {
  checkName,
  directoriesOf,
  type FileInfo,
  MANIFEST_NAME,
  MANIFEST_TEMP_NAME,
  MAX_MANIFEST_BYTES,
  similarNames,
  type SnapshotManifest,
  type SnapshotMeta,
} from "../../snapshot/mod.ts";
import { InFlight } from "../../async/mod.ts";
import { equal } from "../../stream/mod.ts";
import { openReference, openToRefer, type ReferenceResolver, unresolved } from "./references.ts";
import type { DirectorySync } from "./sync.ts";
import { listLocal, openLocal } from "./local_files.ts";
import { RereadFile, UnsyncedFile } from "./medium_files.ts";
import { decodeManifest } from "../evidence.ts";
import {
  corruptDirectory,
  installDirectory,
  isInstall,
  quarantinedAs,
  snapshotDirectory,
  TEMP,
  trashDirectory,
} from "../layout.ts";
import type {
  LocalFile,
  LocalFiles,
  Medium,
  MediumFile,
  PlacedSnapshot,
  QuarantinedPlace,
  StoredSnapshot,
} from "../medium.ts";
import { missing, unknownReference } from "../reader.ts";

/** The number of files that are checked at the same time. */
const STATS_IN_FLIGHT = 16;
/** The number of kinds of similar names that are remembered. */
const MAX_KINDS = 1000;

/** Options of a {@linkcode DirectoryMedium}. */
interface MediumOptions {
  /** Where snapshots are written, if not in the root. */
  readonly tempPath?: string | undefined;
  /** Knows where referenced files are. */
  readonly resolve?: ReferenceResolver | undefined;
}

/**
 * The root of a directory storage. Every change first checks that the lock is still held, and a commit checks once more
 * before it is acknowledged: a cleaner may have removed the locked file and so let a second process in, or the root may
 * be away, with another directory in its place.
 */
export class DirectoryMedium implements Medium {
  readonly temp: string = TEMP;
  readonly local: LocalFiles;
  readonly #disk: Disk;
  readonly #root: string;
  readonly #sync: DirectorySync;
  readonly #lock: DiskLock | undefined;
  readonly #tempPath: string | undefined;
  readonly reference?: NonNullable<Medium["reference"]>;
  /** By kind of difference: whether this file system takes names that differ only so for the same. */
  readonly #merges = new Map<string, boolean>();

  /**
   * @param disk the disk
   * @param root the directory
   * @param sync makes names durable
   * @param lock that of the root; absent if the root must not be changed
   * @param options where snapshots are written, if not in the root; and where referenced files are
   */
  constructor(
    disk: Disk,
    root: string,
    sync: DirectorySync,
    lock: DiskLock | undefined,
    { tempPath, resolve: resolver }: MediumOptions = {},
  ) {
    this.#disk = disk;
    this.#root = root;
    this.#sync = sync;
    this.#lock = lock;
    this.#tempPath = tempPath;
    this.local = {
      list: (path, name) => this.#listLocal(path, name),
      open: (path) => openLocal(disk, path),
      put: (path, place, name, link) => this.#put(path, place, name, link),
      ...(resolver !== undefined && { refer: (path) => openToRefer(disk, sync, path) }),
    };
    if (resolver !== undefined) {
      this.reference = (file, snapshot) => openReference(disk, resolver, file, snapshot);
    }
  }

  async #listLocal(path: string, name: string | undefined): Promise<LocalFile[]> {
    const [added, root] = [`${resolve(path)}/`, `${resolve(this.#root)}/`];
    if (!added.startsWith(root) && !root.startsWith(added)) return await listLocal(this.#disk, path, name);
    throw new SnapshotError(
      "MALFORMED",
      `${path} is in the storage at ${this.#root}, or has it in it: a snapshot of itself would never end. Files of ` +
        `earlier snapshots are reused`,
      { file: path },
    );
  }

  async #put(path: string, place: string, name: string, link: boolean): Promise<boolean> {
    await this.#checkOwned();
    const target = this.#path(place, checkName(name));
    await this.#checkNoLinks(place, name);
    if (name.includes("/")) await this.#disk.makeDirectory(dirname(target));
    if (!link || !await this.#checkMade(place, name, this.#disk.link(path, target))) {
      const cloning = this.#disk.clone?.(path, target) ?? Promise.resolve(false);
      if (!await this.#checkMade(place, name, cloning)) return false;
    }
    if ((await this.#disk.stat(target))?.kind === "file") return true;
    await this.#disk.remove(target); // another thing took the file's path since it was looked at
    return false;
  }

  installPlace(manifest: SnapshotManifest): string {
    return installDirectory(manifest.index, manifest.digest);
  }

  async installs(): Promise<PlacedSnapshot[]> {
    const found: PlacedSnapshot[] = [];
    for (const { name: place, kind } of await this.#disk.list(this.#root)) {
      if (kind !== "directory" || !isInstall(place)) continue;
      try {
        found.push({ place, manifest: await this.#readManifest(place) });
      } catch (error) {
        // A crash before the manifest was there, damage, or a read error: the install is in nobody's way, and is swept
        // when it is old.
        if (!(error instanceof SnapshotError)) throw error;
      }
    }
    return found;
  }

  async clear(place: string): Promise<void> {
    await this.#checkOwned();
    await this.remove(place);
    await this.#disk.makeDirectory(this.#path(place));
  }

  async describe(place: string, manifest: SnapshotManifest): Promise<void> {
    await this.#checkOwned();
    await this.#checkNoLinks(place, MANIFEST_TEMP_NAME);
    const temp = this.#path(place, MANIFEST_TEMP_NAME);
    await this.#disk.remove(temp);
    const file = await this.#disk.open(temp, "create");
    try {
      await file.write(manifest.framed, 0);
      await this.#syncFile(file);
    } finally {
      await file.close();
    }
    await this.#disk.rename(temp, this.#path(place, MANIFEST_NAME));
  }

  async open(place: string, name: string, mode: "read" | "create" | "update"): Promise<MediumFile> {
    const path = this.#path(place, checkName(name));
    if (mode === "read") {
      return new RereadFile(await this.#openToRead(place, name), async () => {
        if (this.#lock !== undefined) await this.#checkOwned(); // the root may have been replaced by another directory
        return await this.#openToRead(place, name);
      }, name);
    }
    await this.#checkOwned();
    await this.#checkNoLinks(place, name);
    const opening = mode === "create" ? this.#create(path, name) : this.#disk.open(path, mode);
    const file = await (mode === "create" ? this.#checkMade(place, name, opening) : opening);
    return this.#sync.durability === "none" ? new UnsyncedFile(file) : file;
  }

  /** Makes a file, and its directory if that is what is missing: of many files most find theirs. */
  async #create(path: string, name: string): Promise<DiskFile> {
    try {
      return await this.#disk.open(path, "create");
    } catch (error) {
      if (!name.includes("/") || !hasCode(error, "NOT_FOUND")) throw error;
    }
    await this.#disk.makeDirectory(dirname(path));
    return await this.#disk.open(path, "create");
  }

  async #openToRead(place: string, name: string): Promise<DiskFile> {
    await this.#checkNoLinks(place, name);
    return await this.#disk.open(this.#path(place, name), "read");
  }

  /** Makes a new file. If the disk reports it as existing but does not list its name, it is another file's. */
  async #checkMade<T>(place: string, name: string, making: Promise<T>): Promise<T> {
    try {
      return await making;
    } catch (error) {
      if (!hasCode(error, "BUSY")) throw error;
      const last = name.slice(name.lastIndexOf("/") + 1);
      const listed = await this.#disk.list(dirname(this.#path(place, name))).catch(() => undefined);
      if (listed === undefined || listed.some((entry) => entry.name === last)) throw error;
      throw this.#merged(name, "another file", error);
    }
  }

  #merged(name: string, other: string, cause?: unknown): SnapshotError {
    return new SnapshotError(
      "UNSUPPORTED",
      `${
        JSON.stringify(name)
      } and ${other} of the snapshot have the same name on the file system of ${this.#root}, which ` +
        `does not tell them apart: use another one, or other names`,
      { file: name, cause },
    );
  }

  /**
   * Fails if this file system takes two names for the same: it makes the one and looks for the other. One pair of names
   * that differ in case, or in Unicode composition, stands for all such pairs.
   */
  async checkNames({ files }: SnapshotManifest): Promise<void> {
    for (const [one, other] of similarNames(files.map(({ name }) => name))) {
      const kind = one.normalize("NFC") === other.normalize("NFC")
        ? "composed"
        : asciiLower(one) === asciiLower(other)
        ? "case"
        : `${one}\0${other}`;
      const merges = this.#merges.get(kind) ?? await this.#isMerged(one, other);
      if (this.#merges.size < MAX_KINDS) this.#merges.set(kind, merges);
      if (merges) throw this.#merged(other, JSON.stringify(one));
    }
  }

  async #isMerged(one: string, other: string): Promise<boolean> {
    await this.#checkOwned();
    const probe = this.#path(trashDirectory()); // swept at the next opening if this process is killed
    try {
      await this.#disk.makeDirectory(dirname(join(probe, one)));
      await (await this.#disk.open(join(probe, one), "create")).close();
      return await this.#disk.stat(join(probe, other)) !== undefined;
    } finally {
      await this.#disk.remove(probe).catch(() => {});
    }
  }

  async link(from: string, to: string, name: string, as: string): Promise<boolean> {
    await this.#checkOwned();
    const target = this.#path(to, checkName(as));
    await this.#checkNoLinks(from, name);
    await this.#checkNoLinks(to, as);
    if (as.includes("/")) await this.#disk.makeDirectory(dirname(target));
    return await this.#checkMade(to, as, this.#disk.link(this.#path(from, name), target));
  }

  async unlink(place: string, name: string): Promise<void> {
    await this.#checkOwned();
    const path = this.#path(place, checkName(name));
    await this.#checkNoLinks(place, name);
    await this.#disk.remove(path);
  }

  /** Writes the manifest, syncs, reads back, renames, syncs the root. Each file was synced and closed when complete. */
  async publish(place: string, manifest: SnapshotManifest): Promise<StoredSnapshot> {
    await this.#checkOwned();
    const { index } = manifest;
    const final = snapshotDirectory(index);
    await this.#checkFree(final, index);
    await this.checkNames(manifest);
    await this.describe(place, manifest);
    if (this.#sync.durability === "full") {
      const directories = new Set(manifest.files.flatMap(({ name }) => directoriesOf(name)));
      for (const directory of directories) {
        const path = this.#path(place, directory);
        if (await this.#disk.stat(path) !== undefined) await this.#sync.sync(path); // else all in it is elsewhere
      }
      await this.#sync.sync(this.#path(place));
    }
    const written = await this.inspect(place, index);
    if (!equal(written.manifest.bytes, manifest.bytes)) {
      throw new SnapshotError("CORRUPT", `The manifest of snapshot ${index} reads otherwise than it was written`, {
        index,
      });
    }
    await this.#checkOwned();
    try {
      await this.#disk.rename(this.#path(place), this.#path(final));
      await this.#sync.sync(this.#root);
      if (place === TEMP && this.#tempPath !== undefined) await this.#sync.sync(dirname(this.#tempPath));
    } catch (error) {
      // An unacknowledged snapshot must not be found later, nor be in the way of the next attempt. A disk that reports
      // an error may still have renamed it.
      await this.#disk.rename(this.#path(final), this.#path(place)).catch(() => {});
      throw error;
    }
    await this.#checkOwned(); // if another process has the lock now, the snapshot stays: everything here is theirs
    return { ...written, place: final };
  }

  async #checkFree(final: string, index: bigint): Promise<void> {
    if (await this.#disk.stat(this.#path(final)) === undefined) return;
    throw new SnapshotError("BUSY", `${this.#path(final)} is there already: nothing is written over it`, { index });
  }

  async inspect(place: string, index: bigint): Promise<StoredSnapshot> {
    const manifest = await this.#readManifest(place);
    if (manifest.index !== index) {
      throw new SnapshotError(
        "CORRUPT",
        `${this.#path(place)} is called ${index}, and its manifest says ${manifest.index}`,
        {
          index,
          expected: index,
          actual: manifest.index,
        },
      );
    }
    const directories = new Set(manifest.files.flatMap(({ name }) => directoriesOf(name)));
    for (const directory of directories) await this.#checkDirectory(place, directory, directory);
    const looking = new InFlight<number>();
    let size = 0;
    try {
      for (const file of manifest.files) {
        looking.add(this.#checkSize(place, file, manifest.meta));
        if (looking.size >= STATS_IN_FLIGHT) size += await looking.next();
      }
      while (looking.size > 0) size += await looking.next();
    } finally {
      await looking.settled();
    }
    return { place, manifest, size };
  }

  /** Checks that a file is there and has its size. If it is not there, the disk may be away: `UNAVAILABLE`. */
  async #checkSize(place: string, info: FileInfo, meta: SnapshotMeta): Promise<number> {
    const { name, chunks, source } = info;
    const { lastIncludedIndex: index } = meta;
    const stat = await this.#disk.stat(this.#path(place, name));
    if (stat === undefined && source === "reference") return await this.#checkReference(info, meta);
    if (stat === undefined) throw missing(this.#path(place, name), undefined);
    const wrong = stat.kind !== "file"
      ? "is not a regular file"
      : chunks !== undefined && stat.size !== chunks.size
      ? `has ${stat.size} bytes, not ${chunks.size}`
      : undefined;
    if (wrong !== undefined) {
      throw new SnapshotError("CORRUPT", `${this.#path(place, name)} ${wrong}`, {
        file: name,
        index,
        ...(chunks !== undefined && { expected: chunks.size }),
        actual: stat.size,
      });
    }
    return stat.size;
  }

  /** Checks the size of what a snapshot refers to. Of braft's own, nobody need know where it is until it is read. */
  async #checkReference(info: FileInfo, meta: SnapshotMeta): Promise<number> {
    const { name, chunks } = info;
    if (this.reference === undefined) {
      if (chunks === undefined) return 0;
      throw missing(name, unknownReference(info, meta, undefined));
    }
    const file = await this.reference(info, meta);
    try {
      const size = await file.size();
      if (chunks === undefined || size === chunks.size) return size;
      throw unresolved(info, meta, `it has ${size} bytes, not ${chunks.size}`);
    } finally {
      await file.close();
    }
  }

  async remove(place: string): Promise<void> {
    if (this.#lock === undefined) return;
    await this.#checkOwned();
    if (await this.#disk.stat(this.#path(place)) === undefined) return;
    const trash = this.#path(trashDirectory());
    await this.#disk.rename(this.#path(place), trash);
    // Without this sync a power failure could bring back the name with half of the files: the name of a snapshot, which
    // this was, or was about to be when something failed.
    await this.#sync.sync(this.#root);
    await this.#disk.remove(trash);
  }

  async quarantine(place: string, index: bigint): Promise<void> {
    if (this.#lock === undefined) return;
    await this.#checkOwned();
    await this.#disk.rename(this.#path(place), this.#path(corruptDirectory(index)));
    await this.#sync.sync(this.#root);
  }

  async quarantined(): Promise<QuarantinedPlace[]> {
    return (await this.#disk.list(this.#root)).flatMap(({ name: place, kind }) => {
      const said = kind === "directory" ? quarantinedAs(place) : undefined;
      return said === undefined ? [] : [{ place, ...said }];
    });
  }

  async restore(place: string, index: bigint): Promise<StoredSnapshot> {
    await this.#checkOwned();
    const final = snapshotDirectory(index);
    await this.#checkFree(final, index);
    const stored = await this.inspect(place, index);
    await this.#disk.rename(this.#path(place), this.#path(final));
    await this.#sync.sync(this.#root);
    return { ...stored, place: final };
  }

  async close(): Promise<void> {
    await this.#lock?.release();
  }

  async #readManifest(place: string): Promise<SnapshotManifest> {
    await this.#checkNoLinks(place, MANIFEST_NAME);
    const path = this.#path(place, MANIFEST_NAME);
    const stat = await this.#disk.stat(path);
    if (stat === undefined) throw missing(path, undefined);
    if (stat.kind !== "file") throw new SnapshotError("CORRUPT", `${path} is not a regular file`, { file: path });
    const file = await this.#disk.open(path, "read");
    try {
      const size = await file.size();
      if (size > MAX_MANIFEST_BYTES + 4) {
        throw new SnapshotError("MALFORMED", `${path} has ${size} bytes, too many for a manifest`, {
          file: path,
          actual: size,
        });
      }
      const bytes = new Uint8Array(size);
      const length = await file.read(bytes, 0);
      if (length === size) return await decodeManifest(bytes, path);
      throw new SnapshotError("UNAVAILABLE", `${path} is said to have ${size} bytes, and ${length} are read`, {
        file: path,
        expected: size,
        actual: length,
      });
    } finally {
      await file.close();
    }
  }

  /**
   * Refuses a symbolic link among the directories from the place down to a file: it would lead out of the storage. A
   * link that is made between this check and the access is still followed, since no runtime has `openat`.
   */
  async #checkNoLinks(place: string, name: string): Promise<void> {
    for (const directory of ["", ...directoriesOf(name)]) await this.#checkDirectory(place, directory, name);
  }

  async #checkDirectory(place: string, directory: string, file: string): Promise<void> {
    const stat = await this.#disk.stat(this.#path(place, directory));
    if (stat === undefined || stat.kind === "directory") return;
    throw new SnapshotError("CORRUPT", `${this.#path(place, directory)} is not a directory`, { file });
  }

  /** Fails unless this process still has the lock, so that no other can be changing the root. */
  async #checkOwned(): Promise<void> {
    if (this.#lock === undefined) {
      throw new SnapshotError("FORBIDDEN", `${this.#root} was opened for reading only`);
    }
    if (await this.#lock.isHeld()) return;
    if (await this.#disk.stat(this.#root) === undefined) {
      throw new SnapshotError("UNAVAILABLE", `${this.#root} is not there now: nothing is changed before it is back`, {
        file: this.#root,
      });
    }
    throw new SnapshotError(
      "BUSY",
      `The lock of ${this.#root} was removed or replaced: another process may have it open, and nothing is changed ` +
        `by this one any more. Close the storage, and open it again`,
      { file: this.#root },
    );
  }

  async #syncFile(file: DiskFile): Promise<void> {
    if (this.#sync.durability !== "none") await file.sync();
  }

  #path(...parts: string[]): string {
    if (this.#tempPath !== undefined && parts[0] === TEMP) return join(this.#tempPath, ...parts.slice(1));
    return join(this.#root, ...parts);
  }
}

function asciiLower(text: string): string {
  return text.replace(/[A-Z]/g, (letter) => letter.toLowerCase());
}
