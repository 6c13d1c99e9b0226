/**
 * Writes a snapshot into a place of a medium.
 *
 * @module
 */

import { checkFunction, checkString } from "../checks.ts";
import { hasCode, SnapshotError } from "../errors.ts";
import {
  attributesOf,
  checkCommitOptions,
  checkFileOptions,
  checkFiles,
  checkMeta,
  type CommitOptions,
  completeFile,
  completeMeta,
  type CreateOptions,
  type FileInfo,
  type FileOptions,
  MAX_MANIFEST_BYTES,
  NameSet,
  signed,
  type SnapshotInfo,
  SnapshotManifest,
  type SnapshotMeta,
  type SnapshotSeal,
  type SnapshotSigner,
  type SnapshotWriter,
  trailerOf,
} from "../snapshot/mod.ts";
import { mapAhead } from "../async/mod.ts";
import { DIGEST_SIZE, equal, toHex } from "../stream/mod.ts";
import { chooseChunkSize } from "./chunk_size.ts";
import { FileSink } from "./file_sink.ts";
import { FileSyncs } from "./file_syncs.ts";
import { PacedFile } from "./paced_file.ts";
import type { MediumFile, Place, PlacedSnapshot, PlaceWriter, Published } from "./medium.ts";
import { chunkWritten, readChunk } from "./read_chunk.ts";
import { Trial } from "./trial.ts";
import { type WholeFile, wholeFiles } from "./whole_files.ts";

/** More do not fit into a manifest. Counted as they come, since the size of an archive is not known before its end. */
const MAX_CHUNKS = MAX_MANIFEST_BYTES / DIGEST_SIZE;
/** Files of another snapshot that are linked and synced at the same time. */
const REUSED_AT_A_TIME = 8;

/** The part of its storage that a {@linkcode StoredWriter} needs. */
export interface WriterOwner {
  /** Makes the place a snapshot, after `trial` has run. */
  publish(place: Place, manifest: SnapshotManifest, trial: Trial): Promise<Published>;
  /** The writer has ended: committed or aborted. */
  released(): void;
  /** Complete snapshots whose files may be reused, newest first; none of them suspect. */
  snapshots(): readonly PlacedSnapshot[];
  /**
   * Returns the meta of the snapshot, with its group.
   *
   * @throws {SnapshotError} `FORBIDDEN` if it is of another group
   */
  grouped(meta: SnapshotMeta): SnapshotMeta;
  /** Signs the snapshot, if it is not signed. */
  readonly signer: SnapshotSigner | undefined;
  /** Options with the callbacks for progress. */
  readonly options: CreateOptions;
}

type Tell = (bytes: number, chunks: number) => void;

/** The writer of a storage on a medium. */
export class StoredWriter implements SnapshotWriter {
  readonly #place: Place;
  readonly #owner: WriterOwner;
  readonly #names = new NameSet();
  readonly #open = new Map<string, FileSink>();
  readonly #files = new Map<string, FileInfo>();
  /** What a commit and an abort wait for. */
  readonly #running = new Set<Promise<unknown>>();
  /** The chunks of each file. */
  readonly #counts = new Map<string, number>();
  /** By name: the index of the snapshot that a file was found in. */
  readonly #reused = new Map<string, bigint>();
  readonly #syncs = new FileSyncs();
  #chunks = 0;
  #seal: ((digest: Uint8Array) => Promise<SnapshotSeal>) | undefined;
  #state: "open" | "committing" | "done" = "open";
  #aborted: Promise<void> | undefined;
  #committing: Promise<SnapshotInfo> | undefined;
  readonly add?: NonNullable<SnapshotWriter["add"]>;

  /**
   * @param place an empty one
   * @param owner the storage
   */
  constructor(place: Place, owner: WriterOwner) {
    this.#place = place;
    this.#owner = owner;
    if (place.add === undefined) return;
    const writer: PlaceWriter = {
      isOpen: () => this.#state === "open",
      stream: (name, options, open) => this.#stream(name, options, open),
      withdraw: (name, reason) => this.#withdraw(name, reason),
      info: (name) => this.info(name),
    };
    this.add = async (path, name, options) => {
      this.#checkOpen();
      return await place.add!(writer, path, name, options);
    };
  }

  file(name: string, options: FileOptions = {}): WritableStream<Uint8Array> {
    return this.#stream(name, options, () => this.#place.open(name, "create"));
  }

