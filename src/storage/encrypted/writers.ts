/**
 * The writers of a storage whose files are encrypted.
 *
 * @module
 */

import {
  checkCommitOptions,
  checkFiles,
  checkMeta,
  type CheckOptions,
  type CommitOptions,
  type FileInfo,
  type FileOptions,
  type SnapshotInfo,
  type SnapshotMeta,
  type SnapshotReader,
  type SnapshotSeal,
  type SnapshotWriter,
} from "../../snapshot/mod.ts";
import type { Keyring } from "./cipher.ts";
import { encryptedFile } from "./file.ts";
import { EncryptedReader } from "./reader.ts";

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
export function decrypted<T extends CheckOptions>(options: T, keys: Keyring): T {
  const check: unknown = options?.check;
  if (typeof check !== "function") return options;
  return { ...options, check: (reader: SnapshotReader) => check(new EncryptedReader(reader, keys)) };
}

/** Accepts only files that are encrypted already. */
export class CheckedWriter extends PassingWriter {
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
export class EncryptedWriter extends PassingWriter {
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
