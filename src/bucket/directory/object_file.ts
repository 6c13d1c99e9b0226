/**
 * The file of an object in a directory.
 *
 * ```text
 * file = "snapobj1", 16 bytes that no other put has, the bytes of the object
 * ```
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import type { DiskFile } from "../../fs/mod.ts";
import { equal, toHex } from "../../stream/mod.ts";
import type { Pieces } from "../bodies.ts";
import type { BucketObject } from "../bucket.ts";

/** The beginning of a file; 16 bytes that no other put has, and the bytes of the object follow. */
export const MAGIC: readonly number[] = [0x73, 0x6e, 0x61, 0x70, 0x6f, 0x62, 0x6a, 0x31]; // snapobj1
/** The size of what is before the bytes of the object. */
export const HEADER_SIZE = 24;
/** The size of the pieces that a body is read in. */
const PIECE_SIZE = 256 * 1024;

/** A range of the bytes of a file. */
export class FilePieces implements Pieces {
  readonly #file: DiskFile;
  readonly #path: string;
  readonly #end: number;
  #at: number;
  #reading: Promise<number> = Promise.resolve(0);

  constructor(file: DiskFile, path: string, start: number, end: number) {
    this.#file = file;
    this.#path = path;
    this.#at = start;
    this.#end = end;
  }

  async next(): Promise<Uint8Array | undefined> {
    if (this.#at >= this.#end) return undefined;
    const piece = new Uint8Array(Math.min(PIECE_SIZE, this.#end - this.#at));
    this.#reading = this.#file.read(piece, this.#at);
    if (await this.#reading !== piece.length) {
      throw new SnapshotError("UNAVAILABLE", `${this.#path} got shorter while it was read`, { file: this.#path });
    }
    this.#at += piece.length;
    return piece;
  }

  async close(): Promise<void> {
    await this.#reading.catch(() => {}); // else the read could hit another file that got the same descriptor
    await this.#file.close();
  }
}

/**
 * Reads the header of a file, and returns its object.
 *
 * A file is proven to be no object of ours if it has all of a header, or is too short for one, each time it is looked
 * at. A disk that gives less than the file has, or something else each time, proves nothing.
 */
export async function objectIn(file: DiskFile, key: string, path: string): Promise<BucketObject> {
  const [header, size] = [await headerOf(file), await file.size()];
  if (isHeader(header)) return { key, size: size - HEADER_SIZE, etag: etagOf(header.subarray(MAGIC.length)) };
  const [again, sizeAgain] = [await headerOf(file), await file.size()];
  if (!equal(header, again) || size !== sizeAgain || header.length < Math.min(size, HEADER_SIZE)) {
    throw new SnapshotError(
      "UNAVAILABLE",
      `The beginning of ${path} cannot be read: the disk gives other bytes each time, or too few`,
      {
        file: path,
      },
    );
  }
  throw new SnapshotError("CORRUPT", `${path} is no object of a DirectoryBucket: something else wrote it`, {
    file: path,
  });
}

async function headerOf(file: DiskFile): Promise<Uint8Array> {
  const header = new Uint8Array(HEADER_SIZE);
  return header.subarray(0, await file.read(header, 0));
}

function isHeader(bytes: Uint8Array): boolean {
  return bytes.length === HEADER_SIZE && equal(bytes.subarray(0, MAGIC.length), Uint8Array.from(MAGIC));
}

/** The ETag of an object: what no other put has. */
export function etagOf(generation: Uint8Array): string {
  return `"${toHex(generation)}"`;
}
