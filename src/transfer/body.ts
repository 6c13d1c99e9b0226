/**
 * Reading the body of an answer, or of a request.
 *
 * @module
 */

import { cancelled, SnapshotError } from "../errors.ts";
import { onAbort, pause, yieldTurn } from "../async/mod.ts";
import { ByteBuffer } from "../stream/mod.ts";

/** The bytes that are read of a large body at once, into the same memory again and again. */
const READ_SIZE = 256 * 1024;
/** The longest wait for a body to be cancelled, in milliseconds: its source may never let go of it. */
const PUT_AWAY = 100;

/** The watch over a request or an answer. */
export interface BodyWatch {
  /** Ends it, also if the body stalls and its sender knows of no signals. */
  readonly signal: AbortSignal;
  /** Says that the other side is waited for from now on. */
  resume(): void;
  /** Says that the other side is not waited for now. */
  pause(): void;
  /** Notes that bytes of a body came. */
  received?(bytes: number): void;
}

/**
 * Cancels the rest of a body. Does not fail, nor wait for long.
 *
 * @param body the body, or its reader
 * @param reason why
 */
export async function discardBody(
  body: Pick<ReadableStreamDefaultReader, "cancel"> | null,
  reason?: unknown,
): Promise<void> {
  if (body === null) return;
  await pause(PUT_AWAY, undefined, body.cancel(reason).catch(() => {}));
}

/**
 * Reads a body piece by piece; cancels it if it is not read to its end.
 *
 * @param message the answer, or request
 * @param visit called with each piece, whose memory is used again when it has resolved; then the next is read; `false`
 *   ends the reading
 * @param watch keeps an eye on it
 * @param isLarge whether it is worth some memory of its own
 */
export async function readBody(
  message: Pick<Body, "body">,
  visit: (piece: Uint8Array) => Promise<boolean | void> | boolean | void,
  watch?: BodyWatch,
  isLarge = false,
): Promise<void> {
  if (message.body === null) return;
  const { reader, read } = (isLarge ? readerIntoMemory(message.body) : undefined) ?? readerOf(message.body);
  // Lets a read that is waiting end, too.
  const unlink = onAbort(watch?.signal, (reason) => void reader.cancel(reason).catch(() => {}));
  try {
    for (;;) {
      watch?.resume();
      let { done, value } = await read();
      while (!done && value?.length === 0 && !watch?.signal.aborted) { // nothing came: it is still waited for
        await yieldTurn(); // the timer of the watch, too, has to have its turn
        ({ done, value } = await read());
      }
      watch?.pause();
      if (watch?.signal.aborted) throw cancelled(watch.signal);
      if (done || value === undefined) return;
      watch?.received?.(value.length);
      if (await visit(value) === false) return;
    }
  } finally {
    watch?.pause(); // also after a read that failed: nobody is waited for any more
    unlink();
    await discardBody(reader, watch?.signal.reason);
  }
}

/** Reads a body, which is taken from the stream. */
interface BodyReader {
  readonly reader: Pick<ReadableStreamDefaultReader, "cancel">;
  read(): Promise<{ readonly done: boolean; readonly value?: Uint8Array | undefined }>;
}

function readerOf(body: ReadableStream<Uint8Array>): BodyReader {
  const reader = body.getReader();
  return { reader, read: () => reader.read() };
}

/** A reader that fills the same memory again and again; nothing if the body is no stream of bytes. */
function readerIntoMemory(body: ReadableStream<Uint8Array>): BodyReader | undefined {
  let reader: ReadableStreamBYOBReader;
  try {
    reader = body.getReader({ mode: "byob" });
  } catch (error) {
    if (error instanceof TypeError && !body.locked) return undefined;
    throw error;
  }
  let memory = new ArrayBuffer(READ_SIZE);
  return {
    reader,
    async read() {
      const { done, value } = await reader.read(new Uint8Array(memory));
      if (value !== undefined) memory = value.buffer;
      return { done, value };
    },
  };
}

/**
 * The whole of a body, if it is not too large.
 *
 * @throws {SnapshotError} `MALFORMED` if it is
 */
export async function readLimited(message: Pick<Body, "body">, limit: number, watch?: BodyWatch): Promise<Uint8Array> {
  const buffer = new ByteBuffer(limit);
  await readBody(message, (piece) => {
    if (buffer.length + piece.length > limit) {
      throw new SnapshotError("MALFORMED", `A message has more than ${limit} bytes`, { expected: limit });
    }
    buffer.add(piece);
  }, watch);
  return buffer.bytes;
}
