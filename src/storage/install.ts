/**
 * Receives a snapshot chunk by chunk into a place of a medium.
 *
 * @module
 */

import { checkBoolean, checkBytes, checkFunction, checkInteger, checkOptions } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import {
  type CheckOptions,
  checkPrepareOptions,
  checkReadOptions,
  type ChunkSpan,
  type PrepareOptions,
  type ReadOptions,
  type SnapshotInfo,
  type SnapshotInstall,
  type SnapshotManifest,
} from "../snapshot/mod.ts";
import { type ChunkSet, equal, sha256, streamFrom } from "../stream/mod.ts";
import { type Incoming, IncomingFiles } from "./incoming.ts";
import { superfluous } from "./leftovers.ts";
import { LocalChunks } from "./local_chunks.ts";
import type { MediumFile, Place, PlacedSnapshot, Places, Published } from "./medium.ts";
import { Trial } from "./trial.ts";

/** The number of interrupted installs that are kept: see `leftovers.ts`. */
const MAX_UNFINISHED = 4;

/** The part of its storage that a {@linkcode StoredInstall} needs. */
export interface InstallOwner {
  /** Complete snapshots to take chunks from, newest first. */
  snapshots(): readonly PlacedSnapshot[];
  /** Makes the place a snapshot, after `trial` has run. */
  publish(place: Place, manifest: SnapshotManifest, trial: Trial): Promise<Published>;
  /** The install has ended, for now or for good. */
  released(): void;
}

/** The install of a storage on a medium. */
export class StoredInstall implements SnapshotInstall {
  readonly manifest: SnapshotManifest;
  readonly #medium: Places;
  readonly #owner: InstallOwner;
  readonly #files: IncomingFiles;
  readonly #running = new Set<Promise<void>>();
  #onReused: PrepareOptions["onReused"];
  #state: "open" | "committing" | "committed" | "closed" = "open";
  #committing: Promise<SnapshotInfo> | undefined;
  #closing: Promise<void> | undefined;

  /**
   * @param medium has, or will have, a place for it
   * @param manifest what is received
   * @param owner the storage
   */
  constructor(medium: Places, manifest: SnapshotManifest, owner: InstallOwner) {
    this.#medium = medium;
    this.manifest = manifest;
    this.#owner = owner;
    this.#files = new IncomingFiles(medium.installPlace(manifest), manifest, () => this.#check());
  }

  async prepare(options: PrepareOptions = {}): Promise<void> {
    checkPrepareOptions(options);
    this.#check();
    await this.#track(this.#prepare(options));
  }

  async #prepare(options: PrepareOptions): Promise<void> {
    this.#onReused = options.onReused;
    await this.#medium.checkNames?.(this.manifest);
    const { place } = this.#files;
    const others = await this.#medium.installs();
    const mine = others.find((other) => other.place.name === place.name);
    const isResumed = mine !== undefined && equal(mine.manifest.digest, this.manifest.digest);
    if (!isResumed) {
      await place.clear();
      await place.describe(this.manifest);
    }
    const left = others.filter((other) => other.place.name !== place.name)
      .sort((a, b) => a.manifest.index < b.manifest.index ? 1 : -1);
    const kept = await place.kept?.();
    const local = new LocalChunks(this.#files, this.#owner.snapshots(), () => this.#check(), options);
    if (kept !== undefined) local.takeKept(kept);
    else await local.take({ place, manifest: this.manifest }, isResumed, left);
    // A peer that offers many snapshots must not fill the disk with them.
    const dropped = await superfluous(left, MAX_UNFINISHED - 1);
    for (const { place } of dropped) await place.remove().catch(() => {});
  }

  missing(): IterableIterator<ChunkSpan> {
    return this.#files.table.missing();
  }

  has(chunk: number): boolean {
    return this.#files.table.has(this.#numberOf(chunk));
  }

  expect(chunk: number, isExpected: boolean): void {
    checkBoolean(isExpected, "isExpected");
    this.#files.table.expect(this.#numberOf(chunk), isExpected);
  }

  held(): ChunkSet {
    return this.#files.table.held();
  }

  expected(): ChunkSet {
    return this.#files.table.expected();
  }

