/**
 * The files of a RocksDB in an incremental checkpoint: their ends, and the checks of the blocks that these lead to. Keys
 * and values are not read: no library for tables runs everywhere.
 *
 * ```text
 * table  ends with check u8, { offset varint, size varint } twice: of the meta index, and of the index; padding;
 *        version u32le, magic u64le; 53 bytes in all
 * block  is followed by its compression u8, and a masked CRC-32C u32le of both, if the check is 1
 * ```
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { concat } from "../../stream/mod.ts";
import { maskedCrc } from "../bytes/crc.ts";
import { Cursor } from "../bytes/cursor.ts";
import type { Handle } from "./handles.ts";
import type { Layout } from "./layout.ts";

const FOOTER = 53;
const MAGIC = 0x88e2_41b7_85f4_cff7n;
const CRC32C = 1;
const MAX_BLOCK = 64 * 1024 * 1024;

/** Checks the end of a table, and its two indices. */
export async function checkTable(layout: Layout, handle: Handle, signal: AbortSignal | undefined): Promise<void> {
  const name = layout.nameOf(handle);
  const damaged = (message: string) =>
    new SnapshotError("CORRUPT", `${JSON.stringify(name)} is no whole table of RocksDB: ${message}`, { file: name });
  const read = async (start: number, end: number) => {
    const pieces: Uint8Array[] = [];
    for await (const piece of layout.read(handle, start, end, signal)) pieces.push(piece);
    return concat(pieces);
  };
  if (handle.size < FOOTER) throw damaged(`it has ${handle.size} bytes`);
  const footer = await read(handle.size - FOOTER, handle.size);
  const cursor = new Cursor(footer, name);
  cursor.at = FOOTER - 8;
  if (cursor.u64(true) !== MAGIC) throw damaged("it does not end as one");
  cursor.at = 0;
  if (cursor.u8() !== CRC32C) return;
  for (let index = 0; index < 2; index++) {
    const [offset, size] = [Number(cursor.varint()), Number(cursor.varint())];
    if (size > MAX_BLOCK || offset + size + 5 > handle.size - FOOTER) throw damaged("an index is not inside of it");
    const block = await read(offset, offset + size + 5);
    const expected = new DataView(block.buffer, block.byteOffset).getUint32(size + 1, true);
    if (maskedCrc(block.subarray(0, size + 1)) !== expected) throw damaged("an index does not have its CRC-32C");
  }
}