  #stream(name: string, options: FileOptions, open: () => Promise<MediumFile>): WritableStream<Uint8Array> {
    const { size, chunkSize, keyGroups, encryption } = checkFileOptions(options);
    const attributes = attributesOf(options);
    const sink = new FileSink(
      () => {
        // Checked here, so that a wrong name fails the stream, as every other error does.
        this.#checkOpen();
        this.#names.add(name);
        this.#open.set(name, sink);
        return open();
      },
      chunkSize === "pieces" ? undefined : chooseChunkSize(chunkSize, size),
      {
        onClose: async (chunks, file) => {
          await this.#syncs.add(file);
          const trailer = await trailerOf(chunks, keyGroups, encryption);
          if (this.#open.get(name) !== sink) throw removed(name); // meanwhile
          this.#files.set(name, completeFile({ name, ...attributes, ...trailer }, chunks));
          this.#open.delete(name);
        },
        onBytes: this.#owner.options.onBytes,
        onChunks: (chunks) => {
          if (this.#open.get(name) !== sink) return; // it was removed
          this.#count(name, chunks);
          if (this.#chunks <= MAX_CHUNKS) return;
          throw new SnapshotError("MALFORMED", `A snapshot has at most ${MAX_CHUNKS} chunks: use larger ones`, {
            file: name,
            expected: MAX_CHUNKS,
          });
        },
      },
    );
    return new WritableStream(sink);
  }

  #count(name: string, chunks: number): void {
    this.#chunks += chunks;
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + chunks);
  }

  async remove(name: string): Promise<void> {
    checkString(name, "The name of a file");
    this.#checkOpen();
    if (!this.#open.has(name) && !this.#files.has(name)) throw notWritten(name);
    await this.#withdraw(name, removed(name));
  }

  /** A commit and an abort wait for it. */
  async #withdraw(name: string, reason: unknown): Promise<void> {
    const sink = this.#open.get(name);
    this.#chunks -= this.#counts.get(name) ?? 0;
    for (const kept of [this.#open, this.#files, this.#reused, this.#counts]) kept.delete(name);
    await this.#run(async () => {
      await sink?.discard(reason);
      await this.#syncs.ended(); // a browser removes no file that is open
      if (this.#state === "done") return; // its place is removed as a whole
      await this.#place.unlink(name);
      this.#names.delete(name);
    });
  }

  async #run<T>(work: () => Promise<T>): Promise<T> {
    const running = work();
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }

  files(): FileInfo[] {
    return [...this.#files.values()];
  }

  async reuse(files: readonly FileInfo[]): Promise<boolean> {
    checkFiles(files);
    this.#checkOpen();
    const whole = wholeFiles(this.#owner.snapshots());
    const found: [FileInfo, WholeFile][] = [];
    for (const file of files) {
      const same = file.chunks && whole.get(toHex(file.chunks.root));
      if (same === undefined) return false;
      found.push([file, same]);
    }
    if (!await this.#run(() => this.#reuseAll(found))) return false;
    for (const [file, { index, chunks }] of found) {
      // With the chunks of the other snapshot, since the root does not determine their lengths.
      this.#files.set(file.name, completeFile(file, chunks));
      this.#count(file.name, chunks.count);
      this.#reused.set(file.name, index);
    }
    return true;
  }

  async #reuseAll(files: readonly [FileInfo, WholeFile][]): Promise<boolean> {
    const taken: string[] = [];
    const told = { bytes: 0, chunks: 0 };
    const tell = (bytes: number, chunks: number) => {
      told.bytes += bytes;
      told.chunks += chunks;
      this.#owner.options.onReused?.(bytes, chunks);
    };
    let complete = false;
    try {
      for (const [{ name }] of files) {
        this.#names.add(name);
        taken.push(name);
      }
      const keeping = mapAhead(files, REUSED_AT_A_TIME, async ([{ name }, whole]) => {
        await this.#reuse(whole, name, tell);
        return await this.#keep(name, whole.chunks.size);
      });
      for await (const kept of keeping) if (!kept) return false;
      complete = true;
    } catch (error) {
      // The file there or its disk is bad: the caller writes the file anew, which succeeds or reports the error.
      if (hasCode(error, "CORRUPT", "NOT_FOUND", "FORBIDDEN", "UNAVAILABLE")) return false;
      throw error;
    } finally {
      if (!complete) {
        tell(-told.bytes, -told.chunks);
        await this.#giveBack(taken);
      }
    }
    return true;
  }

  async #giveBack(names: readonly string[]): Promise<void> {
    for (const name of names) {
      await this.#place.unlink(name);
      this.#names.delete(name);
    }
  }

  /** Links a file of another snapshot, or copies it where that cannot be done. */
  async #reuse(whole: WholeFile, name: string, tell: Tell): Promise<void> {
    this.#checkNotGivenUp();
    const { place, chunks } = whole;
    if (await this.#place.link(place, whole.name, name)) tell(chunks.size, chunks.count);
    else await this.#copy(whole, name, tell);
  }

  /** Syncs a linked file, since a storage without syncs may have written it. Returns whether its size is right. */
  async #keep(name: string, size: number): Promise<boolean> {
    const file = await this.#place.open(name, "update");
    try {
      await file.sync();
      return await file.size() === size;
    } finally {
      await file.close();
    }
  }

