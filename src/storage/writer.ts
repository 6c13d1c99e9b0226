/**
 * Writing a snapshot into a place of a medium.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import {
  type CommitOptions,
  completeFile,
  completeMeta,
  type FileInfo,
  type FileOptions,
  NameSet,
  type SnapshotInfo,
  SnapshotManifest,
  type SnapshotMeta,
  type SnapshotWriter,
} from "../snapshot/mod.ts";
import { DEFAULT_CHUNK_SIZE, equal, MAX_CHUNK_SIZE, MIN_CHUNK_SIZE, toHex } from "../stream/mod.ts";
import { FileSink } from "./file_sink.ts";
import type { Medium } from "./medium.ts";

/** A file grows larger chunks so that it has at most so many: 16 MiB of digests. */
const AIMED_CHUNKS = 512 * 1024;

/** What a {@linkcode StoredWriter} needs of its storage. */
export interface WriterOwner {
  /** Makes the place a snapshot. */
  publish(place: string, manifest: SnapshotManifest): Promise<SnapshotInfo>;
  /** The writer is done with, for good or ill. */
  released(): void;
  /** Who is told of progress. */
  readonly onBytes: ((bytes: number) => void) | undefined;
}

/** The writer of a storage on a medium. */
export class StoredWriter implements SnapshotWriter {
  readonly #medium: Medium;
  readonly #owner: WriterOwner;
  readonly #names = new NameSet();
  readonly #open = new Map<string, FileSink>();
  readonly #files: FileInfo[] = [];
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
    const { size, chunkSize, ...attributes } = options;
    const sink = new FileSink(
      () => {
        // Here, so that a wrong name fails the stream that was asked for, as everything else does.
        if (this.#state !== "open") throw closed();
        this.#names.add(name);
        this.#open.set(name, sink);
        return this.#medium.open(this.#medium.temp, name, "create");
      },
      chooseChunkSize(chunkSize, size),
      {
        onClose: (chunks) => {
          this.#open.delete(name);
          this.#files.push(completeFile({ name, ...attributes }, chunks));
        },
        onBytes: this.#owner.onBytes,
      },
    );
    return new WritableStream(sink);
  }

  async commit(meta: SnapshotMeta, options: CommitOptions = {}): Promise<SnapshotInfo> {
    if (this.#state !== "open") throw closed();
    this.#state = "committing";
    return await (this.#committing = this.#commit(meta, options));
  }

  async #commit(meta: SnapshotMeta, options: CommitOptions): Promise<SnapshotInfo> {
    try {
      const [unclosed] = this.#open.keys();
      if (unclosed !== undefined) {
        throw new SnapshotError(
          "MALFORMED",
          `${JSON.stringify(unclosed)} was not written to its end: close its stream`,
          {
            file: unclosed,
          },
        );
      }
      const manifest = await SnapshotManifest.of(completeMeta(meta, Date.now()), this.#files);
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

  abort(reason?: unknown): Promise<void> {
    if (this.#state === "committing") return this.#committing!.then(() => {}, () => {});
    if (this.#state !== "open") return this.#aborted ?? Promise.resolve();
    this.#state = "done";
    return this.#aborted = (async () => {
      try {
        await Promise.all([...this.#open.values()].map((sink) => sink.discard(reason ?? closed())));
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
