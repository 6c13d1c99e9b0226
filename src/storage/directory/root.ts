/**
 * The root of a directory storage: its paths, and whether this process may still change it.
 *
 * @module
 */

import { join } from "@std/path";
import { SnapshotError } from "../../errors.ts";
import type { Disk, DiskFile, DiskLock } from "../../fs/mod.ts";
import { TEMP } from "../layout.ts";
import type { DirectorySync } from "./sync.ts";

/**
 * A root on a disk. Every change of it first checks that the lock is still held: a cleaner may have removed the locked
 * file and so let a second process in, or the root may be away, with another directory in its place.
 */
export class DirectoryRoot {
  readonly disk: Disk;
  readonly path: string;
  readonly sync: DirectorySync;
  readonly #lock: DiskLock | undefined;
  readonly #tempPath: string | undefined;

  /**
   * @param disk the disk
   * @param path the directory
   * @param sync makes names durable
   * @param lock that of the root; absent if the root must not be changed
   * @param tempPath where snapshots are written, if not in the root
   */
  constructor(disk: Disk, path: string, sync: DirectorySync, lock: DiskLock | undefined, tempPath?: string) {
    this.disk = disk;
    this.path = path;
    this.sync = sync;
    this.#lock = lock;
    this.#tempPath = tempPath;
  }

  /** True if it must not be changed. */
  get isReadOnly(): boolean {
    return this.#lock === undefined;
  }

  /** The path of what is in it. */
  at(...parts: string[]): string {
    if (this.#tempPath !== undefined && parts[0] === TEMP) return join(this.#tempPath, ...parts.slice(1));
    return join(this.path, ...parts);
  }

  /** The directory that snapshots are written in, if it is not the root. */
  get outside(): string | undefined {
    return this.#tempPath;
  }

  /** Fails unless this process still has the lock, so that no other can be changing the root. */
  async checkOwned(): Promise<void> {
    if (this.#lock === undefined) {
      throw new SnapshotError("FORBIDDEN", `${this.path} was opened for reading only`);
    }
    if (await this.#lock.isHeld()) return;
    if (await this.disk.stat(this.path) === undefined) {
      throw new SnapshotError("UNAVAILABLE", `${this.path} is not there now: nothing is changed before it is back`, {
        file: this.path,
      });
    }
    throw new SnapshotError(
      "BUSY",
      `The lock of ${this.path} was removed or replaced: another process may have it open, and nothing is changed ` +
        `by this one any more. Close the storage, and open it again`,
      { file: this.path },
    );
  }

  /** Makes the content of a file durable, if the storage does that. */
  async syncFile(file: DiskFile): Promise<void> {
    if (this.sync.durability !== "none") await file.sync();
  }

  /** Makes the names in it durable. */
  async syncNames(): Promise<void> {
    await this.sync.sync(this.path);
  }

  /** Gives the lock back. */
  async close(): Promise<void> {
    await this.#lock?.release();
  }
}
