/**
 * Receives a snapshot chunk by chunk into a place of a medium, and finds chunks that need not be sent, there and in
 * other snapshots.
 *
 * @module
 */

import { checkBoolean, checkBytes, checkFunction, checkInteger, checkOptions, checkString } from "../checks.ts";
import { hasCode, SnapshotError, throwIfCancelled } from "../errors.ts";
import {
  type CheckOptions,
  checkPrepareOptions,
  checkReadOptions,
  type ChunkRun,
  type PrepareOptions,
  type ReadOptions,
  type SnapshotInfo,
  type SnapshotInstall,
  type SnapshotManifest,
} from "../snapshot/mod.ts";
import { InFlight, mapAhead } from "../async/mod.ts";
import { type ChunkMap, ChunkSet, equal, sha256, streamFrom, toHex } from "../stream/mod.ts";
import { HandlePool } from "./handle_pool.ts";
import { type Incoming, type IncomingChunk, IncomingChunks } from "./incoming.ts";
import { superfluous } from "./leftovers.ts";
import type { MediumFile, PlacedSnapshot, Places, Published } from "./medium.ts";
import { chunkWritten, readChunk, readIfRight } from "./read_chunk.ts";
import { Trial } from "./trial.ts";
import { type WholeFile, wholeFiles } from "./whole_files.ts";

/** Chunks verified at the same time while looking for those that are here. */
const IN_FLIGHT = 4;
/** Files made durable at the same time, if they were found here. */
const SYNCS_IN_FLIGHT = 16;
/** The number of interrupted installs that are kept: see `leftovers.ts`. */
const MAX_UNFINISHED = 4;

/** The part of its storage that a {@linkcode StoredInstall} needs. */
export interface InstallOwner {
  /** Complete snapshots to take chunks from, newest first. */
  snapshots(): readonly PlacedSnapshot[];
  /** Makes the place a snapshot, after `trial` has run. */
  publish(place: string, manifest: SnapshotManifest, trial: Trial): Promise<Published>;
  /** The install has ended, for now or for good. */
  released(): void;
}

