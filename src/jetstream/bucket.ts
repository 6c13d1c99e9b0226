/**
 * Objects in a stream of NATS JetStream.
 *
 * An object is one message, with its bytes if they are few; else they are in chunks, each a message of its own, which
 * are written first and never change. A put writes that one message on the condition that the message before is the
 * expected one: the ETag is its sequence. A put or delete that has chunks to remove writes down its intent first; if it
 * crashes, the next to open the bucket finds the intent.
 *
 * @module
 */

import type { MsgHdrs, NatsConnection } from "@nats-io/nats-core";
import { checkOptions, checkString, integer, required } from "../checks.ts";
import { SnapshotError, throwIfCancelled } from "../errors.ts";
import { checkConnection } from "./connection.ts";
import { InFlight, mapAhead } from "../async/mod.ts";
import { compareBytes } from "../stream/mod.ts";
import {
  type Bucket,
  type BucketBody,
  type BucketObject,
  checkDelete,
  checkGet,
  checkList,
  checkPut,
  type GetOptions,
  keyBytes,
  type ListOptions,
  type ListPage,
  partsOf,
  type Pieces,
  type PutOptions,
  rangeWithin,
  streamOf,
} from "../bucket/mod.ts";
import { Intent, sweep } from "./intent.ts";
import { BucketStream, HEADROOM } from "./bucket_stream.ts";
import { filterOf, keyOf, subjectOf } from "./subjects.ts";
import { nats } from "./nats.ts";

/** Objects up to this size are one message. */
const INLINE = 64 * 1024;
/** Bytes of a chunk, if the server takes messages so large. */
const CHUNK = 512 * 1024;
/** Chunks in flight at once. */
const AHEAD = 4;
/** Deletes at once. */
const AT_ONCE = 8;
/** Attempts of a put, each after another put was faster. */
const TRIES = 100;

const SIZE = "Snapstream-Size";
const CHUNKS = "Snapstream-Chunks";
const CHUNK_SIZE = "Snapstream-Chunk-Size";

/** Options of {@linkcode JetStreamBucket.open}. */
export interface JetStreamBucketOptions {
  /** The name: letters, digits, `_` and `-`. Made if there is none. */
  readonly bucket: string;
  /**
   * The number of servers that keep a new bucket: 1, 3 or 5. More than one need NATS 2.10 or newer, since those before
   * do not heed conditions together.
   *
   * @default {1}
   */
  readonly replicas?: number;
}

/** An object, as its message describes it. */
interface Meta {
  readonly sequence: number;
  readonly size: number;
  /** The id of its chunks, if its bytes are not here. */
  readonly chunks: string | undefined;
  readonly chunkSize: number;
  readonly data: Uint8Array;
}

/**
 * A bucket in a stream of its own.
 *
 * @example
 * ```ts
 * import { JetStreamBucket } from "@snapstream/snapstream/jetstream";
 * import { wsconnect } from "@nats-io/nats-core";
 *
 * async function greet(servers: string): Promise<void> {
 *   const connection = await wsconnect({ servers });
 *   const bucket = await JetStreamBucket.open(connection, { bucket: "greetings" });
 *   await bucket.put("hello", new TextEncoder().encode("world"), { ifNoneMatch: "*" });
 *   await bucket.close();
 *   await connection.close();
 * }
 * console.assert(typeof greet === "function");
 * ```
 */
export class JetStreamBucket implements Bucket, AsyncDisposable {
  readonly #stream: BucketStream;

  private constructor(stream: BucketStream) {
    this.#stream = stream;
  }

