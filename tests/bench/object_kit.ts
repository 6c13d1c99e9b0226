// What the benchmarks of object storages share; also runs in workerd.

import type { SnapshotStorage } from "../../mod.ts";
import type {
  Bucket,
  BucketBody,
  BucketObject,
  GetOptions,
  ListOptions,
  ListPage,
  PutOptions,
} from "../../src/bucket/mod.ts";

const CHUNK = 256 * 1024;

/**
 * Bytes of which no chunk is like another, but for the same seed.
 *
 * @param changed every how manyth chunk is another one
 */
export function stamped(length: number, seed: number, changed: number = Infinity): ReadableStream<Uint8Array> {
  return ReadableStream.from((function* () {
    const noise = new Uint32Array(CHUNK / 4);
    let x = 123_456_789;
    for (let i = 0; i < noise.length; i++) {
      x ^= x << 13;
      x ^= x >>> 17;
      x ^= x << 5;
      noise[i] = x;
    }
    for (let at = 0, i = 0; at < length; at += CHUNK, i++) {
      const chunk = noise.slice();
      chunk[0] = seed;
      chunk[1] = i;
      chunk[2] = i % changed === changed - 1 ? 1 : 0;
      yield new Uint8Array(chunk.buffer, 0, Math.min(CHUNK, length - at));
    }
  })());
}

/** Saves a snapshot of one file. */
export async function saveStream(
  storage: SnapshotStorage,
  index: bigint,
  state: ReadableStream<Uint8Array>,
): Promise<void> {
  const writer = await storage.create();
  await state.pipeTo(writer.file("state", { chunkSize: CHUNK }));
  await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [] });
}

/** Reads a stream to its end. */
export async function drain(stream: ReadableStream<Uint8Array>): Promise<number> {
  let length = 0;
  for await (const piece of stream) length += piece.length;
  return length;
}

/** The bytes below a prefix. */
export async function lengthOf(bucket: Bucket, prefix: string): Promise<number> {
  let length = 0;
  let cursor: string | undefined;
  do {
    const page: ListPage = await bucket.list(cursor === undefined ? { prefix } : { prefix, cursor });
    for (const { size } of page.objects) length += size;
    cursor = page.cursor;
  } while (cursor !== undefined);
  return length;
}

/** A bucket that counts what it is asked. */
export class Counted implements Bucket {
  calls = 0;
  readonly #bucket: Bucket;

  constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  get(key: string, options?: GetOptions): Promise<BucketBody | undefined> {
    this.calls++;
    return this.#bucket.get(key, options);
  }

  put(
    key: string,
    body: Uint8Array | ReadableStream<Uint8Array>,
    options?: PutOptions,
  ): Promise<BucketObject | undefined> {
    this.calls++;
    return this.#bucket.put(key, body, options);
  }

  delete(keys: readonly string[], options?: { readonly signal?: AbortSignal }): Promise<void> {
    this.calls++;
    return this.#bucket.delete(keys, options);
  }

  list(options?: ListOptions): Promise<ListPage> {
    this.calls++;
    return this.#bucket.list(options);
  }
}
