/**
 * An install into a storage whose files are encrypted.
 *
 * @module
 */

import type {
  CheckOptions,
  ChunkSpan,
  PrepareOptions,
  ReadOptions,
  SnapshotInfo,
  SnapshotInstall,
  SnapshotManifest,
} from "../../snapshot/mod.ts";
import type { ChunkSet } from "../../stream/mod.ts";
import type { Keyring } from "./cipher.ts";
import { decrypted } from "./writers.ts";

/** Receives encrypted chunks, and gives the check of its commit the decrypted snapshot. */
export class DecryptedInstall implements SnapshotInstall {
  readonly #install: SnapshotInstall;
  readonly #keys: Keyring;

  constructor(install: SnapshotInstall, keys: Keyring) {
    this.#install = install;
    this.#keys = keys;
  }

  get manifest(): SnapshotManifest {
    return this.#install.manifest;
  }

  prepare(options?: PrepareOptions): Promise<void> {
    return this.#install.prepare(options);
  }

  missing(): IterableIterator<ChunkSpan> {
    return this.#install.missing();
  }

  has(chunk: number): boolean {
    return this.#install.has(chunk);
  }

  expect(chunk: number, isExpected: boolean): void {
    this.#install.expect(chunk, isExpected);
  }

  held(): ChunkSet {
    return this.#install.held();
  }

  expected(): ChunkSet {
    return this.#install.expected();
  }

  file(name: string, options?: ReadOptions): ReadableStream<Uint8Array> {
    return this.#install.file(name, options);
  }

  write(chunk: number, bytes: Uint8Array): Promise<void> {
    return this.#install.write(chunk, bytes);
  }

  commit(options: CheckOptions = {}): Promise<SnapshotInfo> {
    return this.#install.commit(decrypted(options, this.#keys));
  }

  close(): Promise<void> {
    return this.#install.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
