/**
 * What snapshots need of an object store: a few verbs that R2, S3 and their like all have.
 *
 * @module
 */

/** What is known of an object. */
export interface BucketObject {
  /** Its key: no more than 1,024 bytes of UTF-8. */
  readonly key: string;
  /** How many bytes it has. */
  readonly size: number;
  /**
   * Changes with the bytes, and maybe with every put: what {@linkcode PutOptions.ifMatch} takes. As the bucket gives it, with
   * quotes if it has any. So whoever replaces an object on a condition never puts bytes that were there before.
   */
  readonly etag: string;
}

/** An object that is being read. */
export interface BucketBody extends BucketObject {
  /** The bytes that were asked for. Ends early, and says nothing, where the connection does: whoever reads it counts. */
  readonly body: ReadableStream<Uint8Array>;
}

/** Options of {@linkcode Bucket.get}. */
export interface GetOptions {
  /**
   * The bytes wanted: from `start` (0 if absent) up to before `end` (the end of the object if absent or beyond it). At least
   * one byte, and `start` lies within the object.
   */
  readonly range?: { readonly start?: number; readonly end?: number };
  /** Gives it up. */
  readonly signal?: AbortSignal;
}

/** Options of {@linkcode Bucket.put}. At most one condition. */
export interface PutOptions {
  /** Only if there is no object of that key. */
  readonly ifNoneMatch?: "*";
  /** Only if the object is this one still. */
  readonly ifMatch?: string;
  /** Gives it up: whether it was written is not known then. */
  readonly signal?: AbortSignal;
}

/** Options of {@linkcode Bucket.list}. */
export interface ListOptions {
  /** What the keys begin with; all if absent. */
  readonly prefix?: string;
  /** Where to go on: what the page before gave. */
  readonly cursor?: string;
  /** How many at most, 1 to 1,000; as many as the bucket likes if absent. */
  readonly limit?: number;
  /** Gives it up. */
  readonly signal?: AbortSignal;
}

/** A part of what is there. */
export interface ListPage {
  /** In the order of their keys' bytes. */
  readonly objects: readonly BucketObject[];
  /** Where to go on; absent at the end. */
  readonly cursor?: string;
}

/**
 * Objects by keys. Reads see what was written before them; lists may lag. Whatever goes wrong is a `SnapshotError`:
 *
 * | code | when |
 * |---|---|
 * | `UNAVAILABLE` | no answer, one that makes no sense, `408`, `429`, `5xx`; `retryAfter` if it said so. Worth another try |
 * | `FORBIDDEN` | wrong or missing credentials, no permission |
 * | `NOT_FOUND` | there is no such bucket |
 * | `NO_SPACE` | a quota is used up |
 * | `MALFORMED` | a key or a range that the bucket does not take |
 * | `CORRUPT` | what lies there is no object of the bucket |
 * | `UNSUPPORTED` | it cannot do what is asked, such as a condition |
 * | `CANCELLED` | the signal fired |
 *
 * A bucket tries nothing twice: whoever uses it does, and knows what that means.
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

  /** What there is, page by page. */
  list(options?: ListOptions): Promise<ListPage>;
}
