/**
 * Reading a snapshot from a place of a medium, verified.
 *
 * @module
 */

import { hasCode, messageOf, SnapshotError, throwIfCancelled } from "../errors.ts";
import {
  type BadChunk,
  type ByteRange,
  checkReadOptions,
  checkVerifyOptions,
  type FileInfo,
  MAX_LISTED_BAD,
  type SnapshotManifest,
  type SnapshotMeta,
  type SnapshotReader,
  type VerifyOptions,
  type VerifyResult,
} from "../snapshot/mod.ts";
import { type ChunkMap, DEFAULT_CHUNK_SIZE, equal, InFlight, Operation, sha256, streamFrom } from "../stream/mod.ts";
import type { MediumFile, PlacedSnapshot, Places, WrittenChunk } from "./medium.ts";

/** Chunks read and hashed ahead. */
const READ_AHEAD = 4;

/** What a {@linkcode StoredReader} needs of its storage. */
export interface ReaderOwner {
  /** The snapshot was found bad. */
  found(error: SnapshotError): void;
  /** It cannot be read now, which says nothing about whether it is good. */
  unreadable(): void;
  /** The reader was closed. */
  released(): void;
}

/** The reader of a storage on a medium. */
export class StoredReader implements SnapshotReader {
  readonly manifest: SnapshotManifest;
  readonly #medium: Places;
  readonly #place: string;
  readonly #owner: ReaderOwner;
  readonly #files = new Set<MediumFile>();
  #closed: Promise<void> | undefined;

  /**
   * @param medium where it lies
   * @param snapshot what and where
   * @param owner the storage
   */
  constructor(medium: Places, { place, manifest }: PlacedSnapshot, owner: ReaderOwner) {
    this.#medium = medium;
    this.#place = place;
    this.manifest = manifest;
    this.#owner = owner;
  }

  get meta(): SnapshotMeta {
    return this.manifest.meta;
  }

  get verified(): "chunks" | "none" {
    return this.manifest.verifiable ? "chunks" : "none";
  }

  info(name: string): FileInfo {
    return this.manifest.file(name);
  }

  async size(name: string): Promise<number> {
    const { chunks } = this.info(name);
    return chunks?.size ?? await this.#withFile(name, {}, (file) => file.size());
  }

