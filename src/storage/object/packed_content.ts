/**
 * Reads a snapshot's files out of packs, with few requests.
 *
 * @module
 */

import type { SnapshotManifest } from "../../snapshot/mod.ts";
import { SnapshotError } from "../../errors.ts";
import type { LocatedManifest, Pack } from "./located_manifest.ts";
import type { RetryingBucket } from "../../bucket/mod.ts";

/** Requests at the same time. */
const REQUESTS = 6;
/** The most bytes of windows that a file holds, but for the first three. */
const MOST_BYTES = 56 * 1024 * 1024;
/** The largest gap between two wanted chunks that is fetched with them: another request would cost more. */
const GAP = 64 * 1024;
/** The number of buffers kept for reuse: new memory costs more than filling it. */
const MAX_FREE = 4;

/** A part of a pack that one request fetches. */
interface Part {
  readonly pack: Pack;
  readonly start: number;
  readonly end: number;
  readonly bytes: Promise<Uint8Array>;
}

/** A run of chunks of the content that is being fetched. Its last holder cancels it, and frees its memory. */
export class Window {
  /** The number of its first chunk in the content. */
  readonly first: number;
  /** The chunk before which it ends. */
  readonly end: number;
  readonly parts: readonly Part[];
  readonly #free: () => void;
  #holders = 1;
  #isHere = false;

