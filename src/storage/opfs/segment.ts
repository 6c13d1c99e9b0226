/**
 * A segment of a file in OPFS, replaced as a whole from pieces that are gathered in memory.
 *
 * @module
 */

import { hasCode } from "../../errors.ts";
import { inOpfs, type OpfsDirectory, type OpfsFile } from "../../opfs/mod.ts";

/** The size of every segment but the last. Part of the format. Larger ones are not written faster. */
export const SEGMENT_SIZE: number = 2 * 1024 * 1024;

/** The most bytes that are in memory only, of all files together. */
const MAX_UNWRITTEN = 32 * 1024 * 1024;

/** The number of segment buffers kept for reuse. */
const MAX_FREE = 4;

/** The bytes of a storage's files that are in memory only. */
export class Unwritten {
  /** By segment the number of its bytes; oldest segment first. */
  readonly #segments = new Map<Segment, number>();
  readonly #free: Uint8Array[] = [];
  #bytes = 0;

  /** Adds to the bytes of a segment, or subtracts. Returns its new number of bytes. */
  add(segment: Segment, bytes: number): number {
    this.#bytes += bytes;
    const now = (this.#segments.get(segment) ?? 0) + bytes;
    if (now === 0) this.#segments.delete(segment);
    else this.#segments.set(segment, now);
    return now;
  }

  /** Runs `verb` with a buffer for a segment. The buffer is reused, so it holds old data. */
  async withBuffer(verb: (buffer: Uint8Array) => Promise<void>): Promise<void> {
    const buffer = this.#free.pop() ?? new Uint8Array(SEGMENT_SIZE);
    try {
      await verb(buffer);
    } finally {
      if (this.#free.length < MAX_FREE) this.#free.push(buffer);
    }
  }

  /** Writes segments until there is room. */
  async shrink(): Promise<void> {
    while (this.#bytes > MAX_UNWRITTEN) {
      const [oldest] = this.#segments.keys();
      await oldest!.flush();
    }
  }
}

/** Bytes that were written at a position of a segment. */
interface Piece {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** A segment of a file. */
export class Segment {
  readonly #directory: OpfsDirectory;
  readonly #name: string;
  readonly #path: string;
  readonly #unwritten: Unwritten;
  #handle: OpfsFile | undefined;
  /** The pieces that are in memory only, in the order in which they were written. */
  readonly #pieces: Piece[] = [];
  #flushing: Promise<void> | undefined;
  /** The number of times that it was replaced. */
  #version = 0;

  constructor(directory: OpfsDirectory, n: number, path: string, unwritten: Unwritten) {
    this.#directory = directory;
    this.#name = String(n);
    this.#path = `${path}/${n}`;
    this.#unwritten = unwritten;
  }

  get isUnwritten(): boolean {
    return this.#pieces.length > 0;
  }

  async write(bytes: Uint8Array, at: number): Promise<void> {
    const piece = { at, bytes: bytes.slice() };
    this.#pieces.push(piece);
    if (this.#unwritten.add(this, bytes.length) < SEGMENT_SIZE) return;
    try {
      await this.flush();
    } catch (error) {
      const i = this.#pieces.indexOf(piece);
      if (i >= 0) this.#drop(i, 1); // a failed write must leave no piece
      throw error;
    }
  }

  /** Writes the pieces in memory; pieces that cannot be written stay there. */
  async flush(): Promise<void> {
    while (this.#flushing !== undefined) await this.#flushing.catch(() => {});
    if (this.#pieces.length === 0) return;
    this.#flushing = this.#flush().finally(() => this.#flushing = undefined);
    await this.#flushing;
  }

  async #flush(): Promise<void> {
    const count = this.#pieces.length;
    await this.#unwritten.withBuffer(async (whole) => {
      const length = await this.#read(whole, 0);
      await inOpfs("write", this.#path, async () => {
        this.#handle ??= await this.#directory.getFileHandle(this.#name, { create: true });
        await replace(this.#handle, whole.subarray(0, length));
      });
    });
    this.#version++;
    this.#drop(0, count);
  }

  /** Reads until the buffer is full or the segment ends. */
  async read(buffer: Uint8Array, at: number): Promise<number> {
    for (;;) {
      const version = this.#version;
      try {
        const length = await this.#read(buffer, at);
        if (version === this.#version) return length; // else pieces may have left memory during the read
      } catch (error) {
        if (this.#flushing === undefined && version === this.#version) throw error;
        await this.#flushing?.catch(() => {}); // it was replaced while it was read
      }
    }
  }

  async #read(buffer: Uint8Array, at: number): Promise<number> {
    const file = await this.#file();
    let length = 0;
    if (file !== undefined && file.size > at) {
      const part = file.slice(at, at + buffer.length);
      const stored = new Uint8Array(await inOpfs("read", this.#path, () => part.arrayBuffer()));
      buffer.set(stored);
      length = stored.length;
    }
    for (const { at: from, bytes } of this.#pieces) {
      const start = Math.max(from, at);
      const end = Math.min(from + bytes.length, at + buffer.length);
      if (start >= end) continue;
      if (start - at > length) buffer.fill(0, length, start - at); // a hole
      buffer.set(bytes.subarray(start - from, end - from), start - at);
      length = Math.max(length, end - at);
    }
    return length;
  }

  async size(): Promise<number> {
    const stored = (await this.#file())?.size ?? 0;
    return this.#pieces.reduce((end, { at, bytes }) => Math.max(end, at + bytes.length), stored);
  }

  async changedAt(): Promise<number> {
    return (await this.#file())?.lastModified ?? 0;
  }

  /** Drops the pieces in memory. */
  forget(): void {
    this.#drop(0, this.#pieces.length);
  }

  #drop(first: number, count: number): void {
    const dropped = this.#pieces.splice(first, count);
    this.#unwritten.add(this, -dropped.reduce((sum, { bytes }) => sum + bytes.length, 0));
  }

  /** Returns the stored content, if there is any. */
  async #file(): Promise<(Blob & { readonly lastModified: number }) | undefined> {
    try {
      return await inOpfs("open", this.#path, async () => {
        this.#handle ??= await this.#directory.getFileHandle(this.#name);
        return await this.#handle.getFile();
      });
    } catch (error) {
      if (hasCode(error, "NOT_FOUND")) return undefined;
      throw error;
    }
  }
}

/**
 * Replaces the content of a file, wholly or not at all, and syncs it to the disk where that can be done. Closing alone
 * hands it to the operating system: it then survives a crash of the browser, but not one of the machine.
 *
 * @param handle the file
 * @param bytes its content from now on
 */
export async function replace(handle: OpfsFile, bytes: Uint8Array): Promise<void> {
  const out = await handle.createWritable();
  try {
    // Safari writes all of the buffer that a view is of.
    const whole = bytes.length === bytes.buffer.byteLength ? bytes : bytes.slice();
    await out.write(whole as Uint8Array<ArrayBuffer>);
    await out.close();
  } catch (error) {
    await out.abort().catch(() => {}); // frees the space of the copy
    throw error;
  }
  if (handle.createSyncAccessHandle === undefined) return;
  const access = await handle.createSyncAccessHandle();
  try {
    access.flush();
  } finally {
    access.close();
  }
}
