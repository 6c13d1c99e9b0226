/**
 * The files of a RocksDB in an incremental checkpoint: their ends, and the checks of the blocks that these lead to.
 * Keys and values are not read: no library for tables runs everywhere.
 *
 * ```text
 * table  ends with check u8, { offset varint, size varint } twice: of the meta index, and of the index; padding;
 *        version u32le, magic u64le; 53 bytes in all
 * block  is followed by its compression u8, and a masked CRC-32C u32le of both, if the check is 1
 * log    MANIFEST: blocks of 32 KiB of records = masked CRC-32C u32le of what follows the length, length u16le,
 *        type u8, bytes; zeros where no record fits
 * ```
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { concat } from "../../stream/mod.ts";
import { maskedCrc } from "../bytes/crc.ts";
import { Cursor } from "../bytes/cursor.ts";
import type { Handle, NamedHandle } from "./handles.ts";
import type { Layout } from "./layout.ts";

const FOOTER = 53;
const MAGIC = 0x88e2_41b7_85f4_cff7n;
const CRC32C = 1;
const [LOG_BLOCK, RECORD_HEAD] = [32 * 1024, 7];
const MAX_BLOCK = 64 * 1024 * 1024;

function damage(name: string, what: string): (message: string) => SnapshotError {
  return (message) =>
    new SnapshotError("CORRUPT", `${JSON.stringify(name)} is no whole ${what} of RocksDB: ${message}`, { file: name });
}

async function bytesOf(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const found: Uint8Array[] = [];
  for await (const piece of pieces) found.push(piece);
  return concat(found);
}

/** Checks a file by what its name says that it is. */
export async function checkDatabaseFile(
  layout: Layout,
  { name, handle }: NamedHandle,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (handle === undefined) return;
  if (name.endsWith(".sst")) await checkTable(layout, handle, signal);
  if (name.startsWith("MANIFEST-")) await checkLog(layout, handle, signal);
}

/** Checks each record of a log. */
async function checkLog(layout: Layout, handle: Handle, signal: AbortSignal | undefined): Promise<void> {
  const name = layout.nameOf(handle);
  const damaged = damage(name, "log");
  for (let start = 0; start < handle.size; start += LOG_BLOCK) {
    const end = Math.min(start + LOG_BLOCK, handle.size);
    const block = await bytesOf(layout.read(handle, start, end, signal));
    const view = new DataView(block.buffer, block.byteOffset, block.length);
    for (let at = 0; at < block.length;) {
      if (block.length - at < RECORD_HEAD) {
        if (start + LOG_BLOCK > handle.size) throw damaged("its last record is cut short");
        break;
      }
      const last = at + RECORD_HEAD + view.getUint16(at + 4, true);
      if (last > block.length) throw damaged("a record is cut short");
      if (maskedCrc(block.subarray(at + 6, last)) !== view.getUint32(at, true)) {
        throw damaged("a record does not have its CRC-32C");
      }
      at = last;
    }
  }
}

/** Checks the end of a table, and its two indices. */
async function checkTable(layout: Layout, handle: Handle, signal: AbortSignal | undefined): Promise<void> {
  const name = layout.nameOf(handle);
  const damaged = damage(name, "table");
  const read = (start: number, end: number) => bytesOf(layout.read(handle, start, end, signal));
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
