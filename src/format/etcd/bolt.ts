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
import type { SourceFile } from "../files.ts";
import { type BoltMeta, readMeta } from "./bolt_meta.ts";
import { Windows } from "./windows.ts";

const HEADER = 16;
/** The flags of pages. */
const Flag = { BRANCH: 1, LEAF: 2, META: 4, FREELIST: 16 } as const;
/** The flag of an element that is a bucket. */
const BUCKET = 1;
/** The most bytes of a page with those that it overflows to: etcd takes values of a few MiB. */
const MAX_PAGE = 32 * 1024 * 1024;
/** The deepest tree: bbolt's have a few levels. */
const MAX_DEPTH = 64;
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

/** A page of a tree, and the least key that may be in it. */
interface Visited {
  readonly page: Page;
  readonly key: Uint8Array | undefined;
}

interface Page {
  readonly id: number;
  readonly flags: number;
  readonly count: number;
  readonly overflow: number;
  /** Its bytes; others may follow. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly size: number;
}

/** A database of bbolt. */
export class Bolt {
  readonly #windows: Windows;
  readonly #name: string;
  readonly #size: number;
  /** Its state. */
  readonly meta: BoltMeta;

  private constructor(windows: Windows, name: string, size: number, meta: BoltMeta) {
    this.#windows = windows;
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
   * @param onBytes is given all bytes in order while it is checked
   */
  static async open(
    file: SourceFile,
    name: string,
    size: number,
    onBytes?: (bytes: Uint8Array) => void,
  ): Promise<Bolt> {
    const meta = await readMeta(file, name, size);
    return new Bolt(new Windows(file, name, size, onBytes), name, size, meta);
  }

  /** The elements of the root: its buckets. */
  async *buckets(): AsyncGenerator<BoltElement, void, undefined> {
    for (const visited of this.#pages(this.meta.root)) {
      if (visited instanceof Promise) await visited;
      else if (isLeaf(visited)) yield* this.#leaf(copyOf(visited.page), visited.key);
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
    for (const visited of this.#pages(root)) {
      if (left-- <= 0) return;
      if (visited instanceof Promise) await visited;
      else if (isLeaf(visited)) yield* this.#leaf(visited.page, visited.key);
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
   */
  async check(): Promise<void> {
    const seen = new PageSet(this.meta.pages);
    const mark = (page: Page) => {
      for (let i = 0; i <= page.overflow; i++) {
        if (!seen.add(page.id + i)) throw this.#corrupt(page.id + i, "it is in two places");
      }
    };
    seen.add(0);
    seen.add(1);
    for (const visited of this.#pages(this.meta.root)) {
      if (visited instanceof Promise) {
        await visited;
        continue;
      }
      mark(visited.page);
      if (!isLeaf(visited)) continue;
      for (const bucket of this.#leaf(copyOf(visited.page), visited.key)) await this.#checkBucket(bucket, mark);
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
    const root = this.#rootOf(value);
    if (root === 0) return this.#checkLeaf(inlinePage(value), undefined, "values");
    for (const visited of this.#pages(root)) {
      if (visited instanceof Promise) {
        await visited;
        continue;
      }
      mark(visited.page);
      if (isLeaf(visited)) this.#checkLeaf(visited.page, visited.key, "values");
    }
  }

  /** Reads what was not read yet, so that all bytes were given in order. */
  async rest(): Promise<void> {
    await this.#windows.rest();
  }

  /** Waits for what is being read: the file may be closed then. */
  async close(): Promise<void> {
    await this.#windows.close();
  }

  #rootOf(value: Uint8Array): number {
    if (value.length < 16) throw this.#corrupt(this.meta.root, "a bucket has no header");
    const root = viewOf(value).getBigUint64(0, true);
    if (root < BigInt(this.meta.pages)) return Number(root);
    throw this.#corrupt(this.meta.root, "a bucket begins behind the last page");
  }

  /**
   * The pages of a tree, each before those that it leads to, and never more of them than there are; what is to be waited
   * for before the next stands between them.
   */
  *#pages(root: number): Generator<Visited | Promise<void>, void, undefined> {
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
      let page = this.#readPage(id);
      if (page === undefined) {
        yield this.#load(id);
        page = this.#readPage(id)!;
      }
      const visited = { page, key };
      yield visited;
      if (!isLeaf(visited)) path.push(this.#children(page, key).values());
    }
  }

  *#leaf(page: Page, atLeast?: Uint8Array): Generator<BoltElement, void, undefined> {
    this.#checkLeaf(page, atLeast);
    const { view } = page;
    for (let at = HEADER; at < HEADER + page.count * 16; at += 16) {
      const position = at + view.getUint32(at + 4, true);
      const middle = position + view.getUint32(at + 8, true);
      const end = middle + view.getUint32(at + 12, true);
      const isBucket = view.getUint32(at, true) === BUCKET;
      yield { key: page.bytes.subarray(position, middle), value: page.bytes.subarray(middle, end), isBucket };
    }
  }

  /** Checks that the elements of a leaf are inside of it, and in order; and that none is a bucket, where there are values. */
  #checkLeaf({ id, flags, count, bytes, view, size }: Page, atLeast?: Uint8Array, only?: "values"): void {
    if ((flags & Flag.LEAF) === 0) throw this.#corrupt(id, "it is no leaf");
    if (HEADER + count * 16 > size) throw this.#corrupt(id, "its elements are behind its end");
    let [before, from, to] = [atLeast ?? bytes, 0, atLeast?.length ?? 0];
    for (let i = 0; i < count; i++) {
      const at = HEADER + i * 16;
      const position = at + view.getUint32(at + 4, true);
      const middle = position + view.getUint32(at + 8, true);
      if (middle + view.getUint32(at + 12, true) > size) {
        throw this.#corrupt(id, "a key or a value is behind its end");
      }
      const order = i === 0 && atLeast === undefined ? 1 : compareParts(bytes, position, middle, before, from, to);
      if (order < 0 || order === 0 && i > 0) throw this.#corrupt(id, "its keys are not in order");
      [before, from, to] = [bytes, position, middle];
      const kind = view.getUint32(at, true);
      if ((kind & ~BUCKET) !== 0) throw this.#corrupt(id, "an element has flags that there are not");
      if (kind !== BUCKET || only === undefined) continue;
      throw new SnapshotError(
        "UNSUPPORTED",
        `${JSON.stringify(this.#name)} has a bucket in a bucket: it is not of etcd`,
      );
    }
  }

  #children(page: Page, atLeast?: Uint8Array): Child[] {
    if (page.count === 0) throw this.#corrupt(page.id, "a branch has no children");
    const { view } = page;
    let before = atLeast;
    return Array.from({ length: page.count }, (_, i) => {
      const at = HEADER + i * 16;
      if (at + 16 > page.size) throw this.#corrupt(page.id, "its elements are behind its end");
      const position = at + view.getUint32(at, true);
      const end = position + view.getUint32(at + 4, true);
      const child = view.getBigUint64(at + 8, true);
      if (end > page.size || child < 2n || child >= BigInt(this.meta.pages)) {
        throw this.#corrupt(page.id, "a child of it is nowhere");
      }
      const key = page.bytes.slice(position, end); // it outlives the page
      const order = before === undefined ? 1 : compareBytes(key, before);
      if (order < 0 || order === 0 && i > 0) throw this.#corrupt(page.id, "its keys are not in order");
      before = key;
      return { key, page: Number(child) };
    });
  }

  *#free({ view, size, count, id }: Page): Generator<number, void, undefined> {
    const isLong = count === 0xffff; // the number did not fit into the header
    const [length, start] = isLong ? [Number(view.getBigUint64(HEADER, true)), HEADER + 8] : [count, HEADER];
    if (start + length * 8 > size) throw this.#corrupt(id, "the list of free pages is longer than it");
    for (let i = 0; i < length; i++) {
      const free = view.getBigUint64(start + i * 8, true);
      if (free >= BigInt(this.meta.pages)) throw this.#corrupt(id, "a free page is behind the last one");
      yield Number(free);
    }
  }

