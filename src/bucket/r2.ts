/**
 * An R2 bucket, bound to a worker.
 *
 * @module
 */

import { able } from "../checks.ts";
import { hasCode, messageOf, SnapshotError, throwIfCancelled } from "../errors.ts";
import { raceAbort } from "../async/mod.ts";
import { partsOf, type Pieces, streamOf } from "./bodies.ts";
import type { Bucket, BucketBody, BucketObject, GetOptions, ListOptions, ListPage, PutOptions } from "./bucket.ts";
import { beyondEnd, checkDelete, checkGet, checkList, checkPut, rangeWithin } from "./keys.ts";

/** The parts of a stream; R2 wants all but the last to be of one size, and 5 MiB at least. */
const PART_SIZE = 8 * 1024 * 1024;
/** Keys that R2 deletes in one go. */
const DELETE_BATCH = 1000;

/** An object's key, size and ETag, as R2 says them. */
export interface R2ObjectLike {
  /** Its key. */
  readonly key: string;
  /** Its size in bytes. */
  readonly size: number;
  /** Its ETag, without quotes. */
  readonly etag: string;
}

/** An upload in parts. */
export interface R2UploadLike {
  /** Uploads a part, counted from 1. */
  uploadPart(partNumber: number, value: Uint8Array): Promise<R2PartLike>;
  /** Makes an object of the parts. */
  complete(parts: R2PartLike[]): Promise<R2ObjectLike>;
  /** Aborts it. */
  abort(): Promise<void>;
}

/** A part that was uploaded. */
export interface R2PartLike {
  /** Its number, from 1. */
  partNumber: number;
  /** Its ETag. */
  etag: string;
}

/** The part that is used of a bucket bound to a worker (`env.BUCKET`). */
export interface R2BucketLike {
  /** Describes an object. */
  head(key: string): Promise<R2ObjectLike | null>;
  /** Reads an object. */
  get(
    key: string,
    options?: { range?: { offset: number; length?: number } },
  ): Promise<(R2ObjectLike & { readonly body: ReadableStream }) | null>;
  /** Writes an object. */
  put(
    key: string,
    value: Uint8Array | ReadableStream,
    options?: { onlyIf?: { etagMatches?: string; etagDoesNotMatch?: string } },
  ): Promise<R2ObjectLike | null>;
  /** Begins an upload in parts. */
  createMultipartUpload(key: string): Promise<R2UploadLike>;
  /** Deletes objects. */
  delete(keys: string[]): Promise<void>;
  /** Lists objects. */
  list(options?: { prefix?: string; cursor?: string; limit?: number }): Promise<
    { readonly objects: readonly R2ObjectLike[]; readonly truncated: boolean; readonly cursor?: string }
  >;
}

/**
 * Objects in R2, in a worker or a Durable Object. Not to be confused with R2 by its S3 interface, which works from
 * everywhere.
 *
 * A put is durable when R2 says so, whatever becomes of the worker. A stream of more than 8 MiB that is put on a
 * condition goes up beside its key first, since R2 knows no condition for uploads in parts: an object whose key begins
 * with `snapstream-upload-` was left by a worker that was stopped meanwhile.
 *
 * @example
 * ```ts
 * import { R2BindingBucket, type R2BucketLike } from "@snapstream/snapstream/object";
 *
 * function greet(env: { readonly BUCKET: R2BucketLike }): Promise<unknown> {
 *   return new R2BindingBucket(env.BUCKET).put("greeting", new TextEncoder().encode("hello"), { ifNoneMatch: "*" });
 * }
 * console.assert(typeof greet === "function");
 * ```
 */
export class R2BindingBucket implements Bucket {
  readonly #bucket: R2BucketLike;

  /**
   * Takes a binding.
   *
   * @param bucket the binding: `env.BUCKET`
   */
  constructor(bucket: R2BucketLike) {
    able("R2's bucket: a binding", "get", "put", "delete", "list")(bucket, "bucket");
    this.#bucket = bucket;
  }

  /** Reads an object, or a part of it. */
  async get(key: string, options: GetOptions = {}): Promise<BucketBody | undefined> {
    checkGet(key, options);
    const { range, signal } = options;
    const { start = 0, end = Infinity } = range ?? {};
    const wanted = range && { offset: start, ...(end !== Infinity && { length: end - start }) };
    const get = () => this.#bucket.get(key, wanted && { range: wanted });
    const found = await ask("read", key, get, signal, (late) => late?.body.cancel()).catch(async (error) => {
      // R2 may answer a bad range with any error.
      if (range !== undefined && hasCode(error, "UNAVAILABLE")) await this.#checkRangeOf(key, options);
      throw error;
    });
    if (found === null) return undefined;
    try {
      rangeWithin(key, found.size, range);
    } catch (error) {
      found.body.cancel().catch(() => {});
      throw error;
    }
    return { ...objectOf(found), body: streamOf(piecesFrom(found.body, key), signal) };
  }

