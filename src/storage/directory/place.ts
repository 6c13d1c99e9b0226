/**
 * A place of a directory storage: a directory with the files of a snapshot.
 *
 * @module
 */

import { resolve } from "node:path";
import { dirname } from "@std/path";
import { hasCode, SnapshotError } from "../../errors.ts";
import type { DiskFile } from "../../fs/mod.ts";
import {
  type AddOptions,
  checkName,
  directoriesOf,
  type FileInfo,
  MANIFEST_NAME,
  MANIFEST_TEMP_NAME,
  MAX_MANIFEST_BYTES,
  type SnapshotManifest,
} from "../../snapshot/mod.ts";
import { decodeManifest } from "../evidence.ts";
import { trashDirectory } from "../layout.ts";
import { addLocal } from "../add_local.ts";
import type { LocalFile, LocalFiles, MediumFile, Place, PlaceWriter } from "../medium.ts";
import { missing } from "../reader.ts";
import { listLocal, openLocal } from "./local_files.ts";
import { RereadFile, UnsyncedFile } from "./medium_files.ts";
import type { MergedNames } from "./merged_names.ts";
import { openReference, openToRefer, type ReferenceResolver } from "./references.ts";
import type { DirectoryRoot } from "./root.ts";

/** A directory in the root, or beside it. */
export class DirectoryPlace implements Place {
  readonly name: string;
  readonly reference?: NonNullable<Place["reference"]>;
  readonly #root: DirectoryRoot;
  readonly #names: MergedNames;

  /**
   * @param name its name in the root
   * @param root the root
   * @param names the names that are the same there
   * @param resolver knows where referenced files are
   */
  constructor(name: string, root: DirectoryRoot, names: MergedNames, resolver: ReferenceResolver | undefined) {
    this.name = name;
    this.#root = root;
    this.#names = names;
    if (resolver !== undefined) this.reference = (file, snapshot) => openReference(root.disk, resolver, file, snapshot);
  }

  add(
    writer: PlaceWriter,
    path: string,
    name: string | undefined,
    options: AddOptions | undefined,
  ): Promise<FileInfo[]> {
    const { disk, sync } = this.#root;
    const local: LocalFiles = {
      list: (path, name) => this.#listLocal(path, name),
      open: (path) => openLocal(disk, path),
      put: (path, name, link) => this.#put(path, name, link),
      ...(this.reference !== undefined && { refer: (path) => openToRefer(disk, sync, path) }),
    };
    return addLocal({ place: this, writer, local }, path, name, options);
  }

  /** The path of the directory, or of a file in it. */
  path(name = ""): string {
    return this.#root.at(this.name, name);
  }

  async #listLocal(path: string, name: string | undefined): Promise<LocalFile[]> {
    const [added, root] = [`${resolve(path)}/`, `${resolve(this.#root.path)}/`];
    if (!added.startsWith(root) && !root.startsWith(added)) return await listLocal(this.#root.disk, path, name);
    throw new SnapshotError(
      "MALFORMED",
      `${path} is in the storage at ${this.#root.path}, or has it in it: a snapshot of itself would never end. Files ` +
        `of earlier snapshots are reused`,
      { file: path },
    );
  }

  async #put(path: string, name: string, link: boolean): Promise<boolean> {
    const { disk } = this.#root;
    await this.#root.checkOwned();
    const target = this.path(checkName(name));
    await this.checkNoLinks(name);
    if (name.includes("/")) await disk.makeDirectory(dirname(target));
    if (!link || !await this.#names.checkMade(target, name, disk.link(path, target))) {
      const cloning = disk.clone?.(path, target) ?? Promise.resolve(false);
      if (!await this.#names.checkMade(target, name, cloning)) return false;
    }
    if ((await disk.stat(target))?.kind === "file") return true;
    await disk.remove(target); // another thing took the file's path since it was looked at
    return false;
  }

  async clear(): Promise<void> {
    await this.#root.checkOwned();
    await this.remove();
    await this.#root.disk.makeDirectory(this.path());
  }

