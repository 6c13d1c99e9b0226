/**
 * Files that are held open, and so can be read after their names are gone.
 *
 * @module
 */

import { join } from "@std/path";
import type { Disk, DiskEntry, DiskFile, DiskLock, DiskStat } from "../fs/mod.ts";
import type { SnapshotManifest } from "../snapshot/mod.ts";
import { snapshotDirectory } from "../storage/directory/mod.ts";

/** The most files that are held: a process may have 1024 open on many systems. */
const MAX_HELD = 512;

interface Held {
  readonly file: DiskFile;
  /** The snapshots that need it, and reads that run. */
  users: number;
}

/** A disk for reading, some of whose files are held. */
export class HeldFiles implements Disk {
  readonly #disk: Disk;
  readonly #held = new Map<string, Held>();

  /** @param disk the disk below */
  constructor(disk: Disk) {
    this.#disk = disk;
  }

  /**
   * Holds the files of a snapshot. One of more files than may be held is only read as long as its owner keeps it.
   *
   * @returns lets go of them
   * @throws {SnapshotError} `NOT_FOUND` if it is being removed
   */
  async hold(root: string, manifest: SnapshotManifest): Promise<() => Promise<void>> {
    const directory = `${root}/${snapshotDirectory(manifest.index)}`;
    const paths = manifest.files.filter(({ source }) => source !== "reference").map(({ name }) =>
      `${directory}/${name}`
    );
    const more = paths.filter((path) => !this.#held.has(key(path))).length;
    if (this.#held.size + more > MAX_HELD) return () => Promise.resolve();
    const taken: string[] = [];
    const release = async () => {
      for (const path of taken.splice(0)) await this.#release(path);
    };
    try {
      for (const path of paths) {
        await this.#take(path);
        taken.push(path);
      }
      return release;
    } catch (error) {
      await release();
      throw error;
    }
  }

  async #take(path: string): Promise<void> {
    const known = this.#held.get(key(path));
    if (known !== undefined) return void known.users++;
    const file = await this.#disk.open(path, "read");
    const meanwhile = this.#held.get(key(path));
    if (meanwhile === undefined) return void this.#held.set(key(path), { file, users: 1 });
    meanwhile.users++;
    await file.close();
  }

  async #release(path: string): Promise<void> {
    const held = this.#held.get(key(path));
    if (held === undefined || --held.users > 0) return;
    this.#held.delete(key(path));
    await held.file.close();
  }

  async open(path: string, mode: "read" | "create" | "update"): Promise<DiskFile> {
    const held = mode === "read" ? this.#held.get(key(path)) : undefined;
    if (held === undefined) return await this.#disk.open(path, mode);
    held.users++;
    const { file } = held;
    let closed: Promise<void> | undefined;
    return {
      read: (buffer, position) => file.read(buffer, position),
      write: (bytes, position) => file.write(bytes, position),
      sync: () => file.sync(),
      size: () => file.size(),
      close: () => closed ??= this.#release(path),
    };
  }

  stat(path: string): Promise<DiskStat | undefined> {
    return this.#disk.stat(path);
  }

  list(path: string): Promise<DiskEntry[]> {
    return this.#disk.list(path);
  }

  makeDirectory(path: string): Promise<void> {
    return this.#disk.makeDirectory(path);
  }

  rename(from: string, to: string): Promise<void> {
    return this.#disk.rename(from, to);
  }

  link(from: string, to: string): Promise<boolean> {
    return this.#disk.link(from, to);
  }

  remove(path: string): Promise<void> {
    return this.#disk.remove(path);
  }

  syncDirectory(path: string): Promise<void> {
    return this.#disk.syncDirectory(path);
  }

  lock(path: string): Promise<DiskLock> {
    return this.#disk.lock(path);
  }

  /** Lets go of all files. */
  async close(): Promise<void> {
    const all = [...this.#held.values()];
    this.#held.clear();
    for (const { file } of all) await file.close();
  }
}

/** The same file by whatever form of its path. */
function key(path: string): string {
  return join(path);
}
