/**
 * Writing a snapshot into a place of a medium.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../errors.ts";
import {
  type CommitOptions,
  completeFile,
  completeMeta,
  type CreateOptions,
  type FileInfo,
  type FileOptions,
  NameSet,
  type SnapshotInfo,
  SnapshotManifest,
  type SnapshotMeta,
  type SnapshotWriter,
} from "../snapshot/mod.ts";
import { type ChunkMap, DEFAULT_CHUNK_SIZE, equal, MAX_CHUNK_SIZE, MIN_CHUNK_SIZE, toHex } from "../stream/mod.ts";
import { FileSink } from "./file_sink.ts";
import { PacedFile } from "./paced_file.ts";
import type { Medium, PlacedSnapshot } from "./medium.ts";
import { readChunk } from "./reader.ts";
import { type WholeFile, wholeFiles } from "./whole_files.ts";

/** A file grows larger chunks so that it has at most so many: 16 MiB of digests. */
const AIMED_CHUNKS = 512 * 1024;

/** What a {@linkcode StoredWriter} needs of its storage. */
export interface WriterOwner {
  /** Makes the place a snapshot. */
  publish(place: string, manifest: SnapshotManifest): Promise<SnapshotInfo>;
  /** The writer is done with, for good or ill. */
  released(): void;
  /** Complete snapshots to reuse files of, newest first. */
  snapshots(): readonly PlacedSnapshot[];
  /** Who is told of progress. */
  readonly options: CreateOptions;
}

/** The writer of a storage on a medium. */
export class StoredWriter implements SnapshotWriter {
  readonly #medium: Medium;
  readonly #owner: WriterOwner;
  readonly #names = new NameSet();
  readonly #open = new Map<string, FileSink>();
  readonly #files = new Map<string, FileInfo>();
  readonly #reusing = new Set<Promise<boolean>>();
  #whole: ReadonlyMap<string, WholeFile> | undefined;
  #parentIndex: bigint | undefined;
  #state: "open" | "committing" | "done" = "open";
  #aborted: Promise<void> | undefined;
  #committing: Promise<SnapshotInfo> | undefined;

  /**
   * @param medium has an empty place for it
   * @param owner the storage
   */
  constructor(medium: Medium, owner: WriterOwner) {
    this.#medium = medium;
    this.#owner = owner;
  }

  file(name: string, options: FileOptions = {}): WritableStream<Uint8Array> {
    const { size, chunkSize, keyGroups, ...attributes } = options;
    const sink = new FileSink(
      () => {
        // Here, so that a wrong name fails the stream that was asked for, as everything else does.
        if (this.#state !== "open") throw closed();
        this.#names.add(name);
        this.#open.set(name, sink);
        return this.#medium.open(this.#medium.temp, name, "create");
      },
      chunkSize === "pieces" ? undefined : chooseChunkSize(chunkSize, size),
      {
        onClose: (chunks) => {
          this.#open.delete(name);
          const groups = keyGroups?.();
          this.#files.set(
            name,
            completeFile({ name, ...attributes, ...(groups !== undefined && { keyGroups: groups }) }, chunks),
          );
        },
        onBytes: this.#owner.options.onBytes,
      },
    );
    return new WritableStream(sink);
  }

