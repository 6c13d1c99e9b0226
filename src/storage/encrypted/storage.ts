/**
 * A storage whose files are encrypted.
 *
 * @module
 */

import { able } from "../../checks.ts";
import { hasCode, SnapshotError } from "../../errors.ts";
import {
  checkCommitOptions,
  checkCreateOptions,
  checkFileOptions,
  checkFiles,
  checkManifest,
  checkMeta,
  type CheckOptions,
  checkReader,
  checkStorage,
  type ChunkSpan,
  type CommitOptions,
  type CreateOptions,
  type FileInfo,
  type FileOptions,
  type FileWriter,
  isChosen,
  type PrepareOptions,
  type QuarantinedSnapshot,
  type ReadOptions,
  type SnapshotAt,
  type SnapshotInfo,
  type SnapshotInstall,
  type SnapshotManifest,
  type SnapshotMeta,
  type SnapshotReader,
  type SnapshotSeal,
  type SnapshotStorage,
  type SnapshotVerifier,
  type SnapshotWriter,
  type UnreadableSnapshot,
  type VerifyOptions,
} from "../../snapshot/mod.ts";
import { type ChunkSet, ChunkSink, closeSink } from "../../stream/mod.ts";
import { type Cipher, CIPHER_OVERHEAD, type EncryptionKey, Keyring, MAX_PLAIN_CHUNK } from "./cipher.ts";
import { EncryptedReader } from "./reader.ts";
import { chooseChunkSize } from "../chunk_size.ts";

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

/** Passes files on to another writer. */
class PassingWriter implements SnapshotWriter {
  protected readonly writer: SnapshotWriter;
  protected readonly keys: Keyring;

  constructor(writer: SnapshotWriter, keys: Keyring) {
    this.writer = writer;
    this.keys = keys;
  }

  file(name: string, options?: FileOptions): WritableStream<Uint8Array> {
    return this.writer.file(name, options);
  }

  reuse(files: readonly FileInfo[]): Promise<boolean> {
    return this.writer.reuse(files);
  }

  remove(name: string): Promise<void> {
    return this.writer.remove(name);
  }

  files(): FileInfo[] {
    return this.writer.files();
  }

  info(name: string): FileInfo {
    return this.writer.info(name);
  }

  sealWith(seal: (digest: Uint8Array) => Promise<SnapshotSeal>): void {
    this.writer.sealWith(seal);
  }

  commit(meta: SnapshotMeta, options: CommitOptions = {}): Promise<SnapshotInfo> {
    return this.writer.commit(meta, decrypted(options, this.keys));
  }

  abort(reason?: unknown): Promise<void> {
    return this.writer.abort(reason);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.abort();
  }
}

/** Gives the check the decrypted snapshot. A check that is no function is refused by the storage that gets it. */
function decrypted<T extends CheckOptions>(options: T, keys: Keyring): T {
  const check: unknown = options?.check;
  if (typeof check !== "function") return options;
  return { ...options, check: (reader: SnapshotReader) => check(new EncryptedReader(reader, keys)) };
}

/** Receives encrypted chunks, and gives the check of its commit the decrypted snapshot. */
class DecryptedInstall implements SnapshotInstall {
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

/** Accepts only files that are encrypted already. */
class CheckedWriter extends PassingWriter {
  readonly #names = new Set<string>();

  override file(name: string, options?: FileOptions): WritableStream<Uint8Array> {
    this.#names.add(name);
    return super.file(name, options);
  }

  override async remove(name: string): Promise<void> {
    await super.remove(name);
    this.#names.delete(name);
  }

  override async commit(meta: SnapshotMeta, options: CommitOptions = {}): Promise<SnapshotInfo> {
    let own: SnapshotMeta;
    let check: CommitOptions["check"];
    try {
      own = checkMeta(meta);
      ({ check } = checkCommitOptions(options));
      for (const name of this.#names) await this.keys.cipherOf(this.info(name));
    } catch (error) {
      await this.abort(error);
      throw error;
    }
    const checkSealed = async (reader: SnapshotReader) => {
      await this.keys.checkSeal(reader.manifest);
      await check?.(reader);
    };
    return await super.commit(own, { ...options, check: checkSealed });
  }
}

/** Encrypts files, and seals the snapshot. */
class EncryptedWriter extends PassingWriter {
  constructor(writer: SnapshotWriter, keys: Keyring) {
    super(writer, keys);
    this.sealWith((digest) => keys.current.seal(digest));
  }

  override file(name: string, options: FileOptions = {}): WritableStream<Uint8Array> {
    return encryptedFile(this.writer, this.keys.current, name, options);
  }

  override async reuse(files: readonly FileInfo[]): Promise<boolean> {
    checkFiles(files);
    const sealed: FileInfo[] = [];
    for (const file of files) {
      if (file.chunks === undefined || file.encryption === undefined) return false;
      const encryption = await this.keys.find(file.encryption.keyId)?.sealFile(file.name, file.chunks.root);
      if (encryption === undefined) return false;
      sealed.push({ ...file, encryption }); // it may have another name now
    }
    return await super.reuse(sealed);
  }
}

/**
 * Returns a writer that encrypts files and passes them on to another writer: for a snapshot that is sent as it is
 * written (`pushLive`) to a node that stores it encrypted.
 *
 * @category Storage
 * @see {@linkcode EncryptedStorage}
 * @param writer takes what is encrypted
 * @param key what to encrypt with
 */
export function encryptedWriter(writer: FileWriter, key: EncryptionKey): FileWriter {
  able("a FileWriter", "file", "info")(writer, "writer");
  const keys = new Keyring([key]);
  writer.sealWith((digest) => keys.current.seal(digest));
  return {
    file: (name, options = {}) => encryptedFile(writer, keys.current, name, options),
    reuse: () => Promise.resolve(false),
    info: (name) => writer.info(name),
    sealWith: (seal) => writer.sealWith(seal),
  };
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

/** Returns a stream that encrypts a file as it is written. */
function encryptedFile(
  writer: Pick<SnapshotWriter, "file">,
  cipher: Cipher,
  name: string,
  options: FileOptions,
): WritableStream<Uint8Array> {
  const { chunkSize, size, ...rest } = checkFileOptions(options);
  const fixed = chunkSize === "pieces" ? undefined : chooseChunkSize(chunkSize, size);
  const target = writer.file(name, {
    ...rest,
    chunkSize: fixed ?? "pieces",
    encryption: (chunks) => cipher.sealFile(name, chunks.root),
  }).getWriter();
  target.closed.catch(() => {});
  return new WritableStream(
    new ChunkSink<Uint8Array>(fixed === undefined ? undefined : fixed - CIPHER_OVERHEAD, {
      begin: () => Promise.resolve(),
      work: (plain) => cipher.encrypt(plain),
      async emit(stored) {
        await target.ready;
        target.write(stored).catch(() => {}); // a failed write rejects `ready` and `close`
      },
      end: () => closeSink(target),
      abort: (reason) => target.abort(reason).catch(() => {}),
    }, MAX_PLAIN_CHUNK),
  );
}
