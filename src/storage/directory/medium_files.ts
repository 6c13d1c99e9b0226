/**
 * Files of a directory storage as those of its medium.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../../errors.ts";
import type { DiskFile } from "../../fs/mod.ts";
import type { MediumFile } from "../medium.ts";
import { missing } from "../reader.ts";

/** A file that is not made durable. */
export class UnsyncedFile implements MediumFile {
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

/** A file that is read only, and can be read again through a new handle. */
export class RereadFile extends UnsyncedFile {
  readonly callsAreDear = true;
  readonly #open: () => Promise<DiskFile>;
  readonly #name: string;

  constructor(file: DiskFile, open: () => Promise<DiskFile>, name: string) {
    super(file);
    this.#open = open;
    this.#name = name;
  }

  async reread(buffer: Uint8Array, position: number): Promise<number> {
    let file: DiskFile;
    try {
      file = await this.#open();
    } catch (error) {
      throw hasCode(error, "NOT_FOUND") ? missing(this.#name, error) : error;
    }
    try {
      return await file.read(buffer, position);
    } finally {
      await file.close();
    }
  }

  override write(): Promise<void> {
    return Promise.reject(new SnapshotError("FORBIDDEN", "A file that was opened to be read is not written to"));
  }
}
