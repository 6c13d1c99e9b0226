/**
 * The lowest index of a snapshot that is trusted, in a file.
 *
 * ```text
 * <path>        the index, in decimal, and a line break
 * <path>.tmp    the next one, until it is synced and renamed
 * ```
 *
 * @module
 */

import { checkPath, MAX_INDEX } from "../../checks.ts";
import { hasCode, SnapshotError } from "../../errors.ts";
import { defaultDisk, type Disk } from "../../fs/mod.ts";
import { bytesOfText } from "../../stream/mod.ts";
import type { SnapshotFloor } from "../trust.ts";

/** The longest content of the file, in bytes. */
const MAX_LENGTH = 20;

/**
 * A floor that is kept in a file: see `StorageOptions.floor`. One process uses it at a time.
 *
 * @category Storage
 * @param path the file; its directory is there. It has to lie where those who can write to the storage cannot
 * @throws {SnapshotError} `CORRUPT`, of its methods, if something else is in the file: nothing is taken below a floor
 *   that is not known
 *
 * @example
 * ```ts
 * import { fileFloor } from "@snapstream/snapstream/fs";
 * import { MemoryBucket, ObjectStorage } from "@snapstream/snapstream/object";
 *
 * const directory = await Deno.makeTempDir();
 * const floor = fileFloor(`${directory}/floor`);
 * await using storage = await ObjectStorage.open(new MemoryBucket(), { floor });
 * console.assert(await floor.get() === 0n);
 * ```
 */
export function fileFloor(path: string): SnapshotFloor {
  checkPath(path, "path");
  return new FileFloor(path, defaultDisk());
}

class FileFloor implements SnapshotFloor {
  readonly #path: string;
  readonly #disk: Disk;
  /** What the file says; one after the other reads and raises it. */
  #known: Promise<bigint> | undefined;

  constructor(path: string, disk: Disk) {
    this.#path = path;
    this.#disk = disk;
  }

  get(): Promise<bigint> {
    if (this.#known === undefined) {
      const known = this.#known = this.#read();
      known.catch(() => this.#known = undefined); // it may be there later
    }
    return this.#known;
  }

  async raise(index: bigint): Promise<void> {
    const before = this.get();
    const raised = this.#known = before.then(async (known) => {
      if (index <= known) return known;
      await this.#write(index);
      return index;
    });
    await raised.catch((error) => {
      if (this.#known === raised) this.#known = undefined; // the file says what it is
      throw error;
    });
  }

  async #read(): Promise<bigint> {
    let text: string;
    try {
      const file = await this.#disk.open(this.#path, "read");
      try {
        const bytes = new Uint8Array(MAX_LENGTH + 1);
        text = new TextDecoder().decode(bytes.subarray(0, await file.read(bytes, 0)));
      } finally {
        await file.close();
      }
    } catch (error) {
      if (hasCode(error, "NOT_FOUND")) return 0n;
      throw error;
    }
    if (/^[0-9]{1,19}\n$/.test(text) && BigInt(text) <= MAX_INDEX) return BigInt(text);
    throw new SnapshotError("CORRUPT", `${this.#path} does not say how far the group is: put back what was there`, {
      file: this.#path,
    });
  }

  async #write(index: bigint): Promise<void> {
    const temporary = `${this.#path}.tmp`;
    await this.#disk.remove(temporary);
    const file = await this.#disk.open(temporary, "create");
    try {
      await file.write(bytesOfText(`${index}\n`), 0);
      await file.sync();
    } finally {
      await file.close();
    }
    await this.#disk.rename(temporary, this.#path);
    const end = this.#path.lastIndexOf("/");
    await this.#disk.syncDirectory(end < 0 ? "." : end === 0 ? "/" : this.#path.slice(0, end)).catch((error) => {
      if (!hasCode(error, "UNSUPPORTED")) throw error; // of a file system that cannot do that
    });
  }
}