  async describe(manifest: SnapshotManifest): Promise<void> {
    const { disk } = this.#root;
    await this.#root.checkOwned();
    await this.checkNoLinks(MANIFEST_TEMP_NAME);
    const temp = this.path(MANIFEST_TEMP_NAME);
    await disk.remove(temp);
    const file = await disk.open(temp, "create");
    try {
      await file.write(manifest.framed, 0);
      await this.#root.syncFile(file);
    } finally {
      await file.close();
    }
    await disk.rename(temp, this.path(MANIFEST_NAME));
  }

  async open(name: string, mode: "read" | "create" | "update"): Promise<MediumFile> {
    const path = this.path(checkName(name));
    if (mode === "read") {
      return new RereadFile(await this.#openToRead(name), async () => {
        if (!this.#root.isReadOnly) await this.#root.checkOwned(); // another directory may be in the root's place
        return await this.#openToRead(name);
      }, name);
    }
    await this.#root.checkOwned();
    await this.checkNoLinks(name);
    const opening = mode === "create" ? this.#create(path, name) : this.#root.disk.open(path, mode);
    const file = await (mode === "create" ? this.#names.checkMade(path, name, opening) : opening);
    return this.#root.sync.durability === "none" ? new UnsyncedFile(file) : file;
  }

  /** Makes a file, and its directory if that is what is missing: of many files most find theirs. */
  async #create(path: string, name: string): Promise<DiskFile> {
    const { disk } = this.#root;
    try {
      return await disk.open(path, "create");
    } catch (error) {
      if (!name.includes("/") || !hasCode(error, "NOT_FOUND")) throw error;
    }
    await disk.makeDirectory(dirname(path));
    return await disk.open(path, "create");
  }

  async #openToRead(name: string): Promise<DiskFile> {
    await this.checkNoLinks(name);
    return await this.#root.disk.open(this.path(name), "read");
  }

  async link(from: DirectoryPlace, name: string, as: string): Promise<boolean> {
    const { disk } = this.#root;
    await this.#root.checkOwned();
    const target = this.path(checkName(as));
    await from.checkNoLinks(name);
    await this.checkNoLinks(as);
    if (as.includes("/")) await disk.makeDirectory(dirname(target));
    return await this.#names.checkMade(target, as, disk.link(from.path(name), target));
  }

  async unlink(name: string): Promise<void> {
    await this.#root.checkOwned();
    const path = this.path(checkName(name));
    await this.checkNoLinks(name);
    await this.#root.disk.remove(path);
  }

  async remove(): Promise<void> {
    const { disk } = this.#root;
    if (this.#root.isReadOnly) return;
    await this.#root.checkOwned();
    if (await disk.stat(this.path()) === undefined) return;
    const trash = this.#root.at(trashDirectory());
    await disk.rename(this.path(), trash);
    // Without this sync a power failure could bring back the name with half of the files: the name of a snapshot, which
    // this was, or was about to be when something failed.
    await this.#root.syncNames();
    await disk.remove(trash);
  }

  /** Reads its manifest. */
  async manifest(): Promise<SnapshotManifest> {
    const { disk } = this.#root;
    await this.checkNoLinks(MANIFEST_NAME);
    const path = this.path(MANIFEST_NAME);
    const stat = await disk.stat(path);
    if (stat === undefined) throw missing(path, undefined);
    if (stat.kind !== "file") throw new SnapshotError("CORRUPT", `${path} is not a regular file`, { file: path });
    const file = await disk.open(path, "read");
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
  async checkNoLinks(name: string): Promise<void> {
    for (const directory of ["", ...directoriesOf(name)]) await this.checkDirectory(directory, name);
  }

  /** Refuses anything but a directory where one of the place's should be. */
  async checkDirectory(directory: string, file: string): Promise<void> {
    const stat = await this.#root.disk.stat(this.path(directory));
    if (stat === undefined || stat.kind === "directory") return;
    throw new SnapshotError("CORRUPT", `${this.path(directory)} is not a directory`, { file });
  }
}
