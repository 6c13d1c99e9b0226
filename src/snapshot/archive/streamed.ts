/**
 * Writing a snapshot straight into an archive, with no storage in between: see `format.ts`.
 *
 * @module
 */

import { checkFunction, checkOptions, checkSignal, checkString } from "../../checks.ts";
import { SnapshotError } from "../../errors.ts";
import { LinkedAbort, onAbort, pause } from "../../async/mod.ts";
import { archiveMagic, encodeRecord } from "./records.ts";
import {
  checkChunkSize,
  ChunkMapBuilder,
  ChunkSink,
  concat,
  DEFAULT_CHUNK_SIZE,
  type DigestedChunk,
  sha256,
  u32,
  u64,
} from "../../stream/mod.ts";
import { endOf, MAX_OPEN_FILES, Type } from "./format.ts";
import { encodeTrailer, trailerOf } from "../trailer.ts";
import { streamDigest } from "./head.ts";
import { SnapshotManifest } from "../manifest.ts";
import {
  attributesOf,
  checkEncryption,
  checkMeta,
  completeFile,
  completeMeta,
  type FileInfo,
  type FileOptions,
  type SnapshotMeta,
  type SnapshotSeal,
} from "../meta.ts";
import { NameSet } from "../names.ts";
import { checkFileOptions, checkSigner } from "../options.ts";
import { signed, type SnapshotSigner } from "../signature.ts";
import type { FileWriter } from "../writer.ts";

/** The longest wait for the writing of files to stop after a cancel, in milliseconds. */
const GRACE = 1000;

/**
 * Writes the files of a snapshot: a `SaveTask`'s `write`, for one. The writer commits nothing and reuses nothing.
 *
 * @category Transfer
 * @see {@linkcode streamedArchive}
 */
export type WriteFiles = (
  writer: FileWriter,
  signal: AbortSignal,
) => Promise<void>;

/**
 * Options of {@linkcode streamedArchive}.
 *
 * @category Transfer
 */
export interface StreamedArchiveOptions {
  /** Stops it. */
  readonly signal?: AbortSignal | undefined;
  /** Signs the snapshot. */
  readonly signer?: SnapshotSigner | undefined;
}

/**
 * A snapshot as one stream of bytes, while it is being written: nothing of it is kept here. The files are written as
 * fast as the stream is read, with a few chunks in between.
 *
 * @category Transfer
 * @param meta the metadata of the snapshot
 * @param write writes the files, up to 16 at the same time; called when the stream is first read
 * @param options the signal, and who signs
 * @returns the archive; fails with the error of `write`, whose signal fires if nobody wants the archive any more
 *
 * @example A state that is piped to another node with no disk in between
 * ```ts
 * import { MemoryStorage, streamedArchive, unarchive } from "@snapstream/snapstream";
 *
 * const meta = { lastIncludedIndex: 7n, lastIncludedTerm: 1n, peers: [] };
 * const stream = streamedArchive(meta, async (writer) => {
 *   await ReadableStream.from([new TextEncoder().encode("state")]).pipeTo(writer.file("state"));
 * });
 * const { size } = await unarchive(stream, new MemoryStorage());
 * console.assert(size === 5);
 * ```
 */
export function streamedArchive(
  meta: SnapshotMeta,
  write: WriteFiles,
  options: StreamedArchiveOptions = {},
): ReadableStream<Uint8Array> {
  const { signal, signer } = checkOptions(options, { signal: checkSignal, signer: checkSigner });
  const own = checkMeta(meta);
  checkFunction(write, "write");
  const stop = new LinkedAbort(signal);
  const pipe = new RecordPipe(stop.signal);
  let writing: Promise<void> | undefined;
  const run = async () => {
    try {
      const writer = new ArchiveWriter(completeMeta(own, Date.now()), pipe);
      await writer.begin(signer);
      await write(writer, stop.signal);
      await writer.end(signer);
      pipe.end();
    } catch (error) {
      pipe.fail(error);
    } finally {
      stop.unlink();
    }
  };
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      writing ??= run();
      const bytes = await pipe.take();
      if (bytes === undefined) controller.close();
      else controller.enqueue(bytes);
    },
    async cancel(reason) {
      stop.unlink();
      stop.abort(reason);
      pipe.fail(reason);
      if (writing !== undefined) await pause(GRACE, undefined, writing);
    },
  }, { highWaterMark: 0 });
}