/** The install of a storage on a medium. */
export class StoredInstall implements SnapshotInstall {
  readonly manifest: SnapshotManifest;
  readonly #medium: Places;
  /** The place of the install, and that of the snapshot once it is one. */
  #place: string;
  readonly #owner: InstallOwner;
  readonly #files: ReadonlyMap<string, Incoming>;
  readonly #handles: HandlePool;
  readonly #running = new Set<Promise<void>>();
  #index: IncomingChunks | undefined;
  #onReused: PrepareOptions["onReused"];
  #whole: ReadonlyMap<string, WholeFile> | undefined;
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
    this.#place = medium.installPlace(manifest);
    this.#handles = new HandlePool((name) => this.#openToWrite(name));
    this.#files = new Map(
      manifest.content.files.map((info) => {
        const { name, chunks } = info;
        const [have, expected] = [new Uint8Array(chunks.count), new Uint8Array(chunks.count)];
        return [name, { info, chunks, have, expected, missing: chunks.count, exists: false, begun: 0 }];
      }),
    );
  }

  async prepare(options: PrepareOptions = {}): Promise<void> {
    checkPrepareOptions(options);
    this.#check();
    await this.#track(this.#prepare(options));
  }

  async #prepare(options: PrepareOptions): Promise<void> {
    this.#onReused = options.onReused;
    await this.#medium.checkNames?.(this.manifest);
    const others = await this.#medium.installs();
    const mine = others.find(({ place }) => place === this.#place);
    const resumed = mine !== undefined && equal(mine.manifest.digest, this.manifest.digest);
    if (!resumed) {
      await this.#medium.clear(this.#place);
      await this.#medium.describe(this.#place, this.manifest);
    }
    const left = others.filter(({ place }) => place !== this.#place)
      .sort((a, b) => a.manifest.index < b.manifest.index ? 1 : -1);
    const kept = await this.#medium.kept?.(this.#place);
    if (kept !== undefined) this.#takeKept(kept, options);
    else await this.#takeWritten(resumed, left, options);
    // A peer that offers many snapshots must not fill the disk with them.
    const dropped = await superfluous(this.#medium, left, MAX_UNFINISHED - 1);
    for (const { place } of dropped) await this.#medium.remove(place).catch(() => {});
  }

  /** Marks the chunks that are right: in our place, in snapshots that are here, in the places of other installs. */
  async #takeWritten(resumed: boolean, left: readonly PlacedSnapshot[], options: PrepareOptions): Promise<void> {
    for (const file of this.#files.values()) {
      throwIfCancelled(options.signal);
      this.#check();
      if (resumed && await this.#adopt(file, options) || await this.#link(file, options)) file.exists = true;
      // A file with chunks is made when its first chunk comes.
      else if (file.chunks.count === 0) await (await this.#openToWrite(file.info.name)).close();
    }
    const mineNow = { place: this.#place, manifest: this.manifest };
    await this.#copy([mineNow, ...this.#owner.snapshots(), ...left], options);
  }

  /** Marks the chunks that a medium keeps by their digests: they are neither read nor written again. */
  #takeKept(isKept: (digest: Uint8Array) => boolean, { onReused }: PrepareOptions): void {
    for (const file of this.#files.values()) {
      const { chunks } = file;
      for (let i = 0; i < chunks.count; i++) {
        if (!isKept(chunks.digest(i))) continue;
        this.#mark(file, i);
        onReused?.(chunks.length(i), 1);
      }
    }
  }

  has(name: string, chunk: number): boolean {
    checkString(name, "file");
    checkInteger(chunk, "chunk");
    return this.#files.get(name)?.have[chunk] === 1;
  }

  expect(name: string, chunk: number, isExpected: boolean): void {
    checkString(name, "file");
    checkInteger(chunk, "chunk");
    checkBoolean(isExpected, "isExpected");
    const file = this.#files.get(name);
    if (file !== undefined) file.expected[chunk] = isExpected ? 1 : 0;
  }

  held(): ChunkSet {
    return this.#set(({ have }, i) => have[i] === 1);
  }

  expected(): ChunkSet {
    return this.#set(({ have, expected }, i) => have[i] === 1 || expected[i] === 1);
  }

  #set(has: (file: Incoming, chunk: number) => boolean): ChunkSet {
    const set = new ChunkSet(this.manifest.content.count);
    let start = 0;
    for (const file of this.#files.values()) {
      for (let i = 0; i < file.have.length; i++) if (has(file, i)) set.add(start + i);
      start += file.have.length;
    }
    return set;
  }

  file(name: string, options: ReadOptions = {}): ReadableStream<Uint8Array> {
    return streamFrom(this.#read(name, options));
  }

  async *#read(name: string, options: ReadOptions): AsyncGenerator<Uint8Array, void, undefined> {
    this.manifest.file(name);
    const { start, end, unverified } = checkReadOptions(options);
    const file = this.#files.get(name)!;
    const { chunks } = file;
    const stop = Math.min(end, chunks.size);
    let handle: MediumFile | undefined;
    try {
      for (let i = chunks.at(start); i < chunks.count && chunks.offset(i) < stop; i++) {
        if (this.#state === "closed") this.#check();
        if (file.have[i] !== 1) throw this.#notHere(name, i);
        handle ??= await this.#openHeld(name);
        const bytes = await this.#readHeld(handle, file, i, unverified);
        yield bytes.subarray(Math.max(start - chunks.offset(i), 0), Math.min(stop - chunks.offset(i), bytes.length));
      }
    } finally {
      await handle?.close();
    }
  }

  /** Opens a file to be read. While the install becomes a snapshot, the place of its files is not known: this waits. */
  async #openHeld(name: string): Promise<MediumFile> {
    const place = this.#place;
    try {
      return await this.#medium.open(place, name, "read");
    } catch (error) {
      await this.#committing?.catch(() => {});
      if (this.#place === place) throw error;
      return await this.#medium.open(this.#place, name, "read");
    }
  }

  /** Reads a chunk that is here. A chunk that is not right any more counts as missing and has to come again. */
  async #readHeld(handle: MediumFile, file: Incoming, chunk: number, unverified: boolean): Promise<Uint8Array> {
    if (unverified) {
      const bytes = new Uint8Array(file.chunks.length(chunk));
      if (await handle.read(bytes, file.chunks.offset(chunk)) === bytes.length) return bytes;
    }
    const bytes = await readIfRight(handle, file.chunks, chunk);
    if (bytes !== undefined) return bytes;
    if (this.#state === "open" && file.have[chunk] === 1) {
      file.have[chunk] = 0;
      file.missing++;
    }
    throw this.#notHere(file.info.name, chunk);
  }

  #notHere(file: string, chunk: number): SnapshotError {
    return new SnapshotError("NOT_FOUND", `Chunk ${chunk} of ${JSON.stringify(file)} has not come yet`, {
      file,
      chunk,
      index: this.manifest.index,
    });
  }

  *missing(): IterableIterator<ChunkRun> {
    for (const file of this.#files.values()) {
      if (file.missing === 0) continue;
      const wanted = (chunk: number) => file.have[chunk] === 0 && !this.#chunks.isSpokenFor({ file, chunk });
      const { count } = file.chunks;
      for (let first = 0; first < count; first++) {
        if (!wanted(first)) continue;
        let end = first + 1;
        while (end < count && wanted(end)) end++;
        yield { file: file.info, first, end };
        first = end;
      }
    }
  }

  /** Made on demand: often nothing is missing of a snapshot that is here, or of most of its files. */
  get #chunks(): IncomingChunks {
    return this.#index ??= new IncomingChunks(this.manifest.content, this.#files);
  }

  async write(name: string, chunk: number, bytes: Uint8Array): Promise<void> {
    checkString(name, "file");
    checkInteger(chunk, "chunk");
    const own = checkBytes(bytes, "bytes");
    this.#check();
    await this.#track(this.#write(name, chunk, own));
  }

  async #write(name: string, chunk: number, bytes: Uint8Array): Promise<void> {
    const file = this.#files.get(name);
    if (file === undefined || chunk >= file.chunks.count) {
      throw new SnapshotError(
        "MALFORMED",
        `Snapshot ${this.manifest.index} has no chunk ${chunk} of ${JSON.stringify(name)}`,
        {
          file: name,
          chunk,
        },
      );
    }
    const digest = await sha256(bytes);
    if (!equal(digest, file.chunks.digest(chunk))) throw file.chunks.corrupt(chunk, name, digest);
    if (file.have[chunk] === 1) return;
    // Its own place is written last: if another fails, the chunk is still missing, and comes again for all of them.
    for (const other of this.#chunks.find(digest)) {
      if (other.file === file && other.chunk === chunk || other.file.have[other.chunk] === 1) continue;
      await this.#put(other, bytes);
      this.#onReused?.(bytes.length, 1);
    }
    await this.#put({ file, chunk }, bytes);
  }

  /** Writes a verified chunk to its place. */
  async #put({ file, chunk }: IncomingChunk, bytes: Uint8Array): Promise<void> {
    const { name } = file.info;
    this.#check();
    await this.#durably(file, async () => {
      const { begun } = file;
      await this.#handles.use(name, async (handle) => {
        await handle.write(bytes, file.chunks.offset(chunk), chunkWritten(file.chunks, chunk));
        if (file.begun === begun) return this.#mark(file, chunk) === 0;
        throw new SnapshotError("UNAVAILABLE", `${JSON.stringify(name)} is begun anew, since it could not be synced`, {
          file: name,
          chunk,
        });
      });
    });
  }

  async commit(options: CheckOptions = {}): Promise<SnapshotInfo> {
    checkOptions(options, { check: checkFunction });
    this.#check();
    for (const { file, first, end } of this.missing()) {
      throw new SnapshotError(
        "MALFORMED",
        `Chunks ${first} to ${end - 1} of ${JSON.stringify(file.name)} are missing`,
        {
          file: file.name,
          chunk: first,
        },
      );
    }
    this.#state = "committing";
    return await (this.#committing = this.#commit(options));
  }

  async #commit(options: CheckOptions): Promise<SnapshotInfo> {
    const trial = new Trial(options);
    try {
      await Promise.allSettled(this.#running); // chunks that came twice
      // Files that were found here too: they may be in the page cache only, written by a process that was killed.
      const finishing = mapAhead(this.#files, SYNCS_IN_FLIGHT, ([name, file]) => {
        return this.#durably(file, () => this.#handles.finish(name));
      });
      for await (const _ of finishing);
      const { info, place } = await this.#owner.publish(this.#place, this.manifest, trial);
      this.#place = place; // reads of what was received continue from there
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
    await this.#handles.close().catch(() => {});
    await this.#medium.remove(this.#place).catch(() => {}); // if that fails, it is swept when it is old
  }

  async #removeOlder(): Promise<void> {
    for (const { place, manifest } of await this.#medium.installs()) {
      if (manifest.index <= this.manifest.index) await this.#medium.remove(place);
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
      await this.#handles.close();
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

  /** Notes that a chunk is here; returns the number of chunks of the file that are not. */
  #mark(file: Incoming, chunk: number): number {
    if (file.have[chunk] === 0) {
      file.have[chunk] = 1;
      file.missing--;
    }
    return file.missing;
  }

  /**
   * Writes to a file, or makes it durable. If a sync fails, the kernel may have dropped written pages that can still be
   * read, and a retry would succeed: so the file is begun anew.
   */
  async #durably(file: Incoming, verb: () => Promise<void>): Promise<void> {
    while (file.beginning !== undefined) await file.beginning;
    try {
      await verb();
    } catch (error) {
      // If that fails too there is no file, and the next write fails.
      await (file.beginning ??= this.#beginAnew(file).catch(() => {}).finally(() => delete file.beginning));
      throw error;
    }
  }

  /** Begins a file anew if it could not be made durable. */
  async #beginAnew(file: Incoming): Promise<void> {
    if (await this.#handles.discardBroken(file.info.name)) await this.#forget(file);
  }

  /** Opens a file to be written to; makes it if there is none. */
  async #openToWrite(name: string): Promise<MediumFile> {
    const file = this.#files.get(name)!;
    const opened = await this.#medium.open(this.#place, name, file.exists ? "update" : "create");
    file.exists = true;
    return opened;
  }

  /** Takes the file that an earlier install left. Returns whether there is one that can be written to. */
  async #adopt(file: Incoming, options: PrepareOptions): Promise<boolean> {
    // It may be a link to a file of another snapshot, damaged since, that must not be written to.
    if (await this.#look(file, options) && (file.missing === 0 || this.#linkable(file) === undefined)) return true;
    await this.#forget(file);
    return false;
  }

  /** Links a file that another snapshot here has in full into this one. */
  async #link(file: Incoming, options: PrepareOptions): Promise<boolean> {
    const source = this.#linkable(file);
    if (source === undefined) return false;
    try {
      if (!await this.#medium.link(source.place, this.#place, source.name, file.info.name)) return false;
    } catch (error) {
      if (isUnusable(error)) return false;
      throw error;
    }
    if (await this.#look(file, { signal: options.signal }) && file.missing === 0) {
      options.onReused?.(file.chunks.size, file.chunks.count);
      return true;
    }
    await this.#forget(file);
    return false;
  }

  /** Marks the right chunks of a file in our place. Returns whether it can be used: it was read and is not too long. */
  async #look(file: Incoming, options: PrepareOptions): Promise<boolean> {
    try {
      const handle = await this.#medium.open(this.#place, file.info.name, "read");
      try {
        await this.#scan(file, handle, options);
        return await handle.size() <= file.chunks.size;
      } finally {
        await handle.close();
      }
    } catch (error) {
      if (isUnusable(error)) return false;
      throw error;
    }
  }

  /** A file of another snapshot that has the same content. */
  #linkable({ chunks }: Incoming): WholeFile | undefined {
    this.#whole ??= wholeFiles(this.#owner.snapshots());
    return chunks.size > 0 ? this.#whole.get(toHex(chunks.root)) : undefined;
  }

  /** Removes a file and everything that is known of it. */
  async #forget(file: Incoming): Promise<void> {
    file.have.fill(0);
    file.missing = file.chunks.count;
    file.exists = false;
    file.begun++;
    await this.#medium.unlink(this.#place, file.info.name);
  }

  /** Marks the chunks of a file that are there and right. */
  async #scan(file: Incoming, handle: MediumFile, { signal, onReused }: PrepareOptions): Promise<void> {
    const running = new InFlight<void>();
    const look = async (i: number) => {
      try {
        if (await readIfRight(handle, file.chunks, i) === undefined) return;
        this.#mark(file, i);
        onReused?.(file.chunks.length(i), 1);
      } catch (error) {
        if (!isUnusable(error)) throw error;
      }
    };
    try {
      const size = await handle.size();
      for (let i = 0; i < file.chunks.count && file.chunks.offset(i) < size; i++) {
        throwIfCancelled(signal);
        this.#check();
        running.add(look(i));
        if (running.size >= IN_FLIGHT) await running.next();
      }
      while (running.size > 0) await running.next();
    } finally {
      await running.settled();
    }
  }

  /** Copies missing chunks from any source that has a chunk with the same digest. */
  async #copy(sources: readonly PlacedSnapshot[], options: PrepareOptions): Promise<void> {
    if (![...this.#files.values()].some(({ missing }) => missing > 0)) return;
    const running = new InFlight<void>();
    for (const { place, manifest } of sources) {
      for (const { name, chunks } of manifest.files) {
        if (chunks === undefined) continue;
        let source: MediumFile | undefined;
        try {
          for (let i = 0; i < chunks.count; i++) {
            if (!this.#chunks.isWanted(chunks.digest(i)) || place === this.#place && !this.has(name, i)) continue;
            throwIfCancelled(options.signal);
            source ??= await this.#medium.open(place, name, "read");
            running.add(this.#copyChunk(source, name, chunks, i, options.signal));
            if (running.size >= IN_FLIGHT) await running.next();
          }
          while (running.size > 0) await running.next();
        } catch (error) {
          // An install that did not reach this file, or a file that cannot be read. An error on our side is thrown.
          if (source !== undefined || !isUnusable(error)) throw error;
        } finally {
          await running.settled();
          await source?.close();
        }
      }
    }
  }

  async #copyChunk(
    source: MediumFile,
    name: string,
    chunks: ChunkMap,
    i: number,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    let bytes: Uint8Array;
    try {
      bytes = await readChunk(source, name, chunks, i);
    } catch (error) {
      if (isUnusable(error)) return; // the chunk is fetched instead
      throw error;
    }
    for (const twin of this.#chunks.take(chunks.digest(i))) {
      if (twin.file.have[twin.chunk] === 1) continue;
      throwIfCancelled(signal);
      await this.#put(twin, bytes);
      this.#onReused?.(bytes.length, 1);
    }
  }
}

/** Reports whether a file or chunk here, or the disk below it, cannot be used, so that it is fetched instead. */
function isUnusable(error: unknown): boolean {
  return hasCode(error, "CORRUPT", "NOT_FOUND", "FORBIDDEN", "UNAVAILABLE");
}
