/**
 * Databases of bbolt, read page by page: a B+ tree of buckets, in which a bucket is a tree of its own.
 *
 * ```text
 * page    = id u64, flags u16, count u16, overflow u32; elements; little-endian        page 0 and 1: meta
 * meta    = magic ED0CDAED, version 2, page size, flags, root u64, sequence u64, freelist u64, pages u64,
 *           transaction u64, FNV-1a of 64 bits
 * branch  = (position u32, key size u32, page u64)*   leaf = (flags u32, position u32, key size u32, value size u32)*
 * ```
 *
 * Only the meta pages have a checksum; of the others it is checked that they fit together.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { compareBytes } from "../../stream/mod.ts";
import { PageSet } from "../bytes/page_set.ts";
import { readExactly, type SourceFile } from "../files.ts";
import { Windows } from "./windows.ts";

const MAGIC = 0xed0c_daed;
const HEADER = 16;
const META_SIZE = 64;
/** The flags of pages. */
const Flag = { BRANCH: 1, LEAF: 2, META: 4, FREELIST: 16 } as const;
/** The flag of an element that is a bucket. */
const BUCKET = 1;
/** The most bytes of a page with those that it overflows to: etcd takes values of a few MiB. */
const MAX_PAGE = 32 * 1024 * 1024;
/** The deepest tree: bbolt's have a few levels. */
const MAX_DEPTH = 64;
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

/** An element of a leaf: a key with a value, or a bucket. */
export interface BoltElement {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly isBucket: boolean;
}

/** A page that a branch leads to, and the least key that may be in it. */
interface Child {
  readonly key: Uint8Array | undefined;
  readonly page: number;
}

interface Page {
  readonly id: number;
  readonly flags: number;
  readonly count: number;
  readonly overflow: number;
  readonly bytes: Uint8Array;
}

/** A database of bbolt. */
export class Bolt {
  readonly #windows: Windows;
  readonly #name: string;
  readonly #size: number;
  /** Its state. */
  readonly meta: BoltMeta;

  private constructor(file: SourceFile, name: string, size: number, meta: BoltMeta) {
    this.#windows = new Windows(file, name, size);
    this.#name = name;
    this.#size = size;
    this.meta = meta;
  }

  /**
   * Opens a database.
   *
   * @param file the file that it is in
   * @param name names it in errors
   * @param size the bytes of the file that are the database
   */
  static async open(file: SourceFile, name: string, size: number): Promise<Bolt> {
    const metas = [await readMeta(file, 0, size)];
    for (const at of metas[0] === undefined ? PAGE_SIZES : [metas[0].pageSize]) {
      const second = await readMeta(file, at, size);
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
    return new Bolt(file, name, size, newest);
  }

  /** The elements of the root: its buckets. */
  async *buckets(): AsyncGenerator<BoltElement, void, undefined> {
    for await (const { page, key } of this.#pages(this.meta.root)) {
      if ((page.flags & Flag.BRANCH) === 0) yield* this.#leaf(copyOf(page), key);
    }
  }

  /**
   * The elements of a bucket, in the order of their keys; each is valid until the next.
   *
   * @param bucket the bucket
   * @param mostPages ends after so many of its pages
   */
  async *elements({ value }: BoltElement, mostPages?: number): AsyncGenerator<BoltElement, void, undefined> {
    const root = this.#rootOf(value);
    if (root === 0) yield* this.#leaf(inlinePage(value));
    else yield* this.#elements(root, mostPages);
  }

  async *#elements(root: number, mostPages = Infinity): AsyncGenerator<BoltElement, void, undefined> {
    let left = mostPages;
    for await (const { page, key } of this.#pages(root)) {
      if (left-- <= 0) return;
      if ((page.flags & Flag.BRANCH) === 0) yield* this.#leaf(page, key);
    }
  }

