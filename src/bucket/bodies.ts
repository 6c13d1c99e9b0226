/**
 * Bodies of objects: the bytes that go to a bucket, and those that come from it.
 *
 * @module
 */

import { checkBytes } from "../checks.ts";
import { cancelled, throwIfCancelled } from "../errors.ts";
import { onAbort, raceAbort } from "../async/mod.ts";
import { ByteBuffer } from "../stream/mod.ts";

/**
 * The pieces of a body to be put. A stream that is not read to its end is cancelled.
 *
 * @param body all of it, or a stream
 * @param signal ends it, also while the stream gives nothing
 */
export async function* piecesOf(
  body: Uint8Array | ReadableStream<Uint8Array>,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (body instanceof Uint8Array) {
    throwIfCancelled(signal);
    return yield body;
  }
  const reader = body.getReader();
  let reason: unknown;
  try {
    for (;;) {
      const { done, value } = await raceAbort(reader.read(), signal);
      if (done) return;
      const piece = checkBytes(value, "A piece of the body of an object");
      if (piece.length > 0) yield piece;
    }
  } catch (error) {
    reason = error;
    throw error;
  } finally {
    reader.cancel(reason).catch(() => {}); // not awaited: a stream's `cancel` may never answer
  }
}

/**
 * A body to be put in parts of one size, but for the last; an empty body is one empty part. Each part is an array of
 * its own, which nobody changes.
 */
export async function* partsOf(
  body: Uint8Array | ReadableStream<Uint8Array>,
  size: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  let part = new ByteBuffer(size);
  let isFirst = true;
  for await (let piece of piecesOf(body, signal)) {
    for (;;) {
      const taken = Math.min(piece.length, size - part.length);
      part.add(piece.subarray(0, taken));
      piece = piece.subarray(taken);
      if (piece.length === 0) break; // a part that is full waits for what follows: it may be the last
      yield part.bytes;
      isFirst = false;
      part = new ByteBuffer(size);
    }
  }
  if (part.length > 0 || isFirst) yield part.bytes;
}

/** The source of an object's bytes. */
export interface Pieces {
  /** The next piece; nothing at the end. */
  next(): Promise<Uint8Array | undefined>;
  /** Releases it, once: at the end, after a failure, or earlier, even while `next` is pending. */
  close(): Promise<void>;
}

/**
 * The pieces as a stream: nothing is read ahead, and it ends at once when it is cancelled or the signal fires.
 *
 * @param pieces where it comes from
 * @param signal ends it
 */
export function streamOf(pieces: Pieces, signal?: AbortSignal): ReadableStream<Uint8Array> {
  let unlink = () => {};
  let closed: Promise<void> | undefined;
  const close = () => {
    unlink();
    return closed ??= pieces.close().catch(() => {}); // its bytes are here: a failed close loses nothing
  };
  return new ReadableStream<Uint8Array>({
    start(controller) {
      unlink = onAbort(signal, () => {
        controller.error(cancelled(signal!));
        void close();
      });
    },
    async pull(controller) {
      try {
        const piece = await pieces.next();
        if (closed !== undefined) return; // closed while the piece was read
        if (piece !== undefined) return controller.enqueue(piece);
        await close();
        controller.close();
      } catch (error) {
        if (closed !== undefined) return;
        await close();
        throw error;
      }
    },
    cancel: close,
  }, { highWaterMark: 0 });
}