  file(name: string, range: ByteRange = {}): ReadableStream<Uint8Array> {
    return streamFrom(this.#read(name, range));
  }

  async *#read(name: string, range: ByteRange): AsyncGenerator<Uint8Array, void, undefined> {
    const { chunks } = this.info(name);
    const { start, end } = checkReadOptions(range);
    const file = await this.#open(name, { start, end });
    const running = new InFlight<Uint8Array>();
    try {
      const plan = chunks === undefined
        ? blocks(file, name, start, Math.min(end, await file.size()))
        : verifiedChunks(file, name, chunks, start, Math.min(end, chunks.size));
      for (const part of plan) {
        running.add(part());
        if (running.size >= READ_AHEAD) yield await this.#whileOpen(running.next());
      }
      while (running.size > 0) yield await this.#whileOpen(running.next());
    } catch (error) {
      if (this.#closed !== undefined) throw closed();
      if (hasCode(error, "CORRUPT")) this.#owner.found(error);
      else if (hasCode(error, "UNAVAILABLE", "FORBIDDEN")) this.#owner.unreadable();
      throw error;
    } finally {
      await running.settled();
      await this.#release(file);
    }
  }

  verify(options: VerifyOptions = {}): Operation<VerifyResult> {
    return new Operation<VerifyResult>(async (tracker) => {
      const { signal } = checkVerifyOptions(options);
      tracker.phase("verify", this.manifest.size);
      const bad: BadChunk[] = [];
      let worst: SnapshotError | undefined;
      for (const { name, chunks, source } of this.manifest.files) {
        try {
          await this.#withFile(name, {}, async (file) => {
            const parts = chunks === undefined
              ? blocks(file, name, 0, await file.size())
              : verifiedChunks(file, name, chunks, 0, chunks.size);
            let chunk = 0;
            for (const part of parts) {
              throwIfCancelled(signal);
              if (this.#closed !== undefined) throw closed();
              const i = chunk++;
              try {
                tracker.add((await part()).length);
              } catch (error) {
                if (this.#closed !== undefined) throw closed();
                // A sector that cannot be read: what comes after it can, mostly.
                if (!hasCode(error, "CORRUPT", "UNAVAILABLE")) throw error;
                if (error.code === "CORRUPT") worst ??= error;
                if (bad.length < MAX_LISTED_BAD) bad.push({ file: name, chunk: i, message: error.message });
              }
            }
          });
        } catch (error) {
          if (source === "reference" && hasCode(error, "NOT_FOUND")) continue;
          if (this.#closed !== undefined) throw closed();
          // What cannot be read now may be good: it is listed, and not put aside.
          if (!hasCode(error, "CORRUPT", "UNAVAILABLE", "FORBIDDEN")) throw error;
          if (error.code === "CORRUPT") worst ??= error;
          if (bad.length < MAX_LISTED_BAD) bad.push({ file: name, message: messageOf(error) });
        }
      }
      if (worst !== undefined) this.#owner.found(worst);
      const { bytes, chunks } = tracker.progress;
      return { ok: bad.length === 0, verified: this.verified, bytes, chunks, bad };
    });
  }

  close(): Promise<void> {
    return this.#closed ??= (async () => {
      try {
        await Promise.all([...this.#files].map((file) => this.#release(file)));
      } finally {
        this.#owner.released();
      }
    })();
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #withFile<T>(name: string, range: ByteRange, use: (file: MediumFile) => Promise<T>): Promise<T> {
    const file = await this.#open(name, range);
    try {
      return await use(file);
    } finally {
      await this.#release(file);
    }
  }

  async #open(name: string, range: ByteRange): Promise<MediumFile> {
    if (this.#closed !== undefined) throw closed();
    const { source } = this.info(name);
    let file: MediumFile;
    try {
      file = await this.#medium.open(this.#place, name, "read", range);
    } catch (error) {
      if (hasCode(error, "UNAVAILABLE", "FORBIDDEN")) this.#owner.unreadable();
      if (source === "reference" || !hasCode(error, "NOT_FOUND")) throw error;
      const missing = new SnapshotError("CORRUPT", `${JSON.stringify(name)} is missing`, { file: name, cause: error });
      this.#owner.found(missing);
      throw missing;
    }
    this.#files.add(file);
    if (this.#closed === undefined) return file;
    await this.#release(file);
    throw closed();
  }

  async #whileOpen<T>(part: Promise<T>): Promise<T> {
    const result = await part;
    if (this.#closed !== undefined) throw closed();
    return result;
  }

  async #release(file: MediumFile): Promise<void> {
    if (this.#files.delete(file)) await file.close();
  }
}

/** Reads the chunks in which a range lies, verifies each as a whole, and cuts off what is out of the range. */
function* verifiedChunks(
  file: MediumFile,
  name: string,
  chunks: ChunkMap,
  start: number,
  end: number,
): Generator<() => Promise<Uint8Array>, void, undefined> {
  for (let i = chunks.at(start); i < chunks.count && chunks.offset(i) < end; i++) {
    const offset = chunks.offset(i);
    yield async () => {
      const bytes = await readChunk(file, name, chunks, i);
      return bytes.subarray(Math.max(start - offset, 0), Math.min(end - offset, bytes.length));
    };
  }
}

/**
 * Reads one chunk and verifies it.
 *
 * @throws {SnapshotError} `CORRUPT`
 */
export async function readChunk(file: MediumFile, name: string, chunks: ChunkMap, i: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(chunks.length(i));
  const length = await file.read(bytes, chunks.offset(i));
  if (length < bytes.length) {
    throw new SnapshotError("CORRUPT", `${JSON.stringify(name)} ends in its chunk ${i}: it was cut short`, {
      file: name,
      chunk: i,
      expected: bytes.length,
      actual: length,
    });
  }
  let digest = await sha256(bytes);
  if (!equal(digest, chunks.digest(i)) && file.reread !== undefined) {
    await file.reread(bytes, chunks.offset(i));
    digest = await sha256(bytes);
  }
  if (!equal(digest, chunks.digest(i))) throw chunks.corrupt(i, name, digest);
  return bytes;
}

/** What is said of a chunk when it is written somewhere. */
export function chunkWritten(chunks: ChunkMap, i: number): Promise<readonly WrittenChunk[]> {
  return Promise.resolve([{ digest: chunks.digest(i), length: chunks.length(i) }]);
}

/** Reads a range of a file of which no digests are known. */
function* blocks(
  file: MediumFile,
  name: string,
  start: number,
  end: number,
): Generator<() => Promise<Uint8Array>, void, undefined> {
  for (let at = start; at < end; at += DEFAULT_CHUNK_SIZE) {
    yield async () => {
      const bytes = new Uint8Array(Math.min(DEFAULT_CHUNK_SIZE, end - at));
      const length = await file.read(bytes, at);
      if (length === bytes.length) return bytes;
      throw new SnapshotError("CORRUPT", `${JSON.stringify(name)} became shorter while it was read`, { file: name });
    };
  }
}

function closed(): SnapshotError {
  return new SnapshotError("CLOSED", "The snapshot's reader was closed");
}
