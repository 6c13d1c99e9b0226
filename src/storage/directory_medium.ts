/**
 * Snapshots in directories, as braft lays them out; written so that no crash loses one.
 *
 * @module
 */

import { dirname, join } from "@std/path";
import { hasCode, messageOf, SnapshotError } from "../errors.ts";
import type { Disk, DiskFile } from "../fs/mod.ts";
import {
  checkName,
  directoriesOf,
  type FileInfo,
  MANIFEST_NAME,
  MANIFEST_TEMP_NAME,
  MAX_MANIFEST_BYTES,
  SnapshotManifest,
} from "../snapshot/mod.ts";
import { equal, InFlight } from "../stream/mod.ts";
import { corruptDirectory, installDirectory, isInstall, snapshotDirectory, TEMP, trashDirectory } from "./layout.ts";
import type { Medium, MediumFile, PlacedSnapshot, StoredSnapshot } from "./medium.ts";

/** Files that are looked at at the same time. */
const STATS_IN_FLIGHT = 16;

/**
 * What is made durable before it is acknowledged: `"full"`, files and the names of files (a power failure loses
 * nothing); `"file"`, only files (one may take the newest snapshot); `"none"`, nothing (a crash of the process alone loses
 * nothing).
 */
export type Durability = "full" | "file" | "none";

/** The root of a directory storage. */
export class DirectoryMedium implements Medium {
  readonly temp: string = TEMP;
  readonly #disk: Disk;
  readonly #root: string;
  readonly #durability: Durability;
  readonly #readOnly: boolean;
  readonly #unlock: () => Promise<void>;