  async reuse(files: readonly FileInfo[]): Promise<boolean> {
    if (this.#state !== "open") throw closed();
    this.#whole ??= wholeFiles(this.#owner.snapshots());
    const found = files.map((file) => ({ file, whole: file.chunks && this.#whole!.get(toHex(file.chunks.root)) }));
    if (found.some(({ whole }) => whole === undefined)) return false;
    for (const { name } of files) this.#names.add(name);
    const reusing = this.#reuseAll(files, found.map(({ whole }) => whole!));
    this.#reusing.add(reusing);
    try {
      if (!await reusing) return false;
    } finally {
      this.#reusing.delete(reusing);
    }
    for (const { file, whole } of found) {
      this.#files.set(file.name, file);
      if (whole!.index > (this.#parentIndex ?? 0n)) this.#parentIndex = whole!.index;
      this.#owner.options.onReused?.(file.chunks!.size, file.chunks!.count);
    }
    return true;
  }

  async #reuseAll(files: readonly FileInfo[], whole: readonly WholeFile[]): Promise<boolean> {
    for (const [i, { name, chunks }] of files.entries()) {
      if (await this.#reuse(whole[i]!, name, chunks!)) continue;
      for (const { name } of files.slice(0, i + 1)) await this.#medium.unlink(this.#medium.temp, name);
      for (const { name } of files) this.#names.delete(name);
      return false;
    }
    return true;
  }

  /** Links a file of another snapshot, or copies it where that cannot be done. Whether it is right then. */
  async #reuse(whole: WholeFile, name: string, chunks: ChunkMap): Promise<boolean> {
    const { temp } = this.#medium;
    try {
      if (!await this.#medium.link(whole.place, temp, whole.name, name)) await this.#copy(whole, name, chunks);
      const file = await this.#medium.open(temp, name, "read");
      try {
        return await file.size() === chunks.size;
      } finally {
        await file.close();
      }
    } catch (error) {
      // What is wrong with what is there: whoever writes it anew is better off.
      if (hasCode(error, "CORRUPT", "NOT_FOUND")) return false;
      throw error;
    }
  }

  async #copy(whole: WholeFile, name: string, chunks: ChunkMap): Promise<void> {
    const source = await this.#medium.open(whole.place, whole.name, "read");
    try {
      const target = new PacedFile(await this.#medium.open(this.#medium.temp, name, "create"));
      try {
        for (let i = 0; i < chunks.count; i++) {
          if (this.#state !== "open") throw closed();
          await target.write(await readChunk(source, whole.name, chunks, i), chunks.offset(i));
        }
        await target.sync();
      } finally {
        await target.close();
      }
    } finally {
      await source.close();
    }
  }

  info(name: string): FileInfo {
    const found = this.#files.get(name);
    if (found !== undefined) return found;
    throw new SnapshotError("NOT_FOUND", `No file ${JSON.stringify(name)} was written to its end`, { file: name });
  }

  async commit(meta: SnapshotMeta, options: CommitOptions = {}): Promise<SnapshotInfo> {
    if (this.#state !== "open") throw closed();
    this.#state = "committing";
    return await (this.#committing = this.#commit(meta, options));
  }

  async #commit(meta: SnapshotMeta, options: CommitOptions): Promise<SnapshotInfo> {
    try {
      const [unclosed] = this.#open.keys();
      await Promise.allSettled(this.#reusing);
      if (unclosed !== undefined) {
        throw new SnapshotError(
          "MALFORMED",
          `${JSON.stringify(unclosed)} was not written to its end: close its stream`,
          {
            file: unclosed,
          },
        );
      }
      const manifest = await SnapshotManifest.of(this.#complete(meta), [...this.#files.values()]);
      if (options.digest !== undefined && !equal(options.digest, manifest.digest)) {
        throw new SnapshotError("CORRUPT", `Snapshot ${manifest.index} is not the one that was expected`, {
          index: manifest.index,
          expected: toHex(options.digest),
          actual: toHex(manifest.digest),
        });
      }
      const info = await this.#owner.publish(this.#medium.temp, manifest);
      this.#state = "done";
      this.#owner.released();
      return info;
    } catch (error) {
      this.#state = "open";
      await this.abort(error).catch(() => {}); // what cannot be removed now goes with the next create
      throw error;
    }
  }

  #complete(meta: SnapshotMeta): SnapshotMeta {
    const parent = this.#parentIndex;
    return completeMeta({ ...(parent !== undefined && { parentIndex: parent }), ...meta }, Date.now());
  }

  abort(reason?: unknown): Promise<void> {
    if (this.#state === "committing") return this.#committing!.then(() => {}, () => {});
    if (this.#state !== "open") return this.#aborted ?? Promise.resolve();
    this.#state = "done";
    return this.#aborted = (async () => {
      try {
        await Promise.all([...this.#open.values()].map((sink) => sink.discard(reason ?? closed())));
        await Promise.allSettled(this.#reusing);
        await this.#medium.remove(this.#medium.temp);
      } finally {
        this.#owner.released();
      }
    })();
  }

  /** As {@linkcode abort}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.abort();
  }
}

function closed(): SnapshotError {
  return new SnapshotError("CLOSED", "This snapshot is not being written any more: it was committed or given up");
}

function chooseChunkSize(asked: number | undefined, size: number | undefined): number {
  if (asked === undefined) {
    let chosen = DEFAULT_CHUNK_SIZE;
    while (chosen < MAX_CHUNK_SIZE && (size ?? 0) > chosen * AIMED_CHUNKS) chosen *= 2;
    return chosen;
  }
  if (Number.isSafeInteger(asked) && asked >= MIN_CHUNK_SIZE && asked <= MAX_CHUNK_SIZE) return asked;
  throw new SnapshotError("MALFORMED", `A chunk has ${MIN_CHUNK_SIZE} to ${MAX_CHUNK_SIZE} bytes, not ${asked}`);
}