  /** A page whose bytes are here already. */
  #readPage(id: number): Page | undefined {
    const bytes = this.#windows.here(id * this.meta.pageSize, HEADER);
    if (bytes === undefined) return undefined;
    const view = viewOf(bytes);
    const size = this.#sizeOf(id, view);
    if (size <= bytes.length) return pageOf(id, bytes, view, size);
    const whole = this.#windows.here(id * this.meta.pageSize, size);
    return whole && pageOf(id, whole, viewOf(whole), size);
  }

  /** Reads a page, which is here then. */
  async #load(id: number): Promise<void> {
    const at = id * this.meta.pageSize;
    await this.#windows.read(at, this.#sizeOf(id, viewOf(await this.#windows.read(at, HEADER))));
  }

  async #page(id: number): Promise<Page> {
    await this.#load(id);
    return this.#readPage(id)!;
  }

  /** The bytes of a page, by its header, which is checked. */
  #sizeOf(id: number, header: DataView): number {
    const { pageSize, pages } = this.meta;
    const [flags, overflow] = [header.getUint16(8, true), header.getUint32(12, true)];
    if (header.getUint32(0, true) + header.getUint32(4, true) * 2 ** 32 !== id) {
      throw this.#corrupt(id, "it has the number of another");
    }
    if (flags !== Flag.BRANCH && flags !== Flag.LEAF && flags !== Flag.FREELIST) {
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
  const [view, size] = [viewOf(bytes), bytes.length];
  if (size < HEADER) return { id: 0, flags: 0, count: 0, overflow: 0, bytes, view, size };
  return { ...pageOf(0, bytes, view, size), overflow: 0 };
}

function isLeaf({ page }: Visited): boolean {
  return (page.flags & Flag.BRANCH) === 0;
}

/** The order of a part of some bytes and a part of others. */
function compareParts(a: Uint8Array, at: number, end: number, b: Uint8Array, from: number, to: number): number {
  for (; at < end && from < to; at++, from++) if (a[at] !== b[from]) return a[at]! - b[from]!;
  return (end - at) - (to - from);
}

/** A page that outlives others that are read. */
function copyOf(page: Page): Page {
  const bytes = page.bytes.slice(0, page.size);
  return { ...page, bytes, view: viewOf(bytes) };
}

function pageOf(id: number, bytes: Uint8Array, view: DataView, size: number): Page {
  const [flags, count] = [view.getUint16(8, true), view.getUint16(10, true)];
  return { id, flags, count, overflow: view.getUint32(12, true), bytes, view, size };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
