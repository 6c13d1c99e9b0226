/**
 * A bucket with retries: late, failing, and cut answers become right ones or a clear error.
 *
 * @module
 */

import { hasCode, messageOf, SnapshotError } from "../errors.ts";
import { equal } from "../stream/mod.ts";
import { attempt, attemptOnce, type BucketRequest } from "./attempts.ts";
import type { Bucket, BucketObject } from "./bucket.ts";
import { type ReadObject, readWhole, type ReadWholeOptions } from "./read_whole.ts";

/** Times that wrong bytes are read again, each time on another path, before they are called bad. */
const REREADS = 2;
/** Times that an object may have been replaced between the list and the read before it counts as suspect. */
const MOST_REPLACED = 20;
/** Objects deleted with one request. */
const DELETED_AT_ONCE = 1000;

/** Options of {@linkcode RetryingBucket.read}. */
export interface ReadObjectOptions extends ReadWholeOptions {
  /** Cancels it. */
  readonly signal?: AbortSignal | undefined;
  /** The most attempts; 5 if absent. */
  readonly attempts?: number | undefined;
}

/** The part of a bucket below a prefix, with whole bodies. */
export class RetryingBucket {
  readonly #bucket: Bucket;
  readonly #prefix: string;

  /**
   * @param bucket the bucket
   * @param prefix what all keys begin with
   */
  constructor(bucket: Bucket, prefix: string) {
    this.#bucket = bucket;
    this.#prefix = prefix;
  }

  /**
   * Reads an object, or a part of it, into memory: all of the bytes, or it fails. One answer proves nothing about the
   * object.
   *
   * @returns nothing if there is none
   * @throws {SnapshotError} `CORRUPT` if its size does not fit the range or the `limit`
   */
  async read(key: string, options: ReadObjectOptions): Promise<ReadObject | undefined> {
    const { signal, attempts } = options;
    const path = this.#prefix + key;
    return await attempt({
      ...this.#request(
        `read ${path}`,
        signal,
        (signal, alive) => readWhole(this.#bucket, path, options, signal, alive),
      ),
      attempts,
    });
  }

  /**
   * Reads an object that must be there, or a part of it. If it is absent, or has another size, it is read on another
   * path too: one answer is only one observer's.
   *
   * @returns nothing if the list does not have it either
   */
  async readKnown(key: string, options: ReadObjectOptions): Promise<ReadObject | undefined> {
    let found: ReadObject | undefined;
    try {
      found = await this.read(key, options);
      const { range } = options;
      if (range !== undefined && (found?.bytes.length ?? 0) < range.end - range.start) found = undefined;
    } catch (error) {
      if (!hasCode(error, "CORRUPT", "MALFORMED")) throw error;
    }
    if (found !== undefined || await this.listed(key, options.signal) === undefined) return found;
    return await this.readAgain(key, options);
  }

  /**
   * Reads an object, or a part of it, on a path of its own: the list and the read must agree on its ETag and size. A
   * proxy, or a page to log in, does not know them.
   *
   * @throws {SnapshotError} `UNAVAILABLE` if both do not agree; `CORRUPT` if they agree that the object is too short,
   *   or has more than `limit` bytes
   */
  async readAgain(key: string, options: ReadObjectOptions): Promise<ReadObject> {
    let listed = await this.listed(key, options.signal);
    for (let times = 1;; times++) {
      if (listed === undefined) throw this.#suspect(key, "the list does not have it");
      const found = await this.#readListed(key, listed, options);
      if (found !== undefined) return found;
      const now = await this.listed(key, options.signal);
      // Another process may replace it between the list and the read, as often as there are processes.
      if (now?.etag === listed.etag || times === MOST_REPLACED) {
        throw this.#suspect(key, `it is listed with ${listed.size} bytes, and others were read`);
      }
      listed = now;
    }
  }

