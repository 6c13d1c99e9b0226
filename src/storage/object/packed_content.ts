/**
 * Reading a snapshot's files out of packs, with few requests.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import type { ByteRange } from "../../snapshot/mod.ts";
import type { ChunkMap } from "../../stream/mod.ts";
import type { MediumFile } from "../medium.ts";
import type { LocatedManifest, Pack } from "./located_manifest.ts";
import type { SteadyBucket } from "./steady_bucket.ts";

/** Windows of a file that are fetched at the same time; with the one that is being read, that is what a stream holds. */
const WINDOWS = 3;
/** Requests at the same time. */
const REQUESTS = 6;
/** What lies between two chunks that are wanted is fetched with them, if it is no more than this: a request costs more. */
const GAP = 64 * 1024;

/** A run of chunks of the content, on their way. */
interface Window {
  /** The number of its first chunk in the content, and of the one before which it ends. */
  readonly first: number;
  readonly end: number;
  readonly parts: readonly Part[];
}

/** A part of a pack: what one request fetches. */
interface Part {
  readonly pack: Pack;
  readonly start: number;
  readonly end: number;
  readonly bytes: Promise<Uint8Array>;
}

/** The content of one snapshot. */
export class PackedContent {
  readonly #bucket: SteadyBucket;
  readonly #located: LocatedManifest;
  readonly #windowSize: number;
  readonly #missing: (pack: Pack) => Promise<SnapshotError>;
  readonly #requests = new Set<Promise<unknown>>();
  /** The last window that goes on beyond the file that it was fetched for: whoever reads one file mostly reads the next. */
  #ahead: Window | undefined;
  /** The chunk behind the last file that was read to its end. */
  #next = -1;

  /**
   * @param bucket has the packs
   * @param located the snapshot
   * @param windowSize bytes of content that are fetched together
   * @param missing gives the error if a pack is not there
   */
  constructor(
    bucket: SteadyBucket,
    located: LocatedManifest,
    windowSize: number,
    missing: (pack: Pack) => Promise<SnapshotError>,
  ) {
    this.#bucket = bucket;
    this.#located = located;
    this.#windowSize = windowSize;
    this.#missing = missing;
  }

