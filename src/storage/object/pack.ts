/**
 * Packs: many chunks in one object, since a bucket charges, and lets one wait, for each request.
 *
 * ```text
 * pack  = chunk* table end
 * table = (digest length)*              digest = SHA-256 of the chunk, length = u32 big-endian
 * end   = digest count "SNAPPACK"       digest = SHA-256 of the table, count = u32 big-endian
 * ```
 *
 * The table is for who goes on with what an interrupted install left. A snapshot's manifest says itself where its chunks
 * are.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { DIGEST_SIZE, equal, sha256, u32 } from "../../stream/mod.ts";

/** Bytes of a chunk's row in the table. */
const ROW = DIGEST_SIZE + 4;
/** What a pack ends with. */
const MAGIC = new TextEncoder().encode("SNAPPACK");
/** Bytes of the end. */
export const END_SIZE: number = DIGEST_SIZE + 4 + MAGIC.length;

/** A chunk in a pack. */
export interface PackedChunk {
  readonly digest: Uint8Array;
  readonly offset: number;
  readonly length: number;
}

/** How many bytes a table and the end behind it have. */
export function tableSize(chunks: number): number {
  return chunks * ROW + END_SIZE;
}

/** The table of a pack and its end, to stand behind the chunks. */
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

/** How many bytes the end says that it and its table have, or nothing if it is no end of a pack. */
export function tableSizeOf(end: Uint8Array): number | undefined {
  if (end.length < END_SIZE || !equal(end.subarray(end.length - MAGIC.length), MAGIC)) return undefined;
  const count = new DataView(end.buffer, end.byteOffset + end.length - MAGIC.length - 4).getUint32(0);
  return tableSize(count);
}

/**
 * Reads a table.
 *
 * @param bytes the table and the end
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
