/**
 * A storage whose files are encrypted.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../../errors.ts";
import {
  checkCreateOptions,
  checkManifest,
  checkReader,
  checkStorage,
  type CreateOptions,
  isChosen,
  type QuarantinedSnapshot,
  type SnapshotAt,
  type SnapshotInfo,
  type SnapshotInstall,
  type SnapshotManifest,
  type SnapshotReader,
  type SnapshotStorage,
  type SnapshotVerifier,
  type SnapshotWriter,
  type UnreadableSnapshot,
  type VerifyOptions,
} from "../../snapshot/mod.ts";
import { type EncryptionKey, Keyring } from "./cipher.ts";
import { DecryptedInstall } from "./install.ts";
import { EncryptedReader } from "./reader.ts";
import { CheckedWriter, EncryptedWriter } from "./writers.ts";

/**
 * Encrypts files that are written to a storage, and decrypts those that are read: each chunk by itself, with
 * AES-256-GCM. Snapshots are stored, served, pulled and pushed encrypted; the nodes in between need no key. Names,
 * sizes, and which chunks are equal remain visible. A seal binds all files and the meta of the snapshot to each other.
 * A snapshot that was not encrypted and sealed with one of the keys, or was changed since, is neither read nor taken in
 * (`FORBIDDEN`), nor is one whose key has the right name but another secret. Nothing is moved then, since the stored
 * bytes may be right.
 *
 * @category Storage
 *
 * @example
 * ```ts
 * import { EncryptedStorage, MemoryStorage } from "@snapstream/snapstream";
 *
 * const secret = crypto.getRandomValues(new Uint8Array(32)); // the caller's, to be kept
 * const storage = new EncryptedStorage(new MemoryStorage(), [{ id: "2026", secret }]);
 * const writer = await storage.create();
 * await ReadableStream.from([new TextEncoder().encode("hello")]).pipeTo(writer.file("greeting"));
 * await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
 *
 * const reader = await storage.open();
 * console.assert(await new Response(reader.file("greeting")).text() === "hello");
 * await reader.close();
 * ```
 */
export class EncryptedStorage implements SnapshotStorage {
  readonly #storage: SnapshotStorage;
  readonly #keys: Keyring;
  #closed = false;

  /**
   * Makes a storage.
   *
   * @param storage keeps what is encrypted; closed with this one
   * @param keys the first encrypts, all decrypt: to replace a key, put the new one first, and keep the old one as long
   *   as there are snapshots of it
   * @throws {SnapshotError} `MALFORMED` if there is none, or one is too short
   */
  constructor(storage: SnapshotStorage, keys: readonly EncryptionKey[]) {
    checkStorage(storage, "storage");
    this.#storage = storage;
    this.#keys = new Keyring(keys);
  }

  /** The number of snapshots that are kept. */
  get retain(): number {
    return this.#storage.retain;
  }

  get group(): string | undefined {
    return this.#storage.group;
  }

  get verifier(): SnapshotVerifier | undefined {
    return this.#storage.verifier;
  }

  bindGroup(group: string): void {
    this.#storage.bindGroup(group);
  }

  /** The install that is open, if one is; it is that of the encrypted files. */
  get installing(): SnapshotInstall | undefined {
    return this.#storage.installing;
  }

  async create(options: CreateOptions = {}): Promise<SnapshotWriter> {
    checkCreateOptions(options);
    const writer = await this.#storage.create(options);
    return options.raw === true ? new CheckedWriter(writer, this.#keys) : new EncryptedWriter(writer, this.#keys);
  }

  async open(index?: bigint | SnapshotAt): Promise<SnapshotReader> {
    const stored = await this.#storage.open(index);
    try {
      return await this.#decrypted(stored, index);
    } catch (error) {
      if (typeof index === "bigint" || !hasCode(error, "FORBIDDEN")) throw error;
      // An older snapshot may be readable.
      for (const { meta: { lastIncludedIndex } } of await this.#storage.list()) {
        if (lastIncludedIndex >= stored.manifest.index) continue;
        try {
          return await this.open(lastIncludedIndex);
        } catch (failure) {
          if (!hasCode(failure, "FORBIDDEN", "NOT_FOUND")) throw failure;
        }
      }
      throw error;
    }
  }

  async #decrypted(stored: SnapshotReader, index: bigint | SnapshotAt | undefined): Promise<EncryptedReader> {
    const reader = new EncryptedReader(stored, this.#keys, () => this.#closed);
    try {
      await reader.check();
      if (isChosen(reader.meta, index)) return reader;
      const asked = typeof index === "object" ? index.at! : index!;
      throw new SnapshotError("FORBIDDEN", `What lies as snapshot ${asked} was sealed as ${reader.manifest.index}`, {
        index: stored.manifest.index,
        expected: asked,
        actual: reader.manifest.index,
      });
    } catch (error) {
      await reader.close();
      throw error;
    }
  }

  list(): Promise<SnapshotInfo[]> {
    return this.#storage.list();
  }

  async install(manifest: SnapshotManifest): Promise<SnapshotInstall> {
    checkManifest(manifest, "manifest");
    await this.#keys.checkSeal(manifest);
    for (const file of manifest.files) await this.#keys.cipherOf(file);
    return new DecryptedInstall(await this.#storage.install(manifest), this.#keys);
  }

  async freeSpace(): Promise<number | undefined> {
    return await this.#storage.freeSpace?.();
  }

  unfinished(): Promise<SnapshotManifest[]> {
    return this.#storage.unfinished();
  }

  unreadable(): Promise<UnreadableSnapshot[]> {
    return this.#storage.unreadable();
  }

  quarantine(index: bigint, reason: string): Promise<boolean> {
    return this.#storage.quarantine(index, reason);
  }

  quarantined(): Promise<QuarantinedSnapshot[]> {
    return this.#storage.quarantined();
  }

  restore(index: bigint, options?: VerifyOptions): Promise<SnapshotInfo> {
    return this.#storage.restore(index, options);
  }

  onQuarantine(listener: (index: bigint, reason: string) => void): () => void {
    return this.#storage.onQuarantine(listener);
  }

  close(): Promise<void> {
    this.#closed = true;
    return this.#storage.close();
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Returns a reader that decrypts the files of another reader, for example of a snapshot on a server (`openRemote`).
 * Nothing is read of a snapshot that was not sealed with one of the keys (`FORBIDDEN`).
 *
 * @category Storage
 * @param reader reads what is encrypted; closed with this one
 * @param keys those that it may be encrypted with
 *
 * @example
 * ```ts
 * import { decryptedReader, EncryptedStorage, type EncryptionKey, MemoryStorage } from "@snapstream/snapstream";
 *
 * const key: EncryptionKey = { id: "2026", secret: crypto.getRandomValues(new Uint8Array(32)) };
 * const inner = new MemoryStorage();
 * const writer = await new EncryptedStorage(inner, [key]).create();
 * await new Blob(["hello"]).stream().pipeTo(writer.file("greeting"));
 * await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
 *
 * const reader = decryptedReader(await inner.open(), [key]); // or of openRemote(url)
 * console.assert(await new Response(reader.file("greeting")).text() === "hello");
 * await reader.close();
 * ```
 */
export function decryptedReader(reader: SnapshotReader, keys: readonly EncryptionKey[]): SnapshotReader {
  checkReader(reader, "reader");
  return new EncryptedReader(reader, new Keyring(keys));
}