  file(name: string, options: ReadOptions = {}): ReadableStream<Uint8Array> {
    return streamFrom(this.#read(name, options));
  }

  async *#read(name: string, options: ReadOptions): AsyncGenerator<Uint8Array, void, undefined> {
    this.manifest.file(name);
    const { start, end, unverified } = checkReadOptions(options);
    const file = this.#files.get(name)!;
    const { chunks } = file.info;
    const stop = Math.min(end, chunks.size);
    let handle: MediumFile | undefined;
    try {
      for (let i = chunks.at(start); i < chunks.count && chunks.offset(i) < stop; i++) {
        if (this.#state === "closed") this.#check();
        if (!this.#files.table.has(file.first + i)) throw this.#notHere(file, i);
        handle ??= await this.#openHeld(name);
        const bytes = await this.#files.read(handle, file, file.first + i, unverified);
        if (bytes === undefined) {
          // It is not right any more: it counts as missing, and has to come again.
          if (this.#state === "open") this.#files.lose(file, file.first + i);
          throw this.#notHere(file, i);
        }
        yield bytes.subarray(Math.max(start - chunks.offset(i), 0), Math.min(stop - chunks.offset(i), bytes.length));
      }
    } finally {
      await handle?.close();
    }
  }

  /** Opens a file to be read. While the install becomes a snapshot, the place of its files is not known: this waits. */
  async #openHeld(name: string): Promise<MediumFile> {
    const { readable } = this.#files;
    try {
      return await readable.open(name, "read");
    } catch (error) {
      await this.#committing?.catch(() => {});
      if (this.#files.readable === readable) throw error;
      return await this.#files.readable.open(name, "read");
    }
  }

  #notHere({ info: { name } }: Incoming, chunk: number): SnapshotError {
    return new SnapshotError("NOT_FOUND", `Chunk ${chunk} of ${JSON.stringify(name)} has not come yet`, {
      file: name,
      chunk,
      index: this.manifest.index,
    });
  }

  async write(chunk: number, bytes: Uint8Array): Promise<void> {
    const number = this.#numberOf(chunk);
    const own = checkBytes(bytes, "bytes");
    this.#check();
    await this.#track(this.#write(number, own));
  }

  async #write(number: number, bytes: Uint8Array): Promise<void> {
    const { file: { name, chunks }, chunk } = this.manifest.content.locate(number);
    const { table } = this.#files;
    const digest = await sha256(bytes);
    if (!equal(digest, chunks.digest(chunk))) throw chunks.corrupt(chunk, name, digest);
    if (table.has(number)) return;
    // Its own place is written last: if another fails, the chunk is still missing, and comes again for all of them.
    for (const other of table.same(digest)) {
      if (other === number || table.has(other)) continue;
      await this.#files.put(other, bytes);
      this.#onReused?.(bytes.length, 1);
    }
    await this.#files.put(number, bytes);
  }

  async commit(options: CheckOptions = {}): Promise<SnapshotInfo> {
    checkOptions(options, { check: checkFunction });
    this.#check();
    for (const { first, end } of this.missing()) {
      const { file: { name }, chunk } = this.manifest.content.locate(first);
      const message = `Of ${JSON.stringify(name)} chunk ${chunk} is missing, and with it ${end - first} or more in all`;
      throw new SnapshotError("MALFORMED", message, { file: name, chunk });
    }
    this.#state = "committing";
    return await (this.#committing = this.#commit(options));
  }

  async #commit(options: CheckOptions): Promise<SnapshotInfo> {
    const trial = new Trial(options);
    try {
      await Promise.allSettled(this.#running); // chunks that came twice
      await this.#files.finish();
      const { info, place } = await this.#owner.publish(this.#files.place, this.manifest, trial);
      this.#files.readable = place; // reads of what was received continue from there
      this.#state = "committed";
      await this.#removeOlder().catch(() => {}); // the commit has succeeded, even if they stay
      return info;
    } catch (error) {
      if (trial.isFinal) await this.#drop();
      throw error;
    } finally {
      if (this.#state === "committing") this.#state = "open";
      else this.#owner.released();
    }
  }

  /** Drops what was received: it was never good here, and would be refused again. */
  async #drop(): Promise<void> {
    this.#state = "closed";
    await this.#files.close().catch(() => {});
    await this.#files.place.remove().catch(() => {}); // if that fails, it is swept when it is old
  }

  async #removeOlder(): Promise<void> {
    for (const { place, manifest } of await this.#medium.installs()) {
      if (manifest.index <= this.manifest.index) await place.remove();
    }
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    await this.#committing?.catch(() => {});
    if (this.#state !== "open") return;
    this.#state = "closed";
    try {
      await Promise.allSettled(this.#running);
      await this.#files.close();
    } finally {
      this.#owner.released();
    }
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #check(): void {
    if (this.#state !== "open") throw new SnapshotError("CLOSED", "This snapshot is not being received any more");
  }

  /** Runs work that {@linkcode close} waits for, so that nothing changes after it has resolved. */
  async #track(work: Promise<void>): Promise<void> {
    this.#running.add(work);
    try {
      await work;
    } finally {
      this.#running.delete(work);
    }
  }

  #numberOf(chunk: number): number {
    checkInteger(chunk, "The number of a chunk", 0, this.manifest.content.count - 1);
    return chunk;
  }
}
