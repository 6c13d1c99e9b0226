/**
 * The verbs of an object store that snapshots need; R2, S3 and their like all have them.
 *
 * @module
 */

/** An object's key, size and ETag. */
export interface BucketObject {
  /** Its key: no more than 1,024 bytes of UTF-8. */
  readonly key: string;
  /** Its size in bytes. */
  readonly size: number;
  /**
   * Changes with the bytes, and maybe with every put; {@linkcode PutOptions.ifMatch} takes it. As the bucket gives it,
   * with quotes if it has any. A conditional replacement must never put bytes that were there before: the ETag may be
   * the same.
   */
  readonly etag: string;
}

/** An object that is being read. */
export interface BucketBody extends BucketObject {
  /** The requested bytes. If the connection ends early it may end without an error: its reader must count the bytes. */
  readonly body: ReadableStream<Uint8Array>;
}

/** Options of {@linkcode Bucket.get}. */
export interface GetOptions {
  /**
   * The bytes wanted: from `start` (0 if absent) up to before `end` (the end of the object if absent or beyond it). At
   * least one byte, and `start` lies within the object.
   */
  readonly range?: { readonly start?: number; readonly end?: number };
  /** Cancels it. */
  readonly signal?: AbortSignal;
}

/** Options of {@linkcode Bucket.put}. At most one condition. */
export interface PutOptions {
  /** Puts only if there is no object of that key. */
  readonly ifNoneMatch?: "*";
  /** Puts only if the object still has this ETag. */
  readonly ifMatch?: string;
  /** Cancels it: the object may have been written, or not. */
  readonly signal?: AbortSignal;
}

/** Options of {@linkcode Bucket.list}. */
export interface ListOptions {
  /** The beginning that all listed keys have; all keys if absent. */
  readonly prefix?: string;
  /** The place to continue at, from the page before. */
  readonly cursor?: string;
  /** The most objects of the page, 1 to 1,000; as many as the bucket likes if absent. */
  readonly limit?: number;
  /** Cancels it. */
  readonly signal?: AbortSignal;
}

/** One page of a list of objects. */
export interface ListPage {
  /** In the order of their keys' bytes. */
  readonly objects: readonly BucketObject[];
  /** The place to continue at; absent at the end. */
  readonly cursor?: string;
}

/**
 * Objects by keys. Reads see the writes before them; lists may lag. Each failure is a `SnapshotError`:
 *
 * | code | when |
 * |---|---|
 * | `UNAVAILABLE` | no answer, or a senseless one, `408`, `429`, `5xx`; `retryAfter` if it said so. Worth a retry |
 * | `FORBIDDEN` | wrong or missing credentials, no permission |
 * | `NOT_FOUND` | there is no such bucket |
 * | `NO_SPACE` | a quota is used up |
 * | `MALFORMED` | a key or a range that the bucket does not take |
 * | `CORRUPT` | something else than an object of the bucket lies there |
 * | `UNSUPPORTED` | it cannot do what is asked, such as a condition |
 * | `CANCELLED` | the signal fired |
 *
 * A bucket retries nothing: its users do, since they know which requests may be made twice.
 */
export interface Bucket {
  /**
   * Reads an object, or a part of it.
   *
   * @returns it, with its body to be read or cancelled; nothing if there is none
   */
  get(key: string, options?: GetOptions): Promise<BucketBody | undefined>;

  /**
   * Writes an object, all of it or nothing; durable when this resolves.
   *
   * @param key where
   * @param body its bytes, not to be changed before this resolves; a stream of any length goes up in parts
   * @param options on what condition
   * @returns what is there now; nothing if the condition does not hold
   */
  put(
    key: string,
    body: Uint8Array | ReadableStream<Uint8Array>,
    options?: PutOptions,
  ): Promise<BucketObject | undefined>;

  /** Deletes objects, of which some may not be there; any number. */
  delete(keys: readonly string[], options?: { readonly signal?: AbortSignal }): Promise<void>;

  /** Lists the objects, page by page. */
  list(options?: ListOptions): Promise<ListPage>;
}