/** Hands records from many writers to one reader; a writer waits until its record was taken. */
class RecordPipe {
  readonly #queue: { readonly bytes: Uint8Array; readonly taken: () => void; readonly failed: (e: unknown) => void }[] =
    [];
  #wake: () => void = () => {};
  #ended = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(signal: AbortSignal) {
    onAbort(signal, (reason) => this.fail(reason));
  }

  /** Hands on the pieces of a record, with nothing in between, synchronously. */
  put(...pieces: Uint8Array[]): Promise<void> {
    return new Promise((taken, failed) => {
      if (this.#failure !== undefined) return failed(this.#failure.error);
      this.#queue.push({ bytes: concat(pieces), taken, failed });
      this.#wake();
    });
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  fail(error: unknown): void {
    this.#failure ??= { error };
    for (const { failed } of this.#queue.splice(0)) failed(error);
    this.#wake();
  }

  async take(): Promise<Uint8Array | undefined> {
    for (;;) {
      if (this.#failure !== undefined) throw this.#failure.error;
      const next = this.#queue.shift();
      if (next !== undefined) {
        next.taken();
        return next.bytes;
      }
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }
}

/** The writer of a streamed archive. */
class ArchiveWriter implements FileWriter {
  readonly #meta: SnapshotMeta & { readonly createdAt: number };
  readonly #pipe: RecordPipe;
  readonly #names = new NameSet();
  readonly #files = new Map<string, FileInfo>();
  #seal: ((digest: Uint8Array) => Promise<SnapshotSeal>) | undefined;
  #begun = 0;
  #open = 0;
  #bytes = 0;

  constructor(meta: SnapshotMeta & { readonly createdAt: number }, pipe: RecordPipe) {
    this.#meta = meta;
    this.#pipe = pipe;
  }

  /** Signs the beginning too, so that a receiver need not take in anything to see that it is from somebody trusted. */
  async begin(signer: SnapshotSigner | undefined): Promise<void> {
    let header = await SnapshotManifest.of(this.#meta, []);
    const signature = await signed(signer, await streamDigest(header.digest));
    if (signature !== undefined) header = await SnapshotManifest.of({ ...this.#meta, signature }, []);
    await this.#pipe.put(archiveMagic());
    await this.#pipe.put(...encodeRecord(Type.HEADER, header.bytes));
  }

  file(name: string, options: FileOptions = {}): WritableStream<Uint8Array> {
    const { chunkSize = DEFAULT_CHUNK_SIZE, keyGroups, encryption } = checkFileOptions(options);
    const attributes = attributesOf(options);
    const fixed = chunkSize === "pieces" ? undefined : checkChunkSize(chunkSize);
    const builder = new ChunkMapBuilder(fixed);
    let number = 0;
    return new WritableStream(
      new ChunkSink<DigestedChunk>(fixed, {
        begin: async () => {
          number = await this.#begin({ name, ...attributes }, fixed);
        },
        work: async (bytes) => ({ bytes, digest: await sha256(bytes) }),
        emit: async ({ bytes, digest }) => {
          await this.#pipe.put(...encodeRecord(Type.CHUNK, u32(number), digest, bytes));
          builder.add(digest, bytes.length);
        },
        end: async () => {
          const chunks = await builder.build();
          const trailer = await trailerOf(chunks, keyGroups, encryption);
          await this.#pipe.put(...encodeRecord(Type.FILE_END, u32(number), u64(chunks.size), encodeTrailer(trailer)));
          this.#files.set(name, completeFile({ name, ...attributes, ...trailer }, chunks));
          this.#bytes += chunks.size;
          this.#open--;
        },
      }),
    );
  }

  async #begin(info: FileInfo, chunkSize: number | undefined): Promise<number> {
    if (this.#open === MAX_OPEN_FILES) {
      throw new SnapshotError("MALFORMED", `At most ${MAX_OPEN_FILES} files can be written at the same time`, {
        file: info.name,
      });
    }
    this.#names.add(info.name);
    this.#open++;
    const { createdAt: _, ...bare } = this.#meta;
    const { bytes } = await SnapshotManifest.of(bare, [info]);
    const number = this.#begun++; // synchronously with the put: others may begin meanwhile
    await this.#pipe.put(...encodeRecord(Type.FILE, u32(chunkSize ?? 0), bytes));
    return number;
  }

  /** Reuses nothing: the receiver has no files of ours, so all are written anew. */
  reuse(): Promise<boolean> {
    return Promise.resolve(false);
  }

  info(name: string): FileInfo {
    const found = this.#files.get(checkString(name, "The name of a file"));
    if (found !== undefined) return found;
    throw new SnapshotError("NOT_FOUND", `No file ${JSON.stringify(name)} was written to its end`, { file: name });
  }

  sealWith(seal: (digest: Uint8Array) => Promise<SnapshotSeal>): void {
    checkFunction(seal, "seal");
    this.#seal = seal;
  }

  async end(signer: SnapshotSigner | undefined): Promise<void> {
    if (this.#open > 0) {
      throw new SnapshotError("MALFORMED", "A file was not written to its end: close its stream");
    }
    const { digest } = await SnapshotManifest.of(this.#meta, [...this.#files.values()]);
    const given = await this.#seal?.(digest);
    const seal = given && checkEncryption(given, "What seal gives");
    if (seal !== undefined) await this.#pipe.put(...encodeRecord(Type.SEAL, encodeTrailer({ encryption: seal })));
    const signature = this.#meta.signature ?? await signed(signer, digest);
    await this.#pipe.put(...encodeRecord(Type.END, endOf(this.#files.size, this.#bytes, digest, signature)));
  }
}