  /**
   * Opens a bucket; removes the chunks of puts that crashed an hour ago or earlier. Waits for servers that start, or
   * elect a leader, half a minute at the most.
   *
   * @param connection a connection; stays the caller's, and is to be closed after the bucket
   * @param options which bucket
   * @throws {SnapshotError} `UNSUPPORTED` if a package of NATS is not installed, the stream keeps something else, or
   *   is on several servers that are too old
   */
  static async open(connection: NatsConnection, options: JetStreamBucketOptions): Promise<JetStreamBucket> {
    checkConnection(connection, "connection");
    const { bucket: name, replicas = 1 } = checkOptions(options, {
      bucket: required(checkString),
      replicas: integer(1, 5),
    });
    if (!/^[A-Za-z0-9_-]{1,200}$/.test(name)) {
      throw new SnapshotError(
        "MALFORMED",
        `${JSON.stringify(name)} is no name for a bucket: letters, digits, _ and -`,
        {
          actual: name,
        },
      );
    }
    const stream = await BucketStream.open(connection, name, replicas);
    const bucket = new JetStreamBucket(stream);
    try {
      await sweep(stream, async (key) => (await bucket.#meta(key, undefined))?.chunks);
    } catch (error) {
      await stream.close();
      throw error;
    }
    return bucket;
  }

  /** Reads an object, or a part of it. If it is replaced meanwhile its body fails with `UNAVAILABLE`: read it again. */
  async get(key: string, options: GetOptions = {}): Promise<BucketBody | undefined> {
    checkGet(key, options);
    const { range, signal } = options;
    throwIfCancelled(signal);
    const meta = await this.#meta(key, signal);
    if (meta === undefined) return undefined;
    const { start, end } = rangeWithin(key, meta.size, range);
    const pieces = meta.chunks === undefined
      ? onePiece(meta.data.subarray(start, end))
      : this.#chunks(key, meta, start, end, signal);
    return { key, size: meta.size, etag: String(meta.sequence), body: streamOf(pieces, signal) };
  }

  /** Writes an object. */
  async put(
    key: string,
    body: Uint8Array | ReadableStream<Uint8Array>,
    options: PutOptions = {},
  ): Promise<BucketObject | undefined> {
    const { body: checked } = checkPut(key, body, options);
    const { signal } = options;
    throwIfCancelled(signal);
    const before = await this.#meta(key, signal);
    if (!holds(options, before)) { // checked before the bytes are sent, too
      if (!(checked instanceof Uint8Array)) checked.cancel().catch(() => {});
      return undefined;
    }
    const chunkSize = Math.min(CHUNK, this.#stream.maxPayload - HEADROOM);
    const parts = partsOf(checked, chunkSize, signal);
    try {
      const first = (await parts.next()).value!;
      const second = await parts.next();
      const intent = new Intent(this.#stream, key);
      if (second.done && first.length <= Math.min(INLINE, chunkSize)) {
        return await this.#commit(key, first.length, first, intent, before, options);
      }
      const all = (async function* () {
        yield first;
        if (second.done) return;
        yield second.value;
        yield* parts;
      })();
      const size = await this.#upload(all, intent, signal);
      return await this.#commit(key, size, undefined, intent, before, options, chunkSize);
    } finally {
      await parts.return(); // cancels what was not read
    }
  }

  /** Deletes objects. */
  async delete(keys: readonly string[], options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    checkDelete(keys, options);
    const { signal } = options;
    throwIfCancelled(signal);
    let next = 0;
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, keys.length) }, async () => {
      while (next < keys.length) {
        throwIfCancelled(signal);
        await this.#delete(keys[next++]!, signal);
      }
    }));
  }

  /** Lists the objects, page by page. The cursor is the last key of the page. */
  async list(options: ListOptions = {}): Promise<ListPage> {
    const limit = checkList(options);
    const { prefix = "", cursor, signal } = options;
    throwIfCancelled(signal);
    const { objects: base } = this.#stream.subjects;
    const after = cursor === undefined ? new Uint8Array() : keyBytes(cursor);
    const found = new Map<string, { readonly order: Uint8Array; readonly object: BucketObject }>();
    for await (const { sequence, message } of this.#stream.all(filterOf(base, prefix), true, signal)) {
      const key = keyOf(base, message.subject);
      const order = keyBytes(key);
      if (!key.startsWith(prefix) || compareBytes(order, after) <= 0) continue;
      const size = Number(message.headers?.get(SIZE));
      found.set(key, { order, object: { key, size, etag: String(sequence) } });
    }
    const sorted = [...found.values()].sort((a, b) => compareBytes(a.order, b.order));
    const objects = sorted.slice(0, limit).map(({ object }) => object);
    return sorted.length > limit ? { objects, cursor: objects.at(-1)!.key } : { objects };
  }

  /** Stops using the connection. */
  async close(): Promise<void> {
    await this.#stream.close();
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #meta(key: string, signal: AbortSignal | undefined): Promise<Meta | undefined> {
    const found = await this.#stream.read(subjectOf(this.#stream.subjects.objects, key), signal);
    if (found === undefined) return undefined;
    const { seq, header, data } = found;
    const chunks = header?.get(CHUNKS) ?? "";
    return {
      sequence: seq,
      size: Number(header?.get(SIZE)),
      chunks: chunks === "" ? undefined : chunks,
      chunkSize: Number(header?.get(CHUNK_SIZE)),
      data,
    };
  }