  /** Returns nothing if what is read is not what is listed. */
  async #readListed(key: string, listed: BucketObject, options: ReadObjectOptions): Promise<ReadObject | undefined> {
    const wrong = options.range === undefined ? listed.size > options.limit : listed.size < options.range.end;
    // To know that it is too short, or too long, only its size has to be read.
    const range = { start: 0, end: Math.min(1, listed.size) };
    const asked = !wrong ? options : listed.size === 0 ? { ...options, range: undefined } : { ...options, range };
    const found = await this.read(key, asked).catch((error) => {
      throw hasCode(error, "CORRUPT", "MALFORMED") ? this.#suspect(key, messageOf(error)) : error;
    });
    if (found === undefined) throw this.#suspect(key, "it is listed and cannot be read");
    if (found.etag !== listed.etag || found.size !== listed.size) return undefined;
    if (!wrong) return found;
    throw new SnapshotError("CORRUPT", `${this.#prefix}${key} has ${listed.size} bytes: it is not what was written`, {
      file: this.#prefix + key,
      actual: listed.size,
    });
  }

  /** Returns an object as it is listed; nothing if it is not. */
  async listed(key: string, signal?: AbortSignal): Promise<BucketObject | undefined> {
    for await (const object of this.list(key, signal)) if (object.key === key) return object;
    return undefined;
  }

  #suspect(key: string, what: string): SnapshotError {
    return new SnapshotError("UNAVAILABLE", `${this.#prefix}${key} cannot be relied upon now: ${what}`, {
      source: this.#prefix + key,
    });
  }

  /**
   * Reads and decodes an object. If it does not decode it is read twice more, on other paths: it may have come wrong.
   *
   * @param decode makes something of the bytes, or fails with `CORRUPT` or `MALFORMED`
   * @returns nothing if it is not there
   * @throws {SnapshotError} `CORRUPT` or `MALFORMED` if it is proven not to decode; `UNAVAILABLE` if it is read
   *   differently each time; any other error of `decode`
   */
  async readAs<T>(
    key: string,
    limit: number,
    decode: (found: ReadObject) => Promise<T>,
    attempts?: number,
  ): Promise<T | undefined> {
    const found = await this.readKnown(key, { limit, attempts });
    let wrong: unknown;
    try {
      return found && await decode(found);
    } catch (error) {
      if (!hasCode(error, "CORRUPT", "MALFORMED")) throw error;
    }
    let before: ReadObject | undefined;
    for (let times = 0; times < REREADS; times++) {
      const again = await this.readAgain(key, { limit, attempts });
      try {
        return await decode(again);
      } catch (error) {
        if (!hasCode(error, "CORRUPT", "MALFORMED")) throw error;
        wrong = error;
      }
      if (before !== undefined && !equal(before.bytes, again.bytes)) {
        throw this.#suspect(key, "it is read differently each time");
      }
      before = again;
    }
    throw wrong;
  }

  /** Writes an object whose key nobody else ever uses, so that a retry does no harm. */
  async put(key: string, bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    const path = this.#prefix + key;
    const put = (signal: AbortSignal) => this.#bucket.put(path, bytes, { signal });
    await attempt({ ...this.#request(`write ${path}`, signal, put), size: bytes.length });
  }

  /**
   * Writes an object if it is unchanged. Attempted once: after a failure it is not known whether it was written.
   *
   * @param etag the ETag that it had; absent if there was none
   * @returns its ETag now; nothing if it had changed
   */
  async swap(key: string, bytes: Uint8Array, etag: string | undefined): Promise<string | undefined> {
    const condition = etag === undefined ? { ifNoneMatch: "*" as const } : { ifMatch: etag };
    const path = this.#prefix + key;
    const put = (signal: AbortSignal) => this.#bucket.put(path, bytes, { ...condition, signal });
    const written = await attemptOnce({ ...this.#request(`write ${path}`, undefined, put), size: bytes.length });
    return written?.etag;
  }

  /** Deletes objects. */
  async delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    for (let at = 0; at < keys.length; at += DELETED_AT_ONCE) {
      const some = keys.slice(at, at + DELETED_AT_ONCE).map((key) => this.#prefix + key);
      const what = `delete ${some.length} objects of ${this.#prefix}`;
      await attempt(this.#request(what, signal, (signal) => this.#bucket.delete(some, { signal })));
    }
  }

  /** Lists the objects below a prefix, with keys as the other methods take them. It may lag behind puts and deletes. */
  async *list(below: string, signal?: AbortSignal): AsyncGenerator<BucketObject, void, undefined> {
    const prefix = this.#prefix + below;
    let cursor: string | undefined;
    let kept: string | undefined;
    for (let pages = 1;; pages++) {
      const options = { prefix, ...(cursor !== undefined && { cursor }) };
      const page = await attempt(
        this.#request(`list ${prefix}`, signal, (signal) => this.#bucket.list({ ...options, signal })),
      );
      for (const object of page.objects) {
        if (object.key.startsWith(prefix)) yield { ...object, key: object.key.slice(this.#prefix.length) };
      }
      cursor = page.cursor;
      if (cursor === undefined) return;
      if (cursor === kept) {
        throw new SnapshotError("UNAVAILABLE", `The list of ${prefix} does not advance: the same cursor came twice`, {
          source: prefix,
        });
      }
      // Brent's way: with one cursor of ever longer ago, a circle of any length is found.
      if (Number.isInteger(Math.log2(pages))) kept = cursor;
    }
  }

  #request<T>(
    what: string,
    signal: AbortSignal | undefined,
    work: BucketRequest<T>["work"],
  ): BucketRequest<T> {
    return { what, source: this.#prefix, work, signal };
  }
}
