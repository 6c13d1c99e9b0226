/**
 * The cyclic redundancy checks of the other systems, eight bytes at a time. There are three CRC-64s in this field, and
 * they differ in polynomial and in what they begin and end with.
 *
 * @module
 */

import { WIDE_BLOCK, type WideCrc, wideCrc64 } from "./crc64_wide.ts";

/** A check that is computed as bytes come. */
export interface RunningCrc {
  /** Takes in bytes. */
  update(bytes: Uint8Array): void;
  /** The check of all bytes so far. */
  readonly value: bigint;
}

/** The parameters of a CRC whose bits are reflected. */
interface Parameters {
  /** The polynomial, reflected. */
  readonly polynomial: bigint;
  /** The value before the first byte, and what the last is combined with: all ones, or 0. */
  readonly ones: bigint;
}

const MASK32 = 0xffff_ffffn;
const BITS64: Readonly<Record<"xz" | "jones", Parameters>> = {
  xz: { polynomial: 0xc96c_5795_d787_0f42n, ones: 0xffff_ffff_ffff_ffffn },
  jones: { polynomial: 0x95ac_9329_ac4b_c9b5n, ones: 0n },
};
const CASTAGNOLI = 0x82f6_3b78;

/** The tables that a CRC-64 is computed with. */
interface Tables64 {
  /** Eight tables of 256 entries, of a low and a high half each. */
  readonly table: Int32Array;
  /** What takes in whole blocks; made when the first comes, nothing where there can be none. */
  wide: WideCrc | "none" | undefined;
}

const tables64 = new Map<bigint, Tables64>();
let tables32: Int32Array | undefined;

function tables64Of(polynomial: bigint): Tables64 {
  const found = tables64.get(polynomial);
  if (found !== undefined) return found;
  const [polyLow, polyHigh] = [Number(polynomial & MASK32) | 0, Number(polynomial >> 32n) | 0];
  const table = new Int32Array(8 * 512);
  for (let byte = 0; byte < 256; byte++) {
    let [low, high] = [byte, 0];
    for (let bit = 0; bit < 8; bit++) {
      const odd = low & 1;
      low = low >>> 1 | high << 31;
      high >>>= 1;
      if (odd === 1) [low, high] = [low ^ polyLow, high ^ polyHigh];
    }
    table[byte * 2] = low;
    table[byte * 2 + 1] = high;
  }
  for (let at = 512; at < table.length; at += 2) {
    const [low, high] = [table[at - 512]!, table[at - 511]!];
    const next = (low & 0xff) * 2;
    table[at] = (low >>> 8 | high << 24) ^ table[next]!;
    table[at + 1] = high >>> 8 ^ table[next + 1]!;
  }
  const tables: Tables64 = { table, wide: undefined };
  tables64.set(polynomial, tables);
  return tables;
}

function castagnoliTables(): Int32Array {
  if (tables32 !== undefined) return tables32;
  const table = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = (value & 1) === 1 ? value >>> 1 ^ CASTAGNOLI : value >>> 1;
    table[byte] = value;
  }
  for (let at = 256; at < table.length; at++) {
    const before = table[at - 256]!;
    table[at] = before >>> 8 ^ table[before & 0xff]!;
  }
  return tables32 = table;
}

/**
 * A CRC-64.
 *
 * @param kind `"xz"`: ECMA reflected, as Go's `crc64.ECMA` and HashiCorp's raft; `"jones"`: Redis
 */
export function crc64(kind: "xz" | "jones"): RunningCrc {
  const { polynomial, ones } = BITS64[kind];
  const tables = tables64Of(polynomial);
  const { table: t } = tables;
  const [xorLow, xorHigh] = [Number(ones & MASK32) | 0, Number(ones >> 32n) | 0];
  let [low, high] = [xorLow, xorHigh];
  return {
    update(b) {
      let [l, h, i] = [low, high, 0];
      if (b.length >= WIDE_BLOCK) tables.wide ??= wideCrc64(t) ?? "none";
      for (
        const { wide } = tables;
        wide !== undefined && wide !== "none" && b.length - i >= WIDE_BLOCK;
        i += WIDE_BLOCK
      ) {
        [l, h] = wide([l, h], b.subarray(i, i + WIDE_BLOCK));
      }
      for (const end = b.length - 7; i < end; i += 8) {
        const x = l ^ (b[i]! | b[i + 1]! << 8 | b[i + 2]! << 16 | b[i + 3]! << 24);
        const y = h ^ (b[i + 4]! | b[i + 5]! << 8 | b[i + 6]! << 16 | b[i + 7]! << 24);
        const [x0, x1, x2, x3] = [
          3584 + ((x & 255) << 1),
          3072 + ((x >>> 8 & 255) << 1),
          2560 + ((x >>> 16 & 255) << 1),
          2048 + ((x >>> 24) << 1),
        ];
        const [y0, y1, y2, y3] = [
          1536 + ((y & 255) << 1),
          1024 + ((y >>> 8 & 255) << 1),
          512 + ((y >>> 16 & 255) << 1),
          (y >>> 24) << 1,
        ];
        l = t[x0]! ^ t[x1]! ^ t[x2]! ^ t[x3]! ^ t[y0]! ^ t[y1]! ^ t[y2]! ^ t[y3]!;
        h = t[x0 + 1]! ^ t[x1 + 1]! ^ t[x2 + 1]! ^ t[x3 + 1]! ^ t[y0 + 1]! ^ t[y1 + 1]! ^ t[y2 + 1]! ^ t[y3 + 1]!;
      }
      for (; i < b.length; i++) {
        const at = ((l ^ b[i]!) & 255) << 1;
        l = (l >>> 8 | h << 24) ^ t[at]!;
        h = h >>> 8 ^ t[at + 1]!;
      }
      [low, high] = [l, h];
    },
    get value() {
      return BigInt((high ^ xorHigh) >>> 0) << 32n | BigInt((low ^ xorLow) >>> 0);
    },
  };
}

/** A CRC-32C: of etcd, RocksDB, and Snappy's frames. */
export function crc32c(): RunningCrc {
  const t = castagnoliTables();
  let crc = -1;
  return {
    update(b) {
      let [c, i] = [crc, 0];
      for (const end = b.length - 7; i < end; i += 8) {
        const x = c ^ (b[i]! | b[i + 1]! << 8 | b[i + 2]! << 16 | b[i + 3]! << 24);
        c = t[1792 + (x & 255)]! ^ t[1536 + (x >>> 8 & 255)]! ^ t[1280 + (x >>> 16 & 255)]! ^ t[1024 + (x >>> 24)]! ^
          t[768 + b[i + 4]!]! ^ t[512 + b[i + 5]!]! ^ t[256 + b[i + 6]!]! ^ t[b[i + 7]!]!;
      }
      for (; i < b.length; i++) c = c >>> 8 ^ t[(c ^ b[i]!) & 255]!;
      crc = c;
    },
    get value() {
      return BigInt(~crc >>> 0);
    },
  };
}

/** A CRC-32C as RocksDB and Snappy store it. */
export function maskedCrc(bytes: Uint8Array): number {
  const crc = crc32c();
  crc.update(bytes);
  const value = Number(crc.value);
  return ((value >>> 15 | value << 17) + 0xa282_ead8) >>> 0;
}
