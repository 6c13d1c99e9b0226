/**
 * The two meta pages of a database of bbolt, of which the newer one that is right counts.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import type { SourceFile } from "../files.ts";

const MAGIC = 0xed0c_daed;
/** The bytes of a page's header, and of what follows it in a meta page. */
const [HEADER, META_SIZE] = [16, 64];
/** The page sizes of operating systems, at which the second meta page is looked for. */
const PAGE_SIZES = [4096, 8192, 16_384, 32_768, 65_536, 1024, 2048, 512] as const;
/** The number of a freelist that was not written. */
const NO_FREELIST = 2n ** 64n - 1n;

/** The state of the database as of its last transaction. */
export interface BoltMeta {
  readonly pageSize: number;
  readonly root: number;
  readonly freelist: number | undefined;
  readonly pages: number;
  readonly transaction: bigint;
}

/**
 * The state of the database, by the meta page of its last transaction.
 *
 * @param file the file that it is in
 * @param name names it in errors
 * @param size the bytes of the file that are the database
 */
export async function readMeta(file: SourceFile, name: string, size: number): Promise<BoltMeta> {
  const metas = [await metaAt(file, 0, size)];
  for (const at of metas[0] === undefined ? PAGE_SIZES : [metas[0].pageSize]) {
    const second = await metaAt(file, at, size);
    if (second?.pageSize === at) metas.push(second);
  }
  const [newest] = metas.filter((meta) => meta !== undefined).sort((a, b) => a.transaction > b.transaction ? -1 : 1);
  if (newest === undefined) {
    throw new SnapshotError("CORRUPT", `Neither meta page of ${JSON.stringify(name)} is right`, { file: name });
  }
  if (newest.pages * newest.pageSize > size || size % newest.pageSize !== 0) {
    throw new SnapshotError(
      "CORRUPT",
      `${JSON.stringify(name)} has ${size} bytes, and not all of its pages: it was cut short`,
      {
        file: name,
        expected: newest.pages * newest.pageSize,
        actual: size,
      },
    );
  }
  return newest;
}

/** A meta page, if it is right. */
async function metaAt(file: SourceFile, at: number, size: number): Promise<BoltMeta | undefined> {
  if (at + HEADER + META_SIZE > size) return undefined;
  const page = await file.read(at, at + HEADER + META_SIZE);
  if (page.length < HEADER + META_SIZE) return undefined;
  const bytes = page.subarray(HEADER);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== MAGIC || view.getUint32(4, true) !== 2) return undefined;
  if (view.getBigUint64(56, true) !== fnv64(bytes.subarray(0, 56))) return undefined;
  const pageSize = view.getUint32(8, true);
  const [root, freelist, pages] = [
    view.getBigUint64(16, true),
    view.getBigUint64(32, true),
    view.getBigUint64(40, true),
  ];
  const sane = PAGE_SIZES.some((known) => known === pageSize) && pages < 2n ** 40n && root >= 2n && root < pages;
  if (!sane || freelist !== NO_FREELIST && (freelist < 2n || freelist >= pages)) return undefined;
  return {
    pageSize,
    root: Number(root),
    freelist: freelist === NO_FREELIST ? undefined : Number(freelist),
    pages: Number(pages),
    transaction: view.getBigUint64(48, true),
  };
}

/** Reports whether the bytes at the beginning of a file are those of a meta page. */
export function looksLikeBolt(start: Uint8Array): boolean {
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  return start.length >= HEADER + 8 && view.getUint32(HEADER, true) === MAGIC && view.getUint32(HEADER + 4, true) === 2;
}

function fnv64(bytes: Uint8Array): bigint {
  let hash = 0xcbf2_9ce4_8422_2325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100_0000_01b3n);
  return hash;
}
