/**
 * Writes a large file and syncs it on the way, so that little is left to sync at the end.
 *
 * @module
 */

import type { MediumFile, WrittenChunk } from "./medium.ts";

/** The bytes between two background syncs: the disk writes while more is hashed, and little is left for the end. */
const SYNC_EVERY = 64 * 1024 * 1024;

/** A file that is synced in the background as it grows. */
export class PacedFile {
  readonly #file: MediumFile;
  #unsynced = 0;
  #syncing: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;

  /** @param file to be written by way of this only */
  constructor(file: MediumFile) {
    this.#file = file;
  }

  /** Writes to the file. Throws also the error of a sync in the background. */
  async write(bytes: Uint8Array, position: number, chunks: Promise<readonly WrittenChunk[]>): Promise<void> {
    this.#check();
    await this.#file.write(bytes, position, chunks);
    this.#unsynced += bytes.length;
    if (this.#unsynced < SYNC_EVERY || this.#syncing !== undefined) return;
    this.#unsynced = 0;
    this.#syncing = this.#file.sync().catch((error) => void (this.#failure ??= { error }))
      .finally(() => this.#syncing = undefined);
  }

  /** Makes everything that was written durable. */
  async sync(): Promise<void> {
    await this.#syncing;
    this.#check();
    try {
      await this.#file.sync();
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
  }

  /** True once a sync failed: bytes written before may be lost, though they can still be read. */
  get broken(): boolean {
    return this.#failure !== undefined;
  }

  /** Closes the file, without making it durable. */
  async close(): Promise<void> {
    await this.#syncing;
    await this.#file.close();
  }

  /** A failed sync is final: the kernel may have dropped the pages, and the next sync would succeed. */
  #check(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
