/**
 * A file in OPFS that can be written to at positions, on every thread.
 *
 * A page can write to a file in OPFS only by writing a copy, which replaces the file when it is closed. So a file is a
 * directory of segments, each of which is replaced as a whole: `0`, `1`, … Writes are gathered in memory until a
 * segment is full, or the file is synced. If the tab is killed, each segment is either old or new, never mixed.
 *
 * @module
 */

import { inOpfs, namesInOpfs, type OpfsDirectory } from "../../opfs/mod.ts";
import { Segment, SEGMENT_SIZE, type Unwritten } from "./segment.ts";

/** A file in segments; all its users share one object. */
export class SegmentedFile {
  readonly #directory: OpfsDirectory;
  readonly #path: string;
  readonly #unwritten: Unwritten;
  readonly #segments = new Map<number, Segment>();

  /**
   * @param directory where its segments are
   * @param path for messages
   * @param unwritten shared by the files of a storage
   */
  constructor(directory: OpfsDirectory, path: string, unwritten: Unwritten) {
    this.#directory = directory;
    this.#path = path;
    this.#unwritten = unwritten;
  }

  /** Reads like {@linkcode MediumFile.read}; stops also at a segment that is missing or too short. */
  async read(buffer: Uint8Array, position: number): Promise<number> {
    for (let done = 0; done < buffer.length;) {
      const at = (position + done) % SEGMENT_SIZE;
      const part = buffer.subarray(done, done + SEGMENT_SIZE - at);
      const length = await this.#segmentAt(position + done).read(part, at);
      done += length;
      if (length < part.length) return done;
    }
    return buffer.length;
  }

  /** Writes like {@linkcode MediumFile.write}; when this resolves the bytes are in memory, or in a segment. */
  async write(bytes: Uint8Array, position: number): Promise<void> {
    await this.#unwritten.shrink();
    for (let done = 0; done < bytes.length;) {
      const at = (position + done) % SEGMENT_SIZE;
      const part = bytes.subarray(done, done + SEGMENT_SIZE - at);
      await this.#segmentAt(position + done).write(part, at);
      done += part.length;
    }
  }

  /** Writes the bytes in memory. */
  async sync(): Promise<void> {
    for (const segment of this.#segments.values()) await segment.flush();
  }

  /** The end of the last segment. */
  async size(): Promise<number> {
    const numbers = [...await this.#numbers()];
    for (const [n, segment] of this.#segments) if (segment.isUnwritten) numbers.push(n);
    if (numbers.length === 0) return 0;
    const last = numbers.reduce((a, b) => Math.max(a, b));
    return last * SEGMENT_SIZE + await this.#segmentAt(last * SEGMENT_SIZE).size();
  }

  /** Reports whether each segment is there with its length, and no other is. */
  async hasSize(size: number): Promise<boolean> {
    const count = Math.ceil(size / SEGMENT_SIZE);
    const numbers = await this.#numbers();
    if (numbers.size !== count) return false;
    for (let n = 0; n < count; n++) {
      if (!numbers.has(n)) return false;
      const expected = Math.min(SEGMENT_SIZE, size - n * SEGMENT_SIZE);
      if (await this.#segmentAt(n * SEGMENT_SIZE).size() !== expected) return false;
    }
    return true;
  }

  /** Reports whether a segment of the first `size` bytes is missing. */
  async lacks(size: number): Promise<boolean> {
    const numbers = await this.#numbers();
    for (let n = 0; n * SEGMENT_SIZE < size; n++) if (!numbers.has(n)) return true;
    return false;
  }

  /** Returns the time of the last change of a segment, in milliseconds since 1970. */
  async lastChange(): Promise<number> {
    let last = 0;
    for (const n of await this.#numbers()) {
      last = Math.max(last, await this.#segmentAt(n * SEGMENT_SIZE).changedAt());
    }
    return last;
  }

  /** Removes all entries that are no segments: the copies that a killed tab was writing to. */
  async tidy(): Promise<void> {
    for (const name of await this.#names()) {
      if (!isNumber(name)) await inOpfs("remove", this.#path, () => this.#directory.removeEntry(name));
    }
  }

  /** Discards the bytes in memory. */
  forget(): void {
    for (const segment of this.#segments.values()) segment.forget();
  }

  #segmentAt(position: number): Segment {
    const n = Math.floor(position / SEGMENT_SIZE);
    const found = this.#segments.get(n) ?? new Segment(this.#directory, n, this.#path, this.#unwritten);
    this.#segments.set(n, found);
    return found;
  }

  async #numbers(): Promise<Set<number>> {
    return new Set((await this.#names()).filter(isNumber).map(Number));
  }

  #names(): Promise<string[]> {
    return namesInOpfs(this.#directory, this.#path);
  }
}

function isNumber(name: string): boolean {
  return /^(0|[1-9][0-9]{0,9})$/.test(name);
}