  /** @param free is told when nobody holds it any more */
  constructor(first: number, end: number, parts: readonly Part[], free: () => void) {
    this.first = first;
    this.end = end;
    this.parts = parts;
    this.#free = free;
    void Promise.allSettled(parts.map(({ bytes }) => bytes)).then(() => this.#isHere = true);
  }

  /** True when all of it has come, or failed. */
  get isHere(): boolean {
    return this.#isHere;
  }

  has(chunk: number): boolean {
    return this.first <= chunk && chunk < this.end;
  }

  hold(): this {
    this.#holders++;
    return this;
  }

  release(): void {
    if (--this.#holders === 0) this.#free();
  }

  /** Calls back if a part cannot be fetched. */
  onFailure(callback: () => void): void {
    for (const { bytes } of this.parts) bytes.catch(callback);
  }
}

/** The content of one snapshot. */
export class PackedContent {
  readonly #bucket: RetryingBucket;
  readonly #located: LocatedManifest;
  readonly #windowSize: number;
  readonly #missing: (pack: Pack) => Promise<SnapshotError>;
  readonly #requests = new Set<Promise<unknown>>();
  readonly #buffers: Uint8Array[] = [];
  /** The last window that extends beyond its file, since a reader of one file mostly reads the next. */
  #ahead: Window | undefined;
  /** The first chunk after the last file that was read to its end. */
  #next = -1;

  /**
   * @param bucket has the packs
   * @param located the snapshot
   * @param windowSize bytes of content that are fetched together
   * @param missing gives the error if a pack is not there
   */
  constructor(
    bucket: RetryingBucket,
    located: LocatedManifest,
    windowSize: number,
    missing: (pack: Pack) => Promise<SnapshotError>,
  ) {
    this.#bucket = bucket;
    this.#located = located;
    this.#windowSize = windowSize;
    this.#missing = missing;
  }

  /** The most windows that a file may hold, beyond its first ones: all of them under way, but the one that is read. */
  get mostWindows(): number {
    return Math.min(REQUESTS + 1, Math.floor(MOST_BYTES / this.#windowSize));
  }

  /** The manifest of the snapshot. */
  get manifest(): SnapshotManifest {
    return this.#located.manifest;
  }

  /**
   * Begins to fetch a window; to be released.
   *
   * @param first the number of its first chunk in the content
   * @param limit the chunk before which it ends
   * @param fileEnd the chunk before which its file ends: if that is the limit, and the file before was read to its end
   *   too, the window extends into the next files
   */
  fetch(first: number, limit: number, fileEnd: number): Window {
    const { content } = this.#located.manifest;
    if (this.#ahead?.has(first)) return this.#ahead.hold();
    const isGoingOn = limit === fileEnd && this.#next === content.firstChunk(content.locate(first).file.name);
    let end = first;
    let size = 0;
    for (const last = isGoingOn ? content.count : limit; end < last; end++) {
      size += content.length(end);
      if (size > this.#windowSize && end > first) break;
    }
    const taken: Uint8Array[] = [];
    const unwanted = new AbortController(); // not one of a file: others may hold the window when that is closed
    const parts = this.#ranges(first, end).map(({ pack, start, end }) => {
      const buffer = this.#buffer(end - start);
      if (buffer !== undefined) taken.push(buffer);
      return { pack, start, end, bytes: this.#read(pack, start, end, unwanted.signal, buffer) };
    });
    const window = new Window(first, end, parts, () => {
      unwanted.abort(new SnapshotError("CLOSED", "Nobody reads this any more"));
      // A request may still be writing to them until it has ended.
      void Promise.allSettled(parts.map(({ bytes }) => bytes)).then(() => {
        this.#buffers.push(...taken.slice(0, MAX_FREE - this.#buffers.length));
      });
    });
    if (end > fileEnd) this.#goAhead(window.hold());
    window.onFailure(() => this.#ahead === window && this.#goAhead(undefined));
    return window;
  }

  /** Lets go of what was fetched ahead. */
  close(): void {
    this.#goAhead(undefined);
  }

  #goAhead(window: Window | undefined): void {
    this.#ahead?.release();
    this.#ahead = window;
  }

  /** Returns a buffer for this many bytes, if they are worth one. */
  #buffer(length: number): Uint8Array | undefined {
    if (length > this.#windowSize || length < this.#windowSize / 4) return undefined;
    return this.#buffers.pop() ?? new Uint8Array(this.#windowSize);
  }

  /** Returns the ranges to be read, in as few requests as the places of the chunks allow. */
  #ranges(first: number, end: number): Omit<Part, "bytes">[] {
    const { content } = this.#located.manifest;
    const ranges = Array.from({ length: end - first }, (_, i) => {
      const { pack, offset } = this.#located.locate(first + i);
      return { number: this.#located.packOf(first + i), pack, start: offset, end: offset + content.length(first + i) };
    }).sort((a, b) => a.number - b.number || a.start - b.start);
    const merged: typeof ranges = [];
    for (const range of ranges) {
      const last = merged.at(-1);
      if (last?.number === range.number && range.start <= last.end + GAP) last.end = Math.max(last.end, range.end);
      else merged.push(range);
    }
    return merged;
  }

  /** Returns a chunk of a window that is being held. */
  async chunk(window: Window, chunk: number): Promise<Uint8Array> {
    const { pack, offset } = this.#located.locate(chunk);
    const length = this.#located.manifest.content.length(chunk);
    const part = window.parts.find((part) =>
      part.pack === pack && part.start <= offset && offset + length <= part.end
    )!;
    return (await part.bytes).subarray(offset - part.start, offset - part.start + length);
  }

  /** Reads one chunk again, by another way: the pack that is read must match its entry in the list. */
  async fetchAgain(chunk: number, signal: AbortSignal): Promise<Uint8Array> {
    if (this.#ahead?.has(chunk)) this.#goAhead(undefined);
    const { pack, offset } = this.#located.locate(chunk);
    const length = this.#located.manifest.content.length(chunk);
    const range = { start: offset, end: offset + length };
    return (await this.#bucket.readAgain(`packs/${pack.name}`, { range, limit: length, signal })).bytes;
  }

  /** Notes that a file was read to its end. */
  passed(fileEnd: number): void {
    this.#next = fileEnd;
  }

  #read(
    pack: Pack,
    start: number,
    end: number,
    signal: AbortSignal,
    into: Uint8Array | undefined,
  ): Promise<Uint8Array> {
    const reading = (async () => {
      while (this.#requests.size >= REQUESTS) await Promise.race(this.#requests);
      const options = { range: { start, end }, limit: end - start, signal, into };
      const request = this.#bucket.readKnown(`packs/${pack.name}`, options);
      const ended = request.then(() => {}, () => {}).finally(() => this.#requests.delete(ended));
      this.#requests.add(ended);
      const found = await request;
      if (found === undefined) throw await this.#missing(pack);
      return found.bytes;
    })();
    reading.catch(() => {}); // a reader of this part gets the error
    return reading;
  }
}
