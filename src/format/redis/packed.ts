/**
 * Texts as Redis packs them: LZF, and lists in one text.
 *
 * @module
 */

import { Cursor } from "../bytes/cursor.ts";

/** Decompresses LZF; nothing if it is damaged. */
export function lzf(packed: Uint8Array, length: number): Uint8Array | undefined {
  const text = new Uint8Array(length);
  let to = 0;
  for (let at = 0; at < packed.length;) {
    const control = packed[at++]!;
    if (control < 32) {
      const count = control + 1;
      if (at + count > packed.length || to + count > length) return undefined;
      text.set(packed.subarray(at, at + count), to);
      [at, to] = [at + count, to + count];
      continue;
    }
    let count = control >> 5;
    if (count === 7) count += packed[at++] ?? 0;
    const from = to - ((control & 0x1f) << 8) - (packed[at++] ?? 0) - 1;
    count += 2;
    if (from < 0 || to + count > length || at > packed.length) return undefined;
    for (let i = 0; i < count; i++) text[to + i] = text[from + i]!; // byte by byte: both may overlap
    to += count;
  }
  return to === length ? text : undefined;
}

/** The items of a ziplist, which Redis wrote before version 7. */
export function ziplistItems(list: Uint8Array, file: string): Uint8Array[] {
  const cursor = new Cursor(list, file);
  if (cursor.u32(true) !== list.length) throw cursor.malformed("a ziplist has another length");
  cursor.bytes(6);
  const items: Uint8Array[] = [];
  for (let first = cursor.u8(); first !== 0xff; first = cursor.u8()) {
    if (first === 0xfe) cursor.bytes(4); // the length of the item before it
    items.push(ziplistItem(cursor, cursor.u8()));
  }
  if (cursor.left > 0) throw cursor.malformed("something follows a ziplist's end");
  return items;
}

function ziplistItem(cursor: Cursor, first: number): Uint8Array {
  if (first < 0x40) return cursor.bytes(first).slice();
  if (first < 0x80) return cursor.bytes((first & 0x3f) << 8 | cursor.u8()).slice();
  if (first < 0xc0) return cursor.bytes(cursor.u32()).slice();
  if (first > 0xf0 && first < 0xfe) return number(BigInt(first - 0xf1));
  const size = new Map([[0xc0, 2], [0xd0, 4], [0xe0, 8], [0xf0, 3], [0xfe, 1]]).get(first);
  if (size === undefined) throw cursor.malformed("an item of a ziplist is of no kind");
  return integer(cursor, size);
}

/** A signed number of so many bytes, the lowest first. */
function integer(cursor: Cursor, size: number): Uint8Array {
  const value = cursor.bytes(size).reduceRight((sum, byte) => sum << 8n | BigInt(byte), 0n);
  return number(BigInt.asIntN(size * 8, value));
}

/** The items of a listpack. */
export function packedItems(pack: Uint8Array, file: string): Uint8Array[] {
  const cursor = new Cursor(pack, file);
  if (cursor.u32(true) !== pack.length) throw cursor.malformed("a listpack has another length");
  cursor.bytes(2);
  const items: Uint8Array[] = [];
  for (;;) {
    const start = cursor.at;
    const first = cursor.u8();
    if (first === 0xff) break;
    items.push(item(cursor, first));
    const size = cursor.at - start;
    cursor.bytes(size <= 127 ? 1 : size < 16_383 ? 2 : size < 2_097_151 ? 3 : size < 268_435_455 ? 4 : 5);
  }
  if (cursor.left > 0) throw cursor.malformed("something follows a listpack's end");
  return items;
}

function item(cursor: Cursor, first: number): Uint8Array {
  if (first < 0x80) return number(BigInt(first));
  if (first < 0xc0) return cursor.bytes(first & 0x3f).slice();
  if (first < 0xe0) return number(BigInt.asIntN(13, BigInt((first & 0x1f) << 8 | cursor.u8())));
  if (first < 0xf0) return cursor.bytes((first & 0x0f) << 8 | cursor.u8()).slice();
  if (first === 0xf0) return cursor.bytes(cursor.u32(true)).slice();
  const size = [2, 3, 4, 8][first - 0xf1];
  if (size === undefined) throw cursor.malformed("an item of a listpack is of no kind");
  return integer(cursor, size);
}

function number(value: bigint): Uint8Array {
  return new TextEncoder().encode(String(value));
}