  /**
   * Opens a file.
   *
   * @param range what of it will be read; nothing else is fetched then, but by its way what comes next
   */
  open(name: string, range?: ByteRange): MediumFile {
    return new PackedFile(this, this.#located, name, range);
  }

  /**
   * Begins to fetch a window.
   *
   * @param first the number of its first chunk in the content
   * @param limit the chunk before which it ends
   * @param fileEnd the chunk before which its file ends: if that is the limit, and the file before was read to its end too,
   *   the window goes on into the next files
   */
  fetch(first: number, limit: number, fileEnd: number, signal: AbortSignal): Window {
    const { content } = this.#located.manifest;
    const ahead = this.#ahead;
    if (ahead !== undefined && ahead.first <= first && first < ahead.end) return ahead;
    const isGoingOn = limit === fileEnd && this.#next === content.firstChunk(content.locate(first).file.name);
    let end = first;
    let size = 0;
    for (const last = isGoingOn ? content.count : limit; end < last; end++) {
      size += content.length(end);
      if (size > this.#windowSize && end > first) break;
    }
    const window = { first, end, parts: this.#parts(first, end, signal) };
    for (const { bytes } of window.parts) {
      bytes.catch(() => {
        if (this.#ahead === window) this.#ahead = undefined;
      });
    }
    if (end > fileEnd) this.#ahead = window;
    return window;
  }

  /** Fetches chunks with as few requests as their places allow. */
  #parts(first: number, end: number, signal: AbortSignal): Part[] {
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
    return merged.map(({ pack, start, end }) => ({ pack, start, end, bytes: this.#read(pack, start, end, signal) }));
  }

  /** A chunk of a window. */
  async chunk(window: Window, chunk: number): Promise<Uint8Array> {
    const { pack, offset } = this.#located.locate(chunk);
    const length = this.#located.manifest.content.length(chunk);
    const part = window.parts.find((part) =>
      part.pack === pack && part.start <= offset && offset + length <= part.end
    )!;
    return (await part.bytes).subarray(offset - part.start, offset - part.start + length);
  }

  /** Reads a chunk by itself, from the bucket. */
  async fetchOne(chunk: number, signal: AbortSignal): Promise<Uint8Array> {
    if (this.#ahead !== undefined && this.#ahead.first <= chunk && chunk < this.#ahead.end) this.#ahead = undefined;
    const { pack, offset } = this.#located.locate(chunk);
    return await this.#read(pack, offset, offset + this.#located.manifest.content.length(chunk), signal);
  }

  /** Takes note that a file was read to its end. */
  passed(fileEnd: number): void {
    this.#next = fileEnd;
  }

  #read(pack: Pack, start: number, end: number, signal: AbortSignal): Promise<Uint8Array> {
    const reading = (async () => {
      while (this.#requests.size >= REQUESTS) await Promise.race(this.#requests);
      const request = this.#bucket.read(`packs/${pack.name}`, { range: { start, end }, limit: end - start, signal });
      const ended = request.then(() => {}, () => {}).finally(() => this.#requests.delete(ended));
      this.#requests.add(ended);
      const found = await request;
      if (found === undefined) throw await this.#missing(pack);
      if (found.bytes.length === end - start) return found.bytes;
      throw new SnapshotError("CORRUPT", `Pack ${pack.name} has ${found.size} bytes: it was cut short`, {
        file: pack.name,
        expected: end,
        actual: found.size,
      });
    })();
    reading.catch(() => {}); // seen by who reads it, if anybody does
    return reading;
  }
}

/** A file of a snapshot in packs. */
class PackedFile implements MediumFile {
  readonly #content: PackedContent;
  readonly #chunks: ChunkMap;
  /** The number of its first chunk in the content. */
  readonly #base: number;
  /** The chunks that will be read, by their numbers in the file; none if that is not known. */
  readonly #planned: { readonly first: number; readonly end: number } | undefined;
  readonly #closing = new AbortController();
  #windows: Window[] = [];

  constructor(content: PackedContent, located: LocatedManifest, name: string, range: ByteRange | undefined) {
    const all = located.manifest.content;
    this.#content = content;
    this.#base = all.firstChunk(name);
    this.#chunks = located.manifest.file(name).chunks!;
    const { start = 0, end = Infinity } = range ?? {};
    const last = Math.min(end, this.#chunks.size) - 1;
    this.#planned = range === undefined || last < start
      ? undefined
      : { first: this.#chunks.at(start), end: this.#chunks.at(last) + 1 };
  }

  async read(buffer: Uint8Array, position: number): Promise<number> {
    const end = Math.min(position + buffer.length, this.#chunks.size);
    const parts: [chunk: number, window: Window][] = [];
    // All windows at once, in this turn: what is read next may let go of them.
    for (let i = this.#chunks.at(position); i < this.#chunks.count && this.#chunks.offset(i) < end; i++) {
      parts.push([i, this.#windowOf(i)]);
    }
    for (const [i, window] of parts) this.#copy(await this.#content.chunk(window, this.#base + i), i, buffer, position);
    return Math.max(end - position, 0);
  }

  async reread(buffer: Uint8Array, position: number): Promise<number> {
    const end = Math.min(position + buffer.length, this.#chunks.size);
    for (let i = this.#chunks.at(position); i < this.#chunks.count && this.#chunks.offset(i) < end; i++) {
      this.#copy(await this.#content.fetchOne(this.#base + i, this.#closing.signal), i, buffer, position);
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
    this.#windows = [];
    return Promise.resolve();
  }

  /** Copies what of a chunk was asked for. */
  #copy(bytes: Uint8Array, chunk: number, buffer: Uint8Array, position: number): void {
    const offset = this.#chunks.offset(chunk);
    const from = Math.max(position - offset, 0);
    const to = Math.min(position + buffer.length - offset, bytes.length);
    buffer.set(bytes.subarray(from, to), offset + from - position);
  }

  /** The window that a chunk lies in; those that come next are begun. */
  #windowOf(chunk: number): Window {
    const at = this.#base + chunk;
    const { first, end } = this.#planned ?? { first: chunk, end: chunk + 1 };
    const isPlanned = first <= chunk && chunk < end;
    const limit = this.#base + (isPlanned ? end : chunk + 1);
    let window = this.#windows.find(({ first, end }) => first <= at && at < end);
    if (window === undefined) this.#windows.push(window = this.#begin(at, limit));
    this.#windows = this.#windows.filter(({ end }) => end > at).slice(-WINDOWS); // it goes forward, mostly
    let next = window.end;
    while (this.#windows.length < WINDOWS && next < limit) {
      const found = this.#windows.find(({ first }) => first === next) ?? this.#begin(next, limit);
      if (!this.#windows.includes(found)) this.#windows.push(found);
      next = found.end;
    }
    if (chunk + 1 === this.#chunks.count) this.#content.passed(this.#base + this.#chunks.count);
    return window;
  }

  #begin(first: number, limit: number): Window {
    const window = this.#content.fetch(first, limit, this.#base + this.#chunks.count, this.#closing.signal);
    for (const { bytes } of window.parts) {
      bytes.catch(() => this.#windows = this.#windows.filter((other) => other !== window));
    }
    return window;
  }
}
