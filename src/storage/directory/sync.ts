/**
 * Makes the names in directories durable, where the file system can do that.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../../errors.ts";
import type { Disk } from "../../fs/mod.ts";

/**
 * The data made durable before a commit is acknowledged: `"full"`, files and their names (a power failure loses
 * nothing); `"file"`, only files (a power failure may take the newest snapshot); `"none"`, nothing (a crash of the
 * process alone loses nothing).
 */
export type Durability = "full" | "file" | "none";

/** Syncs the directories of one file system, and warns once if it cannot. */
export class DirectorySync {
  readonly #disk: Disk;
  readonly #warn: (error: SnapshotError) => void;
  #durability: Durability;

  /**
   * @param disk the disk
   * @param durability what is asked for
   * @param warn told if there is less
   */
  constructor(disk: Disk, durability: Durability, warn: (error: SnapshotError) => void) {
    this.#disk = disk;
    this.#durability = durability;
    this.#warn = warn;
  }

  /** The durability in effect: the one that was asked for, or less where the file system cannot do that. */
  get durability(): Durability {
    return this.#durability;
  }

  /** Makes the names in a directory durable, if that was asked for and can be done. */
  async sync(path: string): Promise<void> {
    if (this.#durability !== "full") return;
    try {
      await this.#disk.syncDirectory(path);
    } catch (error) {
      if (!hasCode(error, "UNSUPPORTED")) throw error;
      if (this.#durability !== "full") return; // another call has said so meanwhile
      this.#durability = "file";
      this.#warn(
        new SnapshotError(
          "UNSUPPORTED",
          `${error.message}: the storage works as with durability "file", and a power failure may take the newest ` +
            `snapshots. Ask for "file" if that is enough, or use another file system`,
          { ...error.fields, cause: error },
        ),
      );
    }
  }
}
