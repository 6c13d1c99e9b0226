/**
 * Finding the chunks of a snapshot that are here already, so that they need not be sent.
 *
 * @module
 */

import { hasCode, throwIfCancelled } from "../errors.ts";
import { InFlight } from "../async/mod.ts";
import type { PrepareOptions } from "../snapshot/mod.ts";
import { type ChunkMap, toHex } from "../stream/mod.ts";
import type { Incoming, IncomingFiles } from "./incoming.ts";
import type { MediumFile, PlacedSnapshot } from "./medium.ts";
import { readChunk } from "./read_chunk.ts";
import { type WholeFile, wholeFiles } from "./whole_files.ts";

/** Chunks verified at the same time. */
const IN_FLIGHT = 4;

/** Finds chunks in the place of an install, and in other places of its medium. */
export class LocalChunks {
  readonly #files: IncomingFiles;
  #whole: ReadonlyMap<string, WholeFile> | undefined;
  readonly #snapshots: readonly PlacedSnapshot[];
  readonly #check: () => void;
  readonly #options: PrepareOptions;

  /**
   * @param files what is received
   * @param snapshots complete snapshots, newest first
   * @param check throws when nothing may be written any more
   * @param options the signal, and a listener
   */
  constructor(
    files: IncomingFiles,
    snapshots: readonly PlacedSnapshot[],
    check: () => void,
    options: PrepareOptions,
  ) {
    this.#files = files;
    this.#snapshots = snapshots;
    this.#check = check;
    this.#options = options;
  }

  /**
   * Marks the chunks that are right: in our place, in snapshots that are here, in the places of other installs.
   *
   * @param mine what our place has, or will have
   * @param isResumed true if an earlier install of the same snapshot left it
   * @param left other installs
   */
  async take(mine: PlacedSnapshot, isResumed: boolean, left: readonly PlacedSnapshot[]): Promise<void> {
    for (const file of this.#files) {
      throwIfCancelled(this.#options.signal);
      this.#check();
      if (isResumed && await this.#adopt(file) || await this.#link(file)) file.exists = true;
      // A file with chunks is made when its first chunk comes.
      else if (file.info.chunks.count === 0) await (await this.#files.openToWrite(file)).close();
    }
    await this.#copy([mine, ...this.#snapshots, ...left]);
  }

  /** Marks the chunks that a medium keeps by their digests: they are neither read nor written again. */
  takeKept(isKept: (digest: Uint8Array) => boolean): void {
    for (const file of this.#files) {
      const { chunks } = file.info;
      for (let i = 0; i < chunks.count; i++) {
        if (!isKept(chunks.digest(i))) continue;
        this.#files.mark(file, file.first + i);
        this.#options.onReused?.(chunks.length(i), 1);
      }
    }
  }

  /** Takes the file that an earlier install left. Returns whether there is one that can be written to. */
  async #adopt(file: Incoming): Promise<boolean> {
    // It may be a link to a file of another snapshot, damaged since, that must not be written to.
    const isUsable = await this.#look(file, this.#options.onReused);
    if (isUsable && (file.missing === 0 || this.#linkable(file) === undefined)) return true;
    await this.#files.forget(file);
    return false;
  }

  /** Links a file that another snapshot here has in full into this one. */
  async #link(file: Incoming): Promise<boolean> {
    const source = this.#linkable(file);
    if (source === undefined) return false;
    try {
      if (!await this.#files.place.link(source.place, source.name, file.info.name)) return false;
    } catch (error) {
      if (isUnusable(error)) return false;
      throw error;
    }
    if (await this.#look(file, undefined) && file.missing === 0) {
      this.#options.onReused?.(file.info.chunks.size, file.info.chunks.count);
      return true;
    }
    await this.#files.forget(file);
    return false;
  }

  /** A file of another snapshot that has the same content. */
  #linkable({ info: { chunks } }: Incoming): WholeFile | undefined {
    this.#whole ??= wholeFiles(this.#snapshots);
    return chunks.size > 0 ? this.#whole.get(toHex(chunks.root)) : undefined;
  }

  /** Marks the right chunks of a file in our place. Returns whether it can be used: it was read and is not too long. */
  async #look(file: Incoming, onReused: PrepareOptions["onReused"]): Promise<boolean> {
    try {
      const handle = await this.#files.place.open(file.info.name, "read");
      try {
        await this.#scan(file, handle, onReused);
        return await handle.size() <= file.info.chunks.size;
      } finally {
        await handle.close();
      }
    } catch (error) {
      if (isUnusable(error)) return false;
      throw error;
    }
  }

  /** Marks the chunks of a file that are there and right. */
  async #scan(file: Incoming, handle: MediumFile, onReused: PrepareOptions["onReused"]): Promise<void> {
    const { info: { chunks }, first } = file;
    const running = new InFlight<void>();
    const look = async (i: number) => {
      try {
        if (await this.#files.read(handle, file, first + i) === undefined) return;
        this.#files.mark(file, first + i);
        onReused?.(chunks.length(i), 1);
      } catch (error) {
        if (!isUnusable(error)) throw error;
      }
    };
    try {
      const size = await handle.size();
      for (let i = 0; i < chunks.count && chunks.offset(i) < size; i++) {
        throwIfCancelled(this.#options.signal);
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
  async #copy(sources: readonly PlacedSnapshot[]): Promise<void> {
    const files = this.#files;
    if (![...files].some(({ missing }) => missing > 0)) return;
    const running = new InFlight<void>();
    for (const { place, manifest } of sources) {
      for (const { name, chunks } of manifest.files) {
        if (chunks === undefined) continue;
        // Of what is received itself only verified chunks are a source.
        const own = place.name === files.place.name ? files.get(name)! : undefined;
        let source: MediumFile | undefined;
        try {
          for (let i = 0; i < chunks.count; i++) {
            if (!files.table.isWanted(chunks.digest(i)) || own && !files.table.has(own.first + i)) continue;
            throwIfCancelled(this.#options.signal);
            source ??= await place.open(name, "read");
            running.add(this.#copyChunk(source, name, chunks, i));
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

  async #copyChunk(source: MediumFile, name: string, chunks: ChunkMap, i: number): Promise<void> {
    const { signal, onReused } = this.#options;
    let bytes: Uint8Array;
    try {
      bytes = await readChunk(source, name, chunks, i);
    } catch (error) {
      if (isUnusable(error)) return; // the chunk is fetched instead
      throw error;
    }
    for (const twin of this.#files.table.take(chunks.digest(i))) {
      if (this.#files.table.has(twin)) continue;
      throwIfCancelled(signal);
      await this.#files.put(twin, bytes);
      onReused?.(bytes.length, 1);
    }
  }
}

/** Reports whether a file or chunk here, or the disk below it, cannot be used, so that it is fetched instead. */
function isUnusable(error: unknown): boolean {
  return hasCode(error, "CORRUPT", "NOT_FOUND", "FORBIDDEN", "UNAVAILABLE");
}
