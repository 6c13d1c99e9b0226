/**
 * Reads a snapshot from a place of a medium, and verifies it.
 *
 * @module
 */

import { hasCode, SnapshotError, throwIfCancelled } from "../errors.ts";
import {
  type ByteRange,
  checkReadOptions,
  checkVerifyOptions,
  type FileInfo,
  type ReadOptions,
  type SnapshotManifest,
  type SnapshotMeta,
  type SnapshotReader,
  type VerifyOptions,
  type VerifyResult,
} from "../snapshot/mod.ts";
import { InFlight, Operation, raceAbort } from "../async/mod.ts";
import { type ChunkMap, streamFrom } from "../stream/mod.ts";
import type { MediumFile, PlacedSnapshot, ReadablePlace } from "./medium.ts";
import { blocks, readRun, takeBuffer } from "./read_chunk.ts";
import { verifyFiles } from "./verify.ts";

/** The most chunks that are read and hashed ahead. */
const READ_AHEAD = 4;
/** The most bytes of them, but for two chunks. */
const READ_AHEAD_BYTES = 1024 * 1024;

/** The part of its storage that a {@linkcode StoredReader} needs. */
export interface ReaderOwner {
  /** The snapshot was proven bad: the wrong bytes were read again, by other ways, and are the same. */
  found(error: SnapshotError): void;
  /** A file of it cannot be read now, which says nothing about whether it is good. */
  unreadable(file: string): void;
  /** The reader was closed. */
  released(): void;
}

/** The reader of a storage on a medium. */
export class StoredReader implements SnapshotReader {
  readonly manifest: SnapshotManifest;
  readonly #place: ReadablePlace;
  readonly #owner: ReaderOwner;
  readonly #files = new Set<MediumFile>();
  readonly #closing = new AbortController();
  #closed: Promise<void> | undefined;