  /**
   * @param disk the disk
   * @param root the directory
   * @param durability see {@linkcode Durability}
   * @param unlock gives the lock back; absent if the root must not be changed
   */
  constructor(disk: Disk, root: string, durability: Durability, unlock: (() => Promise<void>) | undefined) {
    this.#disk = disk;
    this.#root = root;
    this.#durability = durability;
    this.#readOnly = unlock === undefined;
    this.#unlock = unlock ?? (() => Promise.resolve());
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
        // A crash before its manifest was there, or damage: of no use, and swept when it is old.
        if (!hasCode(error, "NOT_FOUND", "MALFORMED", "CORRUPT", "UNSUPPORTED")) throw error;
      }
    }
    return found;
  }

  async clear(place: string): Promise<void> {
    this.#checkWritable();
    await this.remove(place);
    await this.#disk.makeDirectory(this.#path(place));
  }

  async describe(place: string, manifest: SnapshotManifest): Promise<void> {
    this.#checkWritable();
    await this.#checkNoLinks(place, MANIFEST_TEMP_NAME);
    const temp = this.#path(place, MANIFEST_TEMP_NAME);
    await this.#disk.remove(temp);
    const file = await this.#disk.open(temp, "create");
    try {
      await file.write(manifest.framed, 0);
      await this.#sync(file);
    } finally {
      await file.close();
    }
    await this.#disk.rename(temp, this.#path(place, MANIFEST_NAME));
  }

  async open(place: string, name: string, mode: "read" | "create" | "update"): Promise<MediumFile> {
    const path = this.#path(place, checkName(name));
    if (mode !== "read") this.#checkWritable();
    await this.#checkNoLinks(place, name);
    if (mode === "create" && name.includes("/")) await this.#disk.makeDirectory(dirname(path));
    const file = await this.#disk.open(path, mode);
    return mode === "read" || this.#durability !== "none" ? file : new UnsyncedFile(file);
  }

  async link(from: string, to: string, name: string, as: string): Promise<boolean> {
    this.#checkWritable();
    const target = this.#path(to, checkName(as));
    await this.#checkNoLinks(from, name);
    await this.#checkNoLinks(to, as);
    if (as.includes("/")) await this.#disk.makeDirectory(dirname(target));
    return await this.#disk.link(this.#path(from, name), target);
  }

  async unlink(place: string, name: string): Promise<void> {
    this.#checkWritable();
    const path = this.#path(place, checkName(name));
    await this.#checkNoLinks(place, name);
    await this.#disk.remove(path);
  }

  /** DESIGN's commit, steps 2 to 6; every file was synced and closed when it was complete. */
  async publish(place: string, manifest: SnapshotManifest): Promise<StoredSnapshot> {
    this.#checkWritable();
    const { index } = manifest;
    const final = snapshotDirectory(index);
    if (await this.#disk.stat(this.#path(final)) !== undefined) {
      throw new SnapshotError("BUSY", `${this.#path(final)} is there already, and is being put aside: try again`, {
        index,
      });
    }
    await this.describe(place, manifest);
    if (this.#durability === "full") {
      const directories = new Set(manifest.files.flatMap(({ name }) => directoriesOf(name)));
      for (const directory of directories) await this.#disk.syncDirectory(this.#path(place, directory));
      await this.#disk.syncDirectory(this.#path(place));
    }
    const written = await this.inspect(place, index);
    if (!equal(written.manifest.bytes, manifest.bytes)) {
      throw new SnapshotError("CORRUPT", `The manifest of snapshot ${index} reads otherwise than it was written`, {
        index,
      });
    }
    try {
      await this.#disk.rename(this.#path(place), this.#path(final));
      if (this.#durability === "full") await this.#disk.syncDirectory(this.#root);
    } catch (error) {
      // It was not acknowledged: it must not be found later, nor be in the way of the next try. A disk that fails may
      // have renamed it all the same.
      await this.#disk.rename(this.#path(final), this.#path(place)).catch(() => {});
      throw error;
    }
    return { ...written, place: final };
  }

  /**
   * Reads the manifest of a place and checks that all files are there with their sizes.
   *
   * @param place the place
   * @param index the index that it must have
   * @throws {SnapshotError} `CORRUPT` or `MALFORMED` if it is damaged, `UNSUPPORTED`; others if the disk does not let
   *   one look
   */
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
        looking.add(this.#checkSize(place, file, index));
        if (looking.size >= STATS_IN_FLIGHT) size += await looking.next();
      }
      while (looking.size > 0) size += await looking.next();
    } finally {
      await looking.settled();
    }
    return { place, manifest, size };
  }

  /** Checks that a file is there and as large as it should be. */
  async #checkSize(place: string, { name, chunks, source }: FileInfo, index: bigint): Promise<number> {
    const stat = await this.#disk.stat(this.#path(place, name));
    if (stat === undefined && source === "reference") return 0;
    const wrong = stat === undefined
      ? "is missing"
      : stat.kind !== "file"
      ? "is not a regular file"
      : chunks !== undefined && stat.size !== chunks.size
      ? `has ${stat.size} bytes, not ${chunks.size}`
      : undefined;
    if (wrong !== undefined) {
      throw new SnapshotError("CORRUPT", `${this.#path(place, name)} ${wrong}`, {
        file: name,
        index,
        ...(chunks !== undefined && { expected: chunks.size }),
        ...(stat !== undefined && { actual: stat.size }),
      });
    }
    return stat!.size;
  }

  async remove(place: string): Promise<void> {
    if (this.#readOnly || await this.#disk.stat(this.#path(place)) === undefined) return;
    const trash = this.#path(trashDirectory());
    await this.#disk.rename(this.#path(place), trash);
    // Else a power failure could bring back the name, with half of the files: that of a snapshot, which this was, or was
    // about to be when something failed.
    if (this.#durability === "full") await this.#disk.syncDirectory(this.#root);
    await this.#disk.remove(trash);
  }

  async quarantine(place: string, index: bigint): Promise<void> {
    if (this.#readOnly) return;
    await this.#disk.rename(this.#path(place), this.#path(corruptDirectory(index)));
    if (this.#durability === "full") await this.#disk.syncDirectory(this.#root);
  }

  close(): Promise<void> {
    return this.#unlock();
  }

  async #readManifest(place: string): Promise<SnapshotManifest> {
    await this.#checkNoLinks(place, MANIFEST_NAME);
    const path = this.#path(place, MANIFEST_NAME);
    if ((await this.#disk.stat(path))?.kind !== "file") {
      throw new SnapshotError("CORRUPT", `${this.#path(place)} has no manifest`, { file: path });
    }
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
      return await SnapshotManifest.decodeFramed(bytes.subarray(0, await file.read(bytes, 0)));
    } catch (error) {
      if (!(error instanceof SnapshotError)) throw error;
      throw new SnapshotError(error.code, `${path}: ${messageOf(error)}`, { ...error.fields, cause: error });
    } finally {
      await file.close();
    }
  }

  /**
   * No directory on the way to a file, from the place on, may be a symbolic link: it would lead out of the storage. One
   * that is put there between this look and what follows is followed all the same: no runtime has `openat`.
   */
  async #checkNoLinks(place: string, name: string): Promise<void> {
    for (const directory of ["", ...directoriesOf(name)]) await this.#checkDirectory(place, directory, name);
  }

  async #checkDirectory(place: string, directory: string, file: string): Promise<void> {
    const stat = await this.#disk.stat(this.#path(place, directory));
    if (stat === undefined || stat.kind === "directory") return;
    throw new SnapshotError("CORRUPT", `${this.#path(place, directory)} is not a directory`, { file });
  }

  #checkWritable(): void {
    if (this.#readOnly) throw new SnapshotError("FORBIDDEN", `${this.#root} was opened for reading only`);
  }

  async #sync(file: DiskFile): Promise<void> {
    if (this.#durability !== "none") await file.sync();
  }

  #path(...parts: string[]): string {
    return join(this.#root, ...parts);
  }
}

/** A file that is not made durable. */
class UnsyncedFile implements MediumFile {
  readonly #file: DiskFile;

  constructor(file: DiskFile) {
    this.#file = file;
  }

  read(buffer: Uint8Array, position: number): Promise<number> {
    return this.#file.read(buffer, position);
  }

  write(bytes: Uint8Array, position: number): Promise<void> {
    return this.#file.write(bytes, position);
  }

  sync(): Promise<void> {
    return Promise.resolve();
  }

  size(): Promise<number> {
    return this.#file.size();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