  /** The last element of a bucket. */
  async last({ value }: BoltElement): Promise<BoltElement | undefined> {
    let page = this.#rootOf(value) === 0 ? inlinePage(value) : await this.#page(this.#rootOf(value));
    for (let depth = 0; (page.flags & Flag.BRANCH) !== 0; depth++) {
      if (depth > MAX_DEPTH) throw this.#corrupt(page.id, "it is deeper than any tree of bbolt");
      page = await this.#page(this.#children(page).at(-1)!.page);
    }
    return [...this.#leaf(page)].at(-1);
  }

  /**
   * Walks over all pages, and checks that each is in one place, and that their elements fit together.
   *
   * @param onPage is given the bytes of each
   */
  async check(onPage: (bytes: number) => void): Promise<void> {
    const seen = new PageSet(this.meta.pages);
    const mark = (page: Page) => {
      for (let i = 0; i <= page.overflow; i++) {
        if (!seen.add(page.id + i)) throw this.#corrupt(page.id + i, "it is in two places");
      }
      onPage(page.bytes.length);
    };
    seen.add(0);
    seen.add(1);
    for await (const { page, key } of this.#pages(this.meta.root)) {
      mark(page);
      if ((page.flags & Flag.BRANCH) !== 0) continue;
      for (const bucket of this.#leaf(copyOf(page), key)) await this.#checkBucket(bucket, mark);
    }
    if (this.meta.freelist === undefined) return;
    const list = await this.#page(this.meta.freelist);
    mark(list);
    for (const id of this.#free(list)) if (!seen.add(id)) throw this.#corrupt(id, "it is free, and in use");
    const lost = seen.missing();
    if (lost !== undefined) throw this.#corrupt(lost, "it is neither free nor in use");
  }

  async #checkBucket({ isBucket, value }: BoltElement, mark: (page: Page) => void): Promise<void> {
    if (!isBucket) throw this.#corrupt(this.meta.root, "a key is outside of all buckets");
    const checkLeaf = (page: Page, atLeast?: Uint8Array) => {
      for (const { isBucket } of this.#leaf(page, atLeast)) {
        if (!isBucket) continue;
        throw new SnapshotError(
          "UNSUPPORTED",
          `${JSON.stringify(this.#name)} has a bucket in a bucket: it is not of etcd`,
        );
      }
    };
    const root = this.#rootOf(value);
    if (root === 0) return checkLeaf(inlinePage(value));
    for await (const { page, key } of this.#pages(root)) {
      mark(page);
      if ((page.flags & Flag.BRANCH) === 0) checkLeaf(page, key);
    }
  }

  #rootOf(value: Uint8Array): number {
    if (value.length < 16) throw this.#corrupt(this.meta.root, "a bucket has no header");
    const root = viewOf(value).getBigUint64(0, true);
    if (root < BigInt(this.meta.pages)) return Number(root);
    throw this.#corrupt(this.meta.root, "a bucket begins behind the last page");
  }

  /** The pages of a tree, each before those that it leads to; never more of them than there are. */
  async *#pages(
    root: number,
  ): AsyncGenerator<{ readonly page: Page; readonly key: Uint8Array | undefined }, void, undefined> {
    const path: Iterator<Child>[] = [[{ key: undefined, page: root }].values()];
    for (let left = this.meta.pages; path.length > 0;) {
      const { done, value } = path.at(-1)!.next();
      if (done === true) {
        path.pop();
        continue;
      }
      const { key, page: id } = value;
      if (path.length > MAX_DEPTH) throw this.#corrupt(id, "it is deeper than any tree of bbolt");
      if (left-- === 0) throw this.#corrupt(id, "its tree leads to pages more than once");
      const page = this.#readPage(id) ?? await this.#page(id);
      yield { page, key };
      if ((page.flags & Flag.BRANCH) !== 0) path.push(this.#children(page, key).values());
    }
  }

  *#leaf(page: Page, atLeast?: Uint8Array): Generator<BoltElement, void, undefined> {
    if ((page.flags & Flag.LEAF) === 0) throw this.#corrupt(page.id, "it is no leaf");
    const view = viewOf(page.bytes);
    let before = atLeast;
    for (let i = 0; i < page.count; i++) {
      const at = HEADER + i * 16;
      if (at + 16 > page.bytes.length) throw this.#corrupt(page.id, "its elements are behind its end");
      const position = at + view.getUint32(at + 4, true);
      const middle = position + view.getUint32(at + 8, true);
      const end = middle + view.getUint32(at + 12, true);
      if (end > page.bytes.length) throw this.#corrupt(page.id, "a key or a value is behind its end");
      const key = page.bytes.subarray(position, middle);
      const order = before === undefined ? 1 : compareBytes(key, before);
      if (order < 0 || order === 0 && i > 0) throw this.#corrupt(page.id, "its keys are not in order");
      before = key;
      const flags = view.getUint32(at, true);
      if ((flags & ~BUCKET) !== 0) throw this.#corrupt(page.id, "an element has flags that there are not");
      yield { key, value: page.bytes.subarray(middle, end), isBucket: flags === BUCKET };
    }
  }

