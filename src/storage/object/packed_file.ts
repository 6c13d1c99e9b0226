/**
 * A file of a snapshot in packs.
 *
 * @module
 */

import { raceAbort } from "../../async/mod.ts";
import { SnapshotError, throwIfCancelled } from "../../errors.ts";
import type { ByteRange } from "../../snapshot/mod.ts";
import type { ChunkMap } from "../../stream/mod.ts";
import type { MediumFile } from "../medium.ts";
import type { PackedContent, Window } from "./packed_content.ts";

/** The windows that are held at first: the one that is read, and the next two, which are fetched meanwhile. */
const FIRST_WINDOWS = 3;

/**
 * Reads a file through windows on the content; the next windows are fetched while one is read. A reader that comes to a
 * window before that is here reads faster than they come: from then on one more is fetched ahead, so that there are as
 * many under way as the bucket's latency and the reader's rate ask for.
 */
export class PackedFile implements MediumFile {
  readonly #content: PackedContent;
  readonly #chunks: ChunkMap;
  /** The number of its first chunk in the content. */
  readonly #base: number;
  /** The chunks that will be read, by their numbers in the file; none if that is not known. */
  readonly #planned: { readonly first: number; readonly end: number } | undefined;
  readonly #closing = new AbortController();
  #windows: Window[] = [];
  /** The window that was read last. */
  #current: Window | undefined;
  /** The windows that are held. */
  #held = FIRST_WINDOWS;

  /**
   * @param content what it is a part of
   * @param name the file
   * @param range what of it will be read, if that is known
   */
  constructor(content: PackedContent, name: string, range: ByteRange | undefined) {
    const { manifest } = this.#content = content;
    this.#base = manifest.content.firstChunk(name);
    this.#chunks = manifest.file(name).chunks!;
    const { start = 0, end = Infinity } = range ?? {};
    const last = Math.min(end, this.#chunks.size) - 1;
    this.#planned = range === undefined || last < start
      ? undefined
      : { first: this.#chunks.at(start), end: this.#chunks.at(last) + 1 };
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    const { signal } = this.#closing;
    throwIfCancelled(signal);
    const end = Math.min(position + buffer.length, this.#chunks.size);
    const parts: [chunk: number, window: Window][] = [];
    // All windows are held before the first await: the next read may release them.
    for (let i = this.#chunks.at(position); i < this.#chunks.count && this.#chunks.offset(i) < end; i++) {
      parts.push([i, this.#windowOf(i).hold()]);
    }
    try {
      for (const [i, window] of parts) {
        this.#copy(await raceAbort(this.#content.chunk(window, this.#base + i), signal), i, buffer, position);
      }
    } finally {
      for (const [, window] of parts) window.release();
    }
    return Math.max(end - position, 0);
  }

  async reread(buffer: Uint8Array, position: number): Promise<number> {
    const end = Math.min(position + buffer.length, this.#chunks.size);
    for (let i = this.#chunks.at(position); i < this.#chunks.count && this.#chunks.offset(i) < end; i++) {
      this.#copy(await this.#content.fetchAgain(this.#base + i, this.#closing.signal), i, buffer, position);
    }
    return Math.max(end - position, 0);
  }

  write(): Promise<void> {
    return Promise.reject(new SnapshotError("FORBIDDEN", "A snapshot cannot be changed"));
  }

  sync(): Promise<void> {
    return Promise.resolve();
  }

  size(): Promise<number> {
    return Promise.resolve(this.#chunks.size);
  }

  close(): Promise<void> {
    this.#closing.abort(new SnapshotError("CLOSED", "The file was closed"));
    for (const window of this.#windows.splice(0)) window.release();
    return Promise.resolve();
  }

  /** Copies the wanted part of a chunk. */
  #copy(bytes: Uint8Array, chunk: number, buffer: Uint8Array, position: number): void {
    const offset = this.#chunks.offset(chunk);
    const from = Math.max(position - offset, 0);
    const to = Math.min(position + buffer.length - offset, bytes.length);
    buffer.set(bytes.subarray(from, to), offset + from - position);
  }

  /** Returns the window that contains a chunk, and begins to fetch the next ones. */
  #windowOf(chunk: number): Window {
    const at = this.#base + chunk;
    const { first, end } = this.#planned ?? { first: chunk, end: chunk + 1 };
    const isPlanned = first <= chunk && chunk < end;
    const limit = this.#base + (isPlanned ? end : chunk + 1);
    const known = this.#windows.find((window) => window.has(at));
    const wasAhead = known !== undefined && known !== this.#current;
    if (wasAhead && !known.isHere && this.#held < this.#content.mostWindows) this.#held++;
    const window = this.#current = known ?? this.#begin(at, limit);
    const kept = this.#windows.filter(({ end }) => end > at).slice(-this.#held); // reading mostly goes forward
    for (const window of this.#windows) if (!kept.includes(window)) window.release();
    this.#windows = kept;
    for (let next = window.end; this.#windows.length < this.#held && next < limit;) {
      next = (this.#windows.find((window) => window.has(next)) ?? this.#begin(next, limit)).end;
    }
    if (chunk + 1 === this.#chunks.count) this.#content.passed(this.#base + this.#chunks.count);
    return window;
  }

  #begin(first: number, limit: number): Window {
    const window = this.#content.fetch(first, limit, this.#base + this.#chunks.count);
    this.#windows.push(window);
    window.onFailure(() => {
      const at = this.#windows.indexOf(window);
      if (at >= 0) this.#windows.splice(at, 1)[0]!.release();
    });
    return window;
  }
}