  /** Writes chunks, a few at once. After a failure none is left, unless it is a crash. */
  async #upload(
    parts: AsyncIterable<Uint8Array>,
    intent: Intent,
    signal: AbortSignal | undefined,
  ): Promise<number> {
    const flying = new InFlight<number | undefined>(() => AHEAD);
    let size = 0;
    let count = 0;
    try {
      await intent.begin(signal);
      for await (const part of parts) {
        size += part.length;
        await flying.add(this.#stream.write(intent.chunk(count++), part, { signal }));
        await intent.renew(signal);
      }
      await flying.drain();
      return size;
    } catch (error) {
      await flying.settled();
      await intent.undo();
      throw error;
    }
  }

  /** Writes the message that makes the object visible. */
  async #commit(
    key: string,
    size: number,
    inline: Uint8Array | undefined,
    intent: Intent,
    before: Meta | undefined,
    options: PutOptions,
    chunkSize = 0,
  ): Promise<BucketObject | undefined> {
    const { signal } = options;
    const subject = subjectOf(this.#stream.subjects.objects, key);
    const all = headersOf(size, inline === undefined ? intent.id : undefined, chunkSize);
    for (let tries = 0; tries < TRIES; tries++) {
      if (!holds(options, before)) {
        await intent.undo();
        return undefined;
      }
      await intent.replace(before?.chunks, signal);
      // If this fails, it is not known whether the object was written: its chunks stay until a sweep finds out.
      const sequence = await this.#stream.write(subject, inline ?? new Uint8Array(), {
        headers: all,
        last: before?.sequence ?? 0,
        signal,
      });
      if (sequence !== undefined) {
        await intent.done(before?.chunks);
        return { key, size, etag: String(sequence) };
      }
      before = await intent.orUndo(this.#meta(key, signal)); // another was faster
    }
    await intent.undo();
    throw new SnapshotError("UNAVAILABLE", `${key} is put by too many at once: retry it`, { file: key });
  }

  async #delete(key: string, signal: AbortSignal | undefined): Promise<void> {
    const meta = await this.#meta(key, signal);
    if (meta === undefined) return;
    const intent = new Intent(this.#stream, key);
    await intent.replace(meta.chunks, signal);
    await this.#stream.drop(subjectOf(this.#stream.subjects.objects, key), meta.sequence);
    await intent.done(meta.chunks);
  }

  /** The bytes of an object from its chunks, a few read ahead. */
  #chunks(key: string, meta: Meta, start: number, end: number, signal: AbortSignal | undefined): Pieces {
    const { chunks, chunkSize, size } = meta;
    const last = Math.floor((end - 1) / chunkSize);
    let given = Math.floor(start / chunkSize);
    let isClosed = false;
    function* numbers() {
      for (let n = given; n <= last && !isClosed; n++) yield n;
    }
    const read = async (n: number): Promise<Uint8Array> => {
      const bytes = await this.#stream.readFixed(`${this.#stream.subjects.chunks}.${chunks}.${n}`, signal);
      const expected = Math.min(chunkSize, size - n * chunkSize);
      if (bytes?.length === expected) return bytes;
      throw new SnapshotError("UNAVAILABLE", `${key} was replaced, or deleted, while it was read: read it again`, {
        file: key,
        chunk: n,
      });
    };
    const chunksAhead = mapAhead(numbers(), AHEAD, read);
    return {
      async next() {
        const { done, value: bytes } = await chunksAhead.next();
        if (done) return undefined;
        const at = given++ * chunkSize;
        return bytes.subarray(Math.max(start - at, 0), Math.min(end - at, bytes.length));
      },
      close() {
        isClosed = true;
        return Promise.resolve();
      },
    };
  }
}

function headersOf(size: number, chunks: string | undefined, chunkSize: number): MsgHdrs {
  const all = nats().core.headers();
  all.set(SIZE, String(size));
  if (chunks !== undefined) {
    all.set(CHUNKS, chunks);
    all.set(CHUNK_SIZE, String(chunkSize));
  }
  return all;
}

/** Reports whether the condition of a put holds for the object that was read last. */
function holds({ ifMatch, ifNoneMatch }: PutOptions, before: Meta | undefined): boolean {
  if (ifNoneMatch !== undefined) return before === undefined;
  return ifMatch === undefined || (before !== undefined && ifMatch === String(before.sequence));
}

function onePiece(bytes: Uint8Array): Pieces {
  let left: Uint8Array | undefined = bytes.length > 0 ? bytes : undefined;
  return {
    next() {
      const piece = left;
      left = undefined;
      return Promise.resolve(piece);
    },
    close: () => Promise.resolve(),
  };
}
