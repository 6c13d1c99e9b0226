// A bucket that takes one put of the same object in a second, of everybody together, as R2 and Google's do
// (developers.cloudflare.com/r2/platform/limits: "Maximum concurrent writes to the same object name (key)  1 per
// second"; cloud.google.com/storage/quotas: "Maximum rate of writes to the same object name  1 write per second").

import { SnapshotError } from "../../mod.ts";
import type {
  Bucket,
  BucketBody,
  BucketObject,
  GetOptions,
  ListOptions,
  ListPage,
  PutOptions,
} from "../../src/bucket/mod.ts";

/** A bucket that refuses puts that come too soon. */
export class LimitedBucket implements Bucket {
  /** The puts of each key that were done. */
  readonly puts: Map<string, number> = new Map();
  /** The puts that were refused. */
  refused = 0;
  readonly #inner: Bucket;
  readonly #interval: number;
  readonly #retryAfter: number | undefined;
  readonly #last = new Map<string, number>();

  /**
   * @param inner holds the objects
   * @param interval milliseconds between two puts of a key
   * @param retryAfter what a refusal says, in milliseconds
   */
  constructor(inner: Bucket, interval = 1000, retryAfter?: number) {
    this.#inner = inner;
    this.#interval = interval;
    this.#retryAfter = retryAfter;
  }

  get(key: string, options?: GetOptions): Promise<BucketBody | undefined> {
    return this.#inner.get(key, options);
  }

  async put(
    key: string,
    body: Uint8Array | ReadableStream<Uint8Array>,
    options?: PutOptions,
  ): Promise<BucketObject | undefined> {
    const now = performance.now();
    if (now - (this.#last.get(key) ?? -Infinity) < this.#interval) {
      this.refused++;
      throw new SnapshotError("UNAVAILABLE", `429 TooManyRequests: ${key} was put less than a second ago`, {
        status: 429,
        ...(this.#retryAfter !== undefined && { retryAfter: this.#retryAfter }),
      });
    }
    const put = await this.#inner.put(key, body, options);
    if (put !== undefined) {
      this.#last.set(key, now);
      this.puts.set(key, (this.puts.get(key) ?? 0) + 1);
    }
    return put;
  }

  delete(keys: readonly string[], options?: { readonly signal?: AbortSignal }): Promise<void> {
    return this.#inner.delete(keys, options);
  }

  list(options?: ListOptions): Promise<ListPage> {
    return this.#inner.list(options);
  }
}