  #children(page: Page, atLeast?: Uint8Array): Child[] {
    if (page.count === 0) throw this.#corrupt(page.id, "a branch has no children");
    const view = viewOf(page.bytes);
    let before = atLeast;
    return Array.from({ length: page.count }, (_, i) => {
      const at = HEADER + i * 16;
      if (at + 16 > page.bytes.length) throw this.#corrupt(page.id, "its elements are behind its end");
      const position = at + view.getUint32(at, true);
      const end = position + view.getUint32(at + 4, true);
      const child = view.getBigUint64(at + 8, true);
      if (end > page.bytes.length || child < 2n || child >= BigInt(this.meta.pages)) {
        throw this.#corrupt(page.id, "a child of it is nowhere");
      }
      const key = page.bytes.slice(position, end); // it outlives the page
      const order = before === undefined ? 1 : compareBytes(key, before);
      if (order < 0 || order === 0 && i > 0) throw this.#corrupt(page.id, "its keys are not in order");
      before = key;
      return { key, page: Number(child) };
    });
  }

  *#free({ bytes, count, id }: Page): Generator<number, void, undefined> {
    const view = viewOf(bytes);
    const isLong = count === 0xffff; // the number did not fit into the header
    const [length, start] = isLong ? [Number(view.getBigUint64(HEADER, true)), HEADER + 8] : [count, HEADER];
    if (start + length * 8 > bytes.length) throw this.#corrupt(id, "the list of free pages is longer than it");
    for (let i = 0; i < length; i++) {
      const free = view.getBigUint64(start + i * 8, true);
      if (free >= BigInt(this.meta.pages)) throw this.#corrupt(id, "a free page is behind the last one");
      yield Number(free);
    }
  }

  /** A page whose bytes are here already. */
  #readPage(id: number): Page | undefined {
    const { pageSize } = this.meta;
    const header = this.#windows.here(id * pageSize, HEADER);
    const bytes = header && this.#windows.here(id * pageSize, this.#sizeOf(id, header));
    return bytes && pageOf(id, bytes);
  }

  async #page(id: number): Promise<Page> {
    const { pageSize } = this.meta;
    const header = await this.#windows.read(id * pageSize, HEADER);
    return pageOf(id, await this.#windows.read(id * pageSize, this.#sizeOf(id, header)));
  }

  /** The bytes of a page, by its header, which is checked. */
  #sizeOf(id: number, header: Uint8Array): number {
    const { pageSize, pages } = this.meta;
    const view = viewOf(header);
    const [flags, overflow] = [view.getUint16(8, true), view.getUint32(12, true)];
    if (view.getBigUint64(0, true) !== BigInt(id)) throw this.#corrupt(id, "it has the number of another");
    if (![Flag.BRANCH, Flag.LEAF, Flag.FREELIST].some((flag) => flag === flags)) {
      throw this.#corrupt(id, "it is of no kind that there is");
    }
    const size = (overflow + 1) * pageSize;
    if (id + overflow >= pages) throw this.#corrupt(id, "it reaches behind the last one");
    if (size > MAX_PAGE) {
      throw new SnapshotError(
        "UNSUPPORTED",
        `Page ${id} of ${JSON.stringify(this.#name)} has ${size} bytes, over ${MAX_PAGE}`,
        {
          file: this.#name,
          expected: MAX_PAGE,
          actual: size,
        },
      );
    }
    return Math.min(size, this.#size - id * pageSize);
  }

  #corrupt(page: number, what: string): SnapshotError {
    return new SnapshotError("CORRUPT", `Page ${page} of ${JSON.stringify(this.#name)} is damaged: ${what}`, {
      file: this.#name,
    });
  }
}

function inlinePage(value: Uint8Array): Page {
  const bytes = value.subarray(16);
  if (bytes.length < HEADER) return { id: 0, flags: 0, count: 0, overflow: 0, bytes };
  return { ...pageOf(0, bytes), overflow: 0 };
}

/** A page that outlives others that are read. */
function copyOf(page: Page): Page {
  return { ...page, bytes: page.bytes.slice() };
}

function pageOf(id: number, bytes: Uint8Array): Page {
  const view = viewOf(bytes);
  const [flags, count] = [view.getUint16(8, true), view.getUint16(10, true)];
  return { id, flags, count, overflow: view.getUint32(12, true), bytes };
}

/** A meta page, if it is right. */
async function readMeta(file: SourceFile, at: number, size: number): Promise<BoltMeta | undefined> {
  if (at + HEADER + META_SIZE > size) return undefined;
  const page = await file.read(at, at + HEADER + META_SIZE);
  if (page.length < HEADER + META_SIZE) return undefined;
  const bytes = page.subarray(HEADER);
  const view = viewOf(bytes);
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
  const view = viewOf(start);
  return start.length >= HEADER + 8 && view.getUint32(HEADER, true) === MAGIC && view.getUint32(HEADER + 4, true) === 2;
}

function fnv64(bytes: Uint8Array): bigint {
  let hash = 0xcbf2_9ce4_8422_2325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100_0000_01b3n);
  return hash;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