  /** Copies a file and reports each chunk, so that a large copy is not taken for a hang. */
  async #copy({ place, name, chunks }: WholeFile, as: string, tell: Tell): Promise<void> {
    const source = await place.open(name, "read");
    try {
      const target = new PacedFile(await this.#place.open(as, "create"));
      try {
        for (let i = 0; i < chunks.count; i++) {
          this.#checkNotGivenUp();
          const bytes = await readChunk(source, name, chunks, i);
          await target.write(bytes, chunks.offset(i), chunkWritten(chunks, i));
          tell(chunks.length(i), 1);
        }
        await target.sync();
      } finally {
        await target.close();
      }
    } finally {
      await source.close();
    }
  }

  #checkOpen(): void {
    if (this.#state !== "open") throw closed();
  }

  /** A commit waits for what is being reused; an abort does not. */
  #checkNotGivenUp(): void {
    if (this.#state === "done") throw closed();
  }

  info(name: string): FileInfo {
    const found = this.#files.get(checkString(name, "The name of a file"));
    if (found !== undefined) return found;
    throw notWritten(name);
  }

  sealWith(seal: (digest: Uint8Array) => Promise<SnapshotSeal>): void {
    checkFunction(seal, "seal");
    this.#seal = seal;
  }

  async commit(meta: SnapshotMeta, options: CommitOptions = {}): Promise<SnapshotInfo> {
    this.#checkOpen();
    this.#state = "committing";
    return await (this.#committing = this.#commit(meta, options));
  }

  async #commit(meta: SnapshotMeta, options: CommitOptions): Promise<SnapshotInfo> {
    try {
      const own = checkMeta(meta); // before the first await: the caller may change it afterwards
      const { digest } = checkCommitOptions(options);
      const [unclosed] = this.#open.keys();
      await Promise.allSettled(this.#running);
      if (unclosed !== undefined) {
        throw new SnapshotError(
          "MALFORMED",
          `${JSON.stringify(unclosed)} was not written to its end: close its stream, or remove it`,
          {
            file: unclosed,
          },
        );
      }
      const complete = this.#complete(this.#owner.grouped(own));
      await this.#syncs.durable();
      const files = [...this.#files.values()];
      let manifest = await SnapshotManifest.of(complete, files);
      if (digest !== undefined && !equal(digest, manifest.digest)) {
        throw new SnapshotError("CORRUPT", `Snapshot ${manifest.index} is not the one that was expected`, {
          index: manifest.index,
          expected: toHex(digest),
          actual: toHex(manifest.digest),
        });
      }
      // Both cover the digest and neither the other: checking the one does not need the key of the other.
      const seal = await this.#seal?.(manifest.digest) ?? complete.seal;
      const signature = complete.signature ?? await signed(this.#owner.signer, manifest.digest);
      if (seal !== complete.seal || signature !== complete.signature) {
        const marks = { ...(seal !== undefined && { seal }), ...(signature !== undefined && { signature }) };
        manifest = await SnapshotManifest.of({ ...complete, ...marks }, files);
      }
      const { info } = await this.#owner.publish(this.#place, manifest, new Trial(options));
      this.#state = "done";
      this.#owner.released();
      return info;
    } catch (error) {
      this.#state = "open";
      await this.abort(error).catch(() => {}); // if that fails, the next create removes it
      throw error;
    }
  }

  #complete(meta: SnapshotMeta): SnapshotMeta {
    let parentIndex = 0n;
    for (const index of this.#reused.values()) if (index > parentIndex) parentIndex = index;
    return completeMeta({ ...(parentIndex > 0n && { parentIndex }), ...meta }, Date.now());
  }

  abort(reason?: unknown): Promise<void> {
    if (this.#state === "committing") return this.#committing!.then(() => {}, () => {});
    if (this.#state !== "open") return this.#aborted ?? Promise.resolve();
    this.#state = "done";
    return this.#aborted = (async () => {
      try {
        await Promise.all([...this.#open.values()].map((sink) => sink.discard(reason ?? closed())));
        await Promise.allSettled(this.#running);
        await this.#syncs.ended();
        await this.#place.remove();
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
  return new SnapshotError("CLOSED", "This snapshot is not being written any more: it was committed or aborted");
}

function notWritten(name: string): SnapshotError {
  return new SnapshotError("NOT_FOUND", `No file ${JSON.stringify(name)} was written to its end`, { file: name });
}

function removed(name: string): SnapshotError {
  return new SnapshotError("CLOSED", `${JSON.stringify(name)} was removed from the snapshot`, { file: name });
}
