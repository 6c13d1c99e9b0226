/**
 * A bucket with retries: late, failing, and cut answers become right ones or a clear error.
 *
 * @module
 */

import type { Bucket, BucketObject } from "./bucket.ts";
import { hasCode, messageOf, SnapshotError, throwIfCancelled } from "../errors.ts";
import { pause, raceAbort } from "../async/mod.ts";
import { equal } from "../stream/mod.ts";

/** Attempts of a request before it fails. */
const ATTEMPTS = 5;
/** Times that wrong bytes are read again, each time on another path, before they are called bad. */
const REREADS = 2;
/** The pause before the second attempt, in milliseconds; each further one is three times as long. */
const FIRST_PAUSE = 100;
/** The longest pause that a bucket may ask for, in milliseconds. */
const LONGEST_PAUSE = 30_000;
/** A request fails after so many milliseconds in which nothing came from the bucket. */
const REQUEST_TIMEOUT = 15_000;
/** An upload has one millisecond more for each of so many bytes (128 KB/s). */
const SLOWEST = 128;
/** Objects deleted with one request. */
const DELETED_AT_ONCE = 1000;

/** Options of {@linkcode RetryingBucket.read}. */
export interface ReadObjectOptions {
  /** The bytes to read; all if absent. */
  readonly range?: { readonly start: number; readonly end: number } | undefined;
  /** The most bytes that are taken into memory. */
  readonly limit: number;
  /** Memory for the bytes, used if they fit; not to be used for anything else before this has settled. */
  readonly into?: Uint8Array | undefined;
  /** Cancels it. */
  readonly signal?: AbortSignal | undefined;
  /** The most attempts; 5 if absent. */
  readonly attempts?: number | undefined;
}

/** An object, read as a whole. */
export interface ReadObject {
  /** Its bytes, or the range of them. */
  readonly bytes: Uint8Array;
  /** The ETag of the object that was read. */
  readonly etag: string;
  /** The size of the object in bytes. */
  readonly size: number;
}

