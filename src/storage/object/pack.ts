/**
 * Packs: many chunks in one object, since each request to a bucket costs money and time.
 *
 * ```text
 * pack  = chunk* table end
 * table = (digest length)*              digest = SHA-256 of the chunk, length = u32 big-endian
 * end   = digest count "SNAPPACK"       digest = SHA-256 of the table, count = u32 big-endian
 * ```
 *
 * The table is needed only to resume an interrupted install: the stored manifest of a snapshot contains the places of
 * its chunks. `end` is the trailer.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { DIGEST_SIZE, equal, sha256, u32 } from "../../stream/mod.ts";

/** Bytes of a chunk's row in the table. */
const ROW = DIGEST_SIZE + 4;
/** The last bytes of a pack. */
const MAGIC = new TextEncoder().encode("SNAPPACK");
/** The size of the trailer in bytes. */
export const END_SIZE: number = DIGEST_SIZE + 4 + MAGIC.length;

/** A chunk in a pack. */
export interface PackedChunk {
  readonly digest: Uint8Array;
  readonly offset: number;
  readonly length: number;
}

/** Returns the size of a table and the trailer behind it, in bytes. */
export function tableSize(chunks: number): number {
  return chunks * ROW + END_SIZE;
}

/** Writes the table and the trailer of a pack, which follow its chunks. */
export async function writeTable(chunks: readonly PackedChunk[], target: Uint8Array): Promise<void> {
  const table = target.subarray(0, chunks.length * ROW);
  chunks.forEach(({ digest, length }, i) => {
    table.set(digest, i * ROW);
    table.set(u32(length), i * ROW + DIGEST_SIZE);
  });
  target.set(await sha256(table), table.length);
  target.set(u32(chunks.length), table.length + DIGEST_SIZE);
  target.set(MAGIC, table.length + DIGEST_SIZE + 4);
}

/** Returns the size of table and trailer by what the trailer says; nothing if this is no trailer of a pack. */
export function tableSizeOf(end: Uint8Array): number | undefined {
  if (end.length < END_SIZE || !equal(end.subarray(end.length - MAGIC.length), MAGIC)) return undefined;
  const count = new DataView(end.buffer, end.byteOffset + end.length - MAGIC.length - 4).getUint32(0);
  return tableSize(count);
}

/**
 * Reads a table.
 *
 * @param bytes the table and the trailer
 * @param size of the whole pack
 * @param name of the pack, for the error
 * @throws {SnapshotError} `CORRUPT`
 */
export async function readTable(bytes: Uint8Array, size: number, name: string): Promise<PackedChunk[]> {
  const table = bytes.subarray(0, bytes.length - END_SIZE);
  const view = new DataView(table.buffer, table.byteOffset, table.length);
  const chunks: PackedChunk[] = [];
  let offset = 0;
  const isWhole = tableSizeOf(bytes) === bytes.length &&
    equal(await sha256(table), bytes.subarray(table.length, table.length + DIGEST_SIZE));
  for (let at = 0; isWhole && at < table.length; at += ROW) {
    const length = view.getUint32(at + DIGEST_SIZE);
    chunks.push({ digest: table.subarray(at, at + DIGEST_SIZE), offset, length });
    offset += length;
  }
  if (isWhole && offset + bytes.length === size) return chunks;
  throw new SnapshotError("CORRUPT", `Pack ${name} does not end as it was written`, { file: name });
}
