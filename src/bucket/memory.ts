/**
 * Objects in memory.
 *
 * @module
 */

import { throwIfCancelled } from "../errors.ts";
import { compareBytes, concat, sha256, toHex } from "../stream/mod.ts";
import { type Pieces, piecesOf, streamOf } from "./bodies.ts";
import type { Bucket, BucketBody, BucketObject, GetOptions, ListOptions, ListPage, PutOptions } from "./bucket.ts";
import { checkDelete, checkGet, checkList, checkPut, keyBytes, rangeWithin } from "./keys.ts";

/** The size of the pieces that a body is read in. */
const PIECE_SIZE = 256 * 1024;

/** An object, with the bytes of its key to sort by. */
interface Stored extends BucketObject {
  readonly order: Uint8Array;
  readonly bytes: Uint8Array;
}

/**
 * A bucket in memory: for tests, and for data that need not survive the process. Its ETags are made of the bytes, as
 * S3's and R2's are: the same bytes put again have the same ETag.
 *
 * @example
 * ```ts
 * import { MemoryBucket } from "@snapstream/snapstream/object";
 *
 * const bucket = new MemoryBucket();
 * await bucket.put("greeting", new TextEncoder().encode("hello"));
 * const found = await bucket.get("greeting", { range: { start: 1 } });
 * console.assert(await new Response(found!.body as BodyInit).text() === "ello");
 * ```
 */
export class MemoryBucket implements Bucket {
  readonly #objects = new Map<string, Stored>();
  /** All objects in order; absent once a put or a delete has changed them. */
  #sorted: readonly Stored[] | undefined;

  /** Reads an object, or a part of it. */
  async get(key: string, options: GetOptions = {}): Promise<BucketBody | undefined> {
    checkGet(key, options);
    const { range, signal } = options;
    throwIfCancelled(signal);
    const found = this.#objects.get(key);
    if (found === undefined) return undefined;
    const { start, end } = rangeWithin(key, found.bytes.length, range);
    return { ...objectOf(found), body: streamOf(slices(found.bytes.subarray(start, end)), signal) };
  }

  /** Writes an object. */
  async put(
    key: string,
    body: Uint8Array | ReadableStream<Uint8Array>,
    options: PutOptions = {},
  ): Promise<BucketObject | undefined> {
    const checked = checkPut(key, body, options);
    const { order } = checked;
    const pieces: Uint8Array[] = [];
    // Copied now: the bytes are kept, and the caller may use the array further.
    const own = checked.body instanceof Uint8Array ? checked.body.slice() : checked.body;
    for await (const piece of piecesOf(own, options.signal)) pieces.push(piece.slice());
    const bytes = concat(pieces);
    const etag = `"${toHex(await sha256(bytes)).slice(0, 32)}"`;
    throwIfCancelled(options.signal);
    const there = this.#objects.get(key);
    if (options.ifNoneMatch !== undefined && there !== undefined) return undefined;
    if (options.ifMatch !== undefined && there?.etag !== options.ifMatch) return undefined;
    const stored = { key, order, bytes, etag, size: bytes.length };
    this.#objects.set(key, stored);
    this.#sorted = undefined;
    return objectOf(stored);
  }

  /** Deletes objects. */
  async delete(keys: readonly string[], options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    checkDelete(keys, options);
    throwIfCancelled(options.signal);
    for (const key of keys) if (this.#objects.delete(key)) this.#sorted = undefined;
  }

  /** Lists the objects, page by page. The cursor is the last key of the page. */
  // deno-lint-ignore require-await -- so that it rejects, and never throws
  async list(options: ListOptions = {}): Promise<ListPage> {
    const limit = checkList(options);
    const { prefix = "", cursor, signal } = options;
    throwIfCancelled(signal);
    const after = cursor === undefined ? new Uint8Array() : keyBytes(cursor);
    this.#sorted ??= [...this.#objects.values()].sort((a, b) => compareBytes(a.order, b.order));
    const objects: BucketObject[] = [];
    for (const stored of this.#sorted) {
      if (!stored.key.startsWith(prefix) || compareBytes(stored.order, after) <= 0) continue;
      if (objects.length === limit) return { objects, cursor: objects.at(-1)!.key };
      objects.push(objectOf(stored));
    }
    return { objects };
  }
}

function objectOf({ key, size, etag }: BucketObject): BucketObject {
  return { key, size, etag };
}

function slices(bytes: Uint8Array): Pieces {
  let at = 0;
  return {
    next: () => Promise.resolve(at < bytes.length ? bytes.slice(at, at += PIECE_SIZE) : undefined),
    close: () => Promise.resolve(),
  };
}