  /**
   * @param snapshot what and where
   * @param owner the storage
   */
  constructor({ place, manifest }: PlacedSnapshot, owner: ReaderOwner) {
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

  file(name: string, options: ReadOptions = {}): ReadableStream<Uint8Array> {
    return streamFrom(this.#read(name, options));
  }

  async *#read(name: string, options: ReadOptions): AsyncGenerator<Uint8Array, void, undefined> {
    const { chunks } = this.info(name);
    const { start, end, unverified } = checkReadOptions(options);
    const file = await this.#open(name, { start, end });
    const running = new InFlight<Uint8Array>();
    try {
      const fit = chunks === undefined ? READ_AHEAD : Math.floor(READ_AHEAD_BYTES * chunks.count / chunks.size);
      const most = Math.min(READ_AHEAD, Math.max(fit, 2));
      let ahead = 1; // one more with each chunk that is taken: many may ask for content, and take none of it
      const plan = chunks === undefined
        ? oneByOne(blocks(file, name, start, Math.min(end, await file.size())))
        : chunkRuns(file, name, chunks, start, Math.min(end, chunks.size), unverified, () => {
          return file.callsAreDear ? Math.max(ahead >> 1, 1) : 1; // the other half is read while these are hashed
        });
      for (const read of plan) {
        for (const part of read()) running.add(part);
        while (running.size >= ahead) {
          yield await this.#whileOpen(running.next());
          ahead = Math.min(ahead + 1, most);
        }
      }
      while (running.size > 0) yield await this.#whileOpen(running.next());
    } catch (error) {
      if (this.#closed !== undefined) throw closed();
      if (hasCode(error, "CORRUPT")) this.#owner.found(error);
      else if (hasCode(error, "UNAVAILABLE", "FORBIDDEN")) this.#owner.unreadable(name);
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
      const { bad, worst } = await verifyFiles({
        files: this.manifest.files,
        withFile: (name, use) => this.#withFile(name, {}, use, signal),
        unreadable: (name) => this.#owner.unreadable(name),
        check: () => {
          throwIfCancelled(signal);
          if (this.#closed !== undefined) throw closed();
        },
        tracker,
      });
      if (worst !== undefined) this.#owner.found(worst);
      const { bytes, chunks } = tracker.progress;
      return { ok: bad.length === 0, verified: this.verified, bytes, chunks, bad };
    });
  }

  close(): Promise<void> {
    return this.#closed ??= (async () => {
      this.#closing.abort(closed());
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

  async #withFile<T>(
    name: string,
    range: ByteRange,
    use: (file: MediumFile) => Promise<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const file = await this.#open(name, range, signal);
    try {
      return await use(file);
    } finally {
      await this.#release(file);
    }
  }

  async #open(name: string, range: ByteRange, signal?: AbortSignal): Promise<MediumFile> {
    if (this.#closed !== undefined) throw closed();
    let file: MediumFile;
    try {
      file = await this.#find(this.info(name), range, signal);
    } catch (error) {
      if (this.#closed !== undefined) throw closed();
      if (hasCode(error, "UNAVAILABLE", "FORBIDDEN")) this.#owner.unreadable(name);
      throw error;
    }
    this.#files.add(file);
    if (this.#closed === undefined) return file;
    await this.#release(file);
    throw closed();
  }

  async #find(info: FileInfo, range: ByteRange, signal: AbortSignal | undefined): Promise<MediumFile> {
    const { name, source } = info;
    try {
      return await this.#place.open(name, "read", range);
    } catch (error) {
      if (!hasCode(error, "NOT_FOUND")) throw error;
      if (source !== "reference") throw missing(name, error); // the disk may be away: this does not prove it bad
      if (this.#place.reference === undefined) throw unknownReference(info, this.meta, error);
    }
    const { signal: closing } = this.#closing;
    const opening = this.#place.reference(info, this.meta);
    try {
      return await raceAbort(opening, signal === undefined ? closing : AbortSignal.any([closing, signal]));
    } catch (error) {
      opening.then((file) => file.close()).catch(() => {}); // it came too late, or not at all
      throw error;
    }
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

/** Reads chunks with one call. */
type ReadRun = () => readonly Promise<Uint8Array>[];

/** Reads the chunks that a range touches, each as a whole, and cuts off the bytes outside the range. */
function* chunkRuns(
  file: MediumFile,
  name: string,
  chunks: ChunkMap,
  start: number,
  end: number,
  unverified: boolean,
  most: () => number,
): Generator<ReadRun, void, undefined> {
  const cut = (chunk: number) => {
    const offset = chunks.offset(chunk);
    return [Math.max(start - offset, 0), Math.min(end - offset, chunks.length(chunk))] as const;
  };
  const free: Uint8Array[] = [];
  for (let next = start < end ? chunks.at(start) : chunks.count; next < chunks.count && chunks.offset(next) < end;) {
    const first = next++;
    for (const limit = first + most(); next < Math.min(limit, chunks.count) && chunks.offset(next) < end;) next++;
    const stop = next;
    yield () => {
      if (stop - first === 1) {
        const one = readRun(file, name, chunks, first, stop, unverified);
        return [one.then(async ([chunk]) => (await chunk!).subarray(...cut(first)))];
      }
      // Each goes out in memory of its own: whoever gets it may give that away, to another thread or a byte stream.
      const memory = takeBuffer(free, chunks.offset(stop) - chunks.offset(first));
      const run = readRun(file, name, chunks, first, stop, unverified, memory);
      const parts = Array.from({ length: stop - first }, async (_, i) => {
        return (await (await run)[i]!).slice(...cut(first + i));
      });
      void Promise.allSettled(parts).then(() => free.push(memory));
      return parts;
    };
  }
}

function* oneByOne(parts: Iterable<() => Promise<Uint8Array>>): Generator<ReadRun, void, undefined> {
  for (const part of parts) yield () => [part()];
}

/** Returns the error for a file of a snapshot that is not where it should be. */
export function missing(name: string, cause: unknown): SnapshotError {
  return new SnapshotError(
    "UNAVAILABLE",
    `${JSON.stringify(name)} is not there now: it was removed, or what it lies on is away`,
    { file: name, cause },
  );
}

/** Returns the error for a file that a snapshot refers to, where nobody knows where such files are. */
export function unknownReference(
  { name }: FileInfo,
  { lastIncludedIndex: index }: SnapshotMeta,
  cause: unknown,
): SnapshotError {
  return new SnapshotError(
    "NOT_FOUND",
    `${JSON.stringify(name)} of snapshot ${index} is a reference to a file that is not in the snapshot: open the ` +
      `storage with \`resolve\`, which says where it is`,
    { file: name, index, cause },
  );
}

function closed(): SnapshotError {
  return new SnapshotError("CLOSED", "The snapshot's reader was closed");
}
