// A bucket that passes all on, for those that do one thing otherwise.

import type { Bucket } from "../../src/bucket/mod.ts";

/**
 * Stands before a bucket.
 *
 * @param inner what is behind it
 * @param own what it does otherwise
 */
export function passing(inner: Bucket, own: Partial<Bucket> = {}): Bucket {
  return {
    get: (key, options) => inner.get(key, options),
    put: (key, body, options) => inner.put(key, body, options),
    delete: (keys, options) => inner.delete(keys, options),
    list: (options) => inner.list(options),
    ...own,
  };
}