  /** Writes an object. */
  async put(
    key: string,
    body: Uint8Array | ReadableStream<Uint8Array>,
    options: PutOptions = {},
  ): Promise<BucketObject | undefined> {
    const { body: checked } = checkPut(key, body, options);
    const { signal } = options;
    if (checked instanceof Uint8Array) return await this.#putWhole(key, checked, options);
    const parts = partsOf(checked, PART_SIZE, signal);
    try {
      const first = await parts.next();
      const second = await parts.next();
      if (second.done) return await this.#putWhole(key, first.value!, options);
      const all = (async function* () {
        yield first.value!;
        yield second.value;
        yield* parts;
      })();
      if (options.ifMatch === undefined && options.ifNoneMatch === undefined) {
        return objectOf(await this.#putParts(key, all, signal));
      }
      return await this.#putBeside(key, all, options);
    } finally {
      await parts.return();
    }
  }

  /** Deletes objects. */
  async delete(keys: readonly string[], options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    checkDelete(keys, options);
    for (let at = 0; at < keys.length; at += DELETE_BATCH) {
      const batch = keys.slice(at, at + DELETE_BATCH);
      await ask("delete", batch[0]!, () => this.#bucket.delete(batch), options.signal);
    }
  }

  /** Lists the objects, page by page. */
  async list(options: ListOptions = {}): Promise<ListPage> {
    const limit = checkList(options);
    const { prefix, cursor, signal } = options;
    const wanted = {
      limit,
      ...(prefix !== undefined && { prefix }),
      ...(cursor !== undefined && { cursor }),
    };
    const page = await ask("list", prefix ?? "", () => this.#bucket.list(wanted), signal);
    return { objects: page.objects.map(objectOf), ...(page.truncated && { cursor: page.cursor! }) };
  }

  /** Refuses a range of an object that has no such bytes. */
  async #checkRangeOf(key: string, { range, signal }: GetOptions): Promise<void> {
    const there = await ask("read", key, () => this.#bucket.head(key), signal);
    if (there !== null) rangeWithin(key, there.size, range);
  }

  async #putWhole(
    key: string,
    body: Uint8Array | ReadableStream,
    { ifMatch, ifNoneMatch, signal }: PutOptions,
  ): Promise<BucketObject | undefined> {
    const onlyIf = ifMatch !== undefined
      ? { etagMatches: ifMatch }
      : ifNoneMatch !== undefined
      ? { etagDoesNotMatch: ifNoneMatch }
      : undefined;
    const put = await ask("write", key, () => this.#bucket.put(key, body, onlyIf && { onlyIf }), signal);
    return put === null ? undefined : objectOf(put);
  }

  async #putParts(
    key: string,
    parts: AsyncIterable<Uint8Array>,
    signal: AbortSignal | undefined,
  ): Promise<R2ObjectLike> {
    const upload = await ask(
      "write",
      key,
      () => this.#bucket.createMultipartUpload(key),
      signal,
      (late) => late.abort(),
    );
    try {
      const uploaded: R2PartLike[] = [];
      for await (const part of parts) {
        uploaded.push(await ask("write", key, () => upload.uploadPart(uploaded.length + 1, part), signal));
      }
      return await ask("write", key, () => upload.complete(uploaded), signal);
    } catch (error) {
      upload.abort().catch(() => {}); // R2 drops it in a week, if this fails too; or it was completed
      throw error;
    }
  }

  /** Uploads beside the key, then copies the upload to the key on the condition. */
  async #putBeside(
    key: string,
    parts: AsyncIterable<Uint8Array>,
    options: PutOptions,
  ): Promise<BucketObject | undefined> {
    const beside = `snapstream-upload-${crypto.randomUUID()}`;
    try {
      await this.#putParts(beside, parts, options.signal);
      const uploaded = await ask(
        "read",
        beside,
        () => this.#bucket.get(beside),
        options.signal,
        (late) => late?.body.cancel(),
      );
      if (uploaded === null) {
        throw new SnapshotError("UNAVAILABLE", `The upload to ${beside} for ${key} is gone`);
      }
      return await this.#putWhole(key, uploaded.body, options); // a stream whose length R2 knows
    } finally {
      await this.#bucket.delete([beside]).catch(() => {}); // nothing refers to it: a failure only leaves it behind
    }
  }
}

/** Waits for R2, and makes the library's errors of its own. An answer that comes after a cancel is disposed of. */
async function ask<T>(
  what: string,
  key: string,
  question: () => Promise<T>,
  signal: AbortSignal | undefined,
  dispose: (late: T) => unknown = () => {},
): Promise<T> {
  throwIfCancelled(signal);
  const answer = question();
  try {
    return await raceAbort(answer, signal);
  } catch (error) {
    if (signal?.aborted) answer.then(dispose).catch(() => {});
    throw wrap(error, what, key);
  }
}

/** The bytes of a body that R2 gives. */
function piecesFrom(body: ReadableStream<Uint8Array>, key: string): Pieces {
  const reader = body.getReader();
  return {
    async next() {
      try {
        return (await reader.read()).value;
      } catch (error) {
        throw wrap(error, "read", key);
      }
    },
    close: () => reader.cancel(),
  };
}

function objectOf({ key, size, etag }: R2ObjectLike): BucketObject {
  return { key, size, etag };
}

/** R2's errors by their numbers, which stand at the end of the message. The others may be transient: `UNAVAILABLE`. */
const CODES: Readonly<Record<string, SnapshotError["code"]>> = {
  10002: "FORBIDDEN", // no credentials
  10003: "FORBIDDEN", // no permission
  10005: "MALFORMED", // the bucket's name
  10006: "NOT_FOUND", // the bucket
  10020: "MALFORMED", // the key
  10022: "MALFORMED", // the limit
  10029: "MALFORMED", // anything else, a cursor for one
  10042: "FORBIDDEN", // no subscription
  10069: "FORBIDDEN", // a rule of the bucket keeps the object as it is
  100100: "UNSUPPORTED", // too large
};

/** The number of its refusal to write the same object more than once a second. */
const CONTENDED = "10058";

function wrap(error: unknown, what: string, key: string): SnapshotError {
  if (error instanceof SnapshotError) return error;
  const message = messageOf(error);
  const number = /\((\d+)\)$/.exec(message)?.[1] ?? "";
  if (number === "10039") return beyondEnd(key, 0);
  return new SnapshotError(CODES[number] ?? "UNAVAILABLE", `R2 could not ${what} ${key}: ${message}`, {
    file: key,
    ...(number === CONTENDED && { status: 429 }),
    cause: error,
  });
}