type Work<T> = (signal: AbortSignal, alive: () => void) => Promise<T>;

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
    const { range, limit } = options;
    return await this.#attempt(
      `read ${this.#prefix}${key}`,
      async (signal, alive) => {
        const found = await this.#bucket.get(this.#prefix + key, { ...(range !== undefined && { range }), signal });
        if (found === undefined) return undefined;
        const expected = range === undefined ? found.size : Math.min(range.end, found.size) - range.start;
        if (!(expected >= 0 && expected <= limit)) {
          await found.body.cancel();
          throw new SnapshotError("CORRUPT", `${this.#prefix}${key} has ${found.size} bytes: it is not what it was`, {
            file: this.#prefix + key,
            actual: found.size,
          });
        }
        const { into } = options;
        const bytes = into !== undefined && expected <= into.length
          ? into.subarray(0, expected)
          : new Uint8Array(expected);
        return {
          bytes: await this.#readAll(key, found.body, bytes, signal, alive),
          etag: found.etag,
          size: found.size,
        };
      },
      options.signal,
      0,
      options.attempts,
    );
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
    const listed = await this.listed(key, options.signal);
    if (listed === undefined) throw this.#suspect(key, "the list does not have it");
    const wrong = options.range === undefined ? listed.size > options.limit : listed.size < options.range.end;
    // To know that it is too short, or too long, only its size has to be read.
    const range = { start: 0, end: Math.min(1, listed.size) };
    const asked = !wrong ? options : listed.size === 0 ? { ...options, range: undefined } : { ...options, range };
    const found = await this.read(key, asked).catch((error) => {
      throw hasCode(error, "CORRUPT", "MALFORMED") ? this.#suspect(key, messageOf(error)) : error;
    });
    if (found === undefined) throw this.#suspect(key, "it is listed and cannot be read");
    if (found.etag !== listed.etag || found.size !== listed.size) {
      throw this.#suspect(key, `it is listed with ${listed.size} bytes, and ${found.size} others were read`);
    }
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
    await this.#attempt(
      `write ${this.#prefix}${key}`,
      (signal) => this.#bucket.put(this.#prefix + key, bytes, { signal }),
      signal,
      bytes.length,
    );
  }

  /**
   * Writes an object if it is unchanged. Attempted once: after a failure it is not known whether it was written.
   *
   * @param etag the ETag that it had; absent if there was none
   * @returns its ETag now; nothing if it had changed
   */
  async swap(key: string, bytes: Uint8Array, etag: string | undefined): Promise<string | undefined> {
    const condition = etag === undefined ? { ifNoneMatch: "*" as const } : { ifMatch: etag };
    const written = await this.#once(
      `write ${this.#prefix}${key}`,
      (signal) => this.#bucket.put(this.#prefix + key, bytes, { ...condition, signal }),
      undefined,
      bytes.length,
    );
    return written?.etag;
  }

  /** Deletes objects. */
  async delete(keys: readonly string[], signal?: AbortSignal): Promise<void> {
    for (let at = 0; at < keys.length; at += DELETED_AT_ONCE) {
      const some = keys.slice(at, at + DELETED_AT_ONCE).map((key) => this.#prefix + key);
      await this.#attempt(
        `delete ${some.length} objects of ${this.#prefix}`,
        (signal) => this.#bucket.delete(some, { signal }),
        signal,
      );
    }
  }

  /** Lists the objects below a prefix, with keys as the other methods take them. It may lag behind puts and deletes. */
  async *list(below: string, signal?: AbortSignal): AsyncGenerator<BucketObject, void, undefined> {
    const prefix = this.#prefix + below;
    let cursor: string | undefined;
    do {
      const before = cursor;
      const page = await this.#attempt(
        `list ${prefix}`,
        (signal) => this.#bucket.list({ prefix, ...(before !== undefined && { cursor: before }), signal }),
        signal,
      );
      for (const object of page.objects) {
        if (object.key.startsWith(prefix)) yield { ...object, key: object.key.slice(this.#prefix.length) };
      }
      cursor = page.cursor;
      if (cursor !== undefined && cursor === before) {
        throw new SnapshotError("UNAVAILABLE", `The list of ${prefix} does not advance: the same cursor came twice`, {
          source: prefix,
        });
      }
    } while (cursor !== undefined);
  }

  /** Fills `bytes` with a body. Writes nothing more once the signal has fired. */
  async #readAll(
    key: string,
    body: ReadableStream<Uint8Array>,
    bytes: Uint8Array,
    signal: AbortSignal,
    alive: () => void,
  ): Promise<Uint8Array> {
    const expected = bytes.length;
    const reader = body.getReader();
    let length = 0;
    const stop = () => void reader.cancel(signal.reason).catch(() => {});
    signal.addEventListener("abort", stop, { once: true });
    try {
      for (;;) {
        const { done, value } = await reader.read();
        throwIfCancelled(signal);
        if (done) break;
        alive();
        if (length + value.length > expected) length = Infinity;
        else bytes.set(value, length);
        length += value.length;
        if (length > expected) break;
      }
    } finally {
      signal.removeEventListener("abort", stop);
      if (length !== expected) stop();
    }
    if (length === expected) return bytes;
    throw new SnapshotError(
      "UNAVAILABLE",
      `${this.#prefix}${key} was answered with ${length > expected ? "more than" : `${length} of`} ${expected} bytes`,
      { source: this.#prefix + key, expected, ...(length < expected && { actual: length }) },
    );
  }

  async #attempt<T>(
    what: string,
    work: Work<T>,
    signal: AbortSignal | undefined,
    size = 0,
    attempts = ATTEMPTS,
  ): Promise<T> {
    for (let attempt = 1;; attempt++) {
      try {
        return await this.#once(what, work, signal, size);
      } catch (error) {
        throwIfCancelled(signal);
        if (attempt >= attempts || !hasCode(error, "UNAVAILABLE", "TIMEOUT")) throw error;
        await pause(pauseAfter(attempt, error), signal);
      }
    }
  }

  /** Makes a request, which fails if nothing comes of it for too long. */
  async #once<T>(what: string, work: Work<T>, signal: AbortSignal | undefined, size: number): Promise<T> {
    throwIfCancelled(signal);
    const timeout = REQUEST_TIMEOUT + Math.ceil(size / SLOWEST);
    const controller = new AbortController();
    const cancel = () => controller.abort(signal!.reason);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const alive = () => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        controller.abort(
          new SnapshotError("TIMEOUT", `Could not ${what}: nothing came for ${timeout} ms`, {
            source: this.#prefix,
          }),
        );
      }, timeout);
    };
    alive();
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      return await raceAbort(work(controller.signal, alive), controller.signal);
    } catch (error) {
      if (error instanceof SnapshotError) throw error;
      throw new SnapshotError("UNAVAILABLE", `Could not ${what}: ${messageOf(error)}`, {
        source: this.#prefix,
        cause: error,
      });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", cancel);
    }
  }
}

/** The pause before a request is retried, in milliseconds; random, so that clients do not retry all at once. */
export function pauseAfter(attempt: number, error?: unknown): number {
  const asked = error instanceof SnapshotError ? error.fields.retryAfter : undefined;
  const own = FIRST_PAUSE * 3 ** (attempt - 1) * (0.5 + Math.random() / 2);
  return asked === undefined ? own : Math.max(Math.min(asked, LONGEST_PAUSE), own);
}
