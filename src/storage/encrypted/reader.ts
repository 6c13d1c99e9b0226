/**
 * Reads encrypted snapshots.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import {
  checkReadOptions,
  type ChunkedFile,
  type FileInfo,
  type ReadOptions,
  type SnapshotManifest,
  type SnapshotMeta,
  type SnapshotReader,
  type VerifyOptions,
  type VerifyResult,
} from "../../snapshot/mod.ts";
import { InFlight, type Operation } from "../../async/mod.ts";
import { type ChunkMap, streamFrom } from "../../stream/mod.ts";
import { CIPHER_OVERHEAD, type Keyring } from "./cipher.ts";

/** Chunks decrypted at the same time. */
const IN_FLIGHT = 4;

/** Decrypts the files of another reader. */
export class EncryptedReader implements SnapshotReader {
  readonly #reader: SnapshotReader;
  readonly #keys: Keyring;
  readonly #isGone: () => boolean;
  #checked: Promise<void> | undefined;
  #closed = false;

  /**
   * @param reader reads what is stored
   * @param keys decrypt it
   * @param isGone whether the storage that it is of was closed
   */
  constructor(reader: SnapshotReader, keys: Keyring, isGone: () => boolean = () => false) {
    this.#isGone = isGone;
    this.#reader = reader;
    this.#keys = keys;
  }

  /**
   * Checks the seal, once; nothing is decrypted before.
   *
   * @throws {SnapshotError} `FORBIDDEN`
   */
  check(): Promise<void> {
    return this.#checked ??= this.#keys.checkSeal(this.manifest);
  }

  get meta(): SnapshotMeta {
    return this.#reader.meta;
  }

  get manifest(): SnapshotManifest {
    return this.#reader.manifest;
  }

  get verified(): "chunks" | "none" {
    return this.#reader.verified;
  }

  info(name: string): FileInfo {
    return this.#reader.info(name);
  }

  async size(name: string): Promise<number> {
    const info = this.info(name);
    await this.check();
    await this.#keys.cipherOf(info);
    return plainOffset((info as ChunkedFile).chunks, Infinity);
  }

  file(name: string, options: ReadOptions = {}): ReadableStream<Uint8Array> {
    if (options?.raw === true) return this.#reader.file(name, options);
    return streamFrom(this.#read(name, options));
  }

  async *#read(name: string, options: ReadOptions): AsyncGenerator<Uint8Array, void, undefined> {
    const info = this.info(name) as ChunkedFile;
    const { start, end } = checkReadOptions(options);
    await this.check();
    const cipher = await this.#keys.cipherOf(info);
    const { chunks } = info;
    const stop = Math.min(end, plainOffset(chunks, Infinity));
    if (start >= stop) return;
    const first = chunkAt(chunks, start);
    const last = chunkAt(chunks, stop - 1);
    const stored = { start: chunks.offset(first), end: chunks.offset(last + 1), raw: true };
    const running = new InFlight<Uint8Array>();
    let next = first;
    let at = plainOffset(chunks, first);
    const cut = (plain: Uint8Array) => {
      const part = plain.subarray(Math.max(start - at, 0), Math.max(stop - at, 0));
      at += plain.length;
      return part;
    };
    try {
      for await (const bytes of this.#reader.file(name, stored)) { // chunk by chunk
        running.add(cipher.decrypt(bytes, name, next++));
        if (running.size >= IN_FLIGHT) yield cut(await this.#whileOpen(running.next()));
      }
      while (running.size > 0) yield cut(await this.#whileOpen(running.next()));
    } finally {
      await running.settled();
    }
  }

  /** Discards what was read ahead once the reader is closed: the state may be gone, and its key with it. */
  async #whileOpen(part: Promise<Uint8Array>): Promise<Uint8Array> {
    const plain = await part;
    if (this.#closed || this.#isGone()) throw new SnapshotError("CLOSED", "The snapshot's reader was closed");
    return plain;
  }

  verify(options?: VerifyOptions): Operation<VerifyResult> {
    return this.#reader.verify(options);
  }

  close(): Promise<void> {
    this.#closed = true;
    return this.#reader.close();
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Returns the offset of chunk `i` in the plaintext; for any number that is too high, the size of the plaintext. */
function plainOffset(chunks: ChunkMap, i: number): number {
  return i >= chunks.count ? chunks.size - chunks.count * CIPHER_OVERHEAD : chunks.offset(i) - i * CIPHER_OVERHEAD;
}

/** Returns the chunk that contains a byte of the plaintext. */
function chunkAt(chunks: ChunkMap, position: number): number {
  let low = 0;
  let high = chunks.count;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (plainOffset(chunks, middle) <= position) low = middle;
    else high = middle;
  }
  return low;
}
