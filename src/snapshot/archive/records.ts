/**
 * The framing of an archive: typed, length-prefixed records after a magic number.
 *
 * ```text
 * archive = magic version record*          magic   = 89 "SNAPST" 0A          version = 01
 * record  = type length payload            type    = u8, length = u32 big-endian
 * ```
 *
 * `format.ts` says what the records hold. The first byte of the magic is no text and the last is a line feed, so that a
 * transfer in text mode is noticed (as in PNG).
 *
 * @module
 */

import { onAbort } from "../../async/mod.ts";
import { checkBytes } from "../../checks.ts";
import { SnapshotError, throwIfCancelled } from "../../errors.ts";
import { ByteBuffer, concat, equal, u32 } from "../../stream/mod.ts";

const MAGIC: readonly number[] = [0x89, 0x53, 0x4e, 0x41, 0x50, 0x53, 0x54, 0x0a];
const VERSION = 1;
const HEAD_SIZE = 5;
/** The size of a payload from which on its memory is used again. */
const WORTH_KEEPING = 16 * 1024;

/** One record of an archive. */
export interface ArchiveRecord {
  /** Its type. */
  readonly type: number;
  /** Its content. */
  readonly payload: Uint8Array;
  /** True if its memory is large, and nothing else lies in it: it may be used again when nobody needs it any more. */
  readonly isAlone?: boolean;
}

/** The bytes with which an archive begins. */
export function archiveMagic(): Uint8Array {
  return Uint8Array.of(...MAGIC, VERSION);
}

/** The bytes of a record, in as many pieces as its payload came in: nothing is copied. */
export function* encodeRecord(type: number, ...payload: Uint8Array[]): Generator<Uint8Array, void, undefined> {
  const length = payload.reduce((sum, part) => sum + part.length, 0);
  yield concat([Uint8Array.of(type), u32(length)]);
  for (const part of payload) if (part.length > 0) yield part;
}

/**
 * Splits an archive into its records.
 *
 * @param stream the bytes; cancelled if the caller stops early
 * @param limit the largest payload that a record of this type may have; -1 for a type that is not known
 * @param signal stops it, also while a read is stalled
 * @param onPiece called with each piece that comes, as small as it is
 * @param free memory for large payloads, taken from here: new memory costs more than filling it
 * @throws {SnapshotError} `MALFORMED` if it is none, or a record is over its limit; `UNSUPPORTED` for another version;
 *   `CORRUPT` if it ends within a record
 */
export async function* decodeRecords(
  stream: ReadableStream<Uint8Array>,
  limit: (type: number) => number,
  signal?: AbortSignal,
  onPiece: () => void = () => {},
  free: Uint8Array[] = [],
): AsyncGenerator<ArchiveRecord, void, undefined> {
  const source = new ByteSource(stream, signal, onPiece);
  const unlink = onAbort(signal, (reason) => void source.cancel(reason));
  try {
    throwIfCancelled(signal);
    const head = await source.take(MAGIC.length + 1);
    if (head === undefined || !equal(head.subarray(0, MAGIC.length), Uint8Array.from(MAGIC))) {
      throw new SnapshotError("MALFORMED", "This is not a Snapstream archive: it does not begin like one");
    }
    if (head[MAGIC.length] !== VERSION) {
      throw new SnapshotError(
        "UNSUPPORTED",
        `This archive has version ${head[MAGIC.length]}; this release reads version ${VERSION}: use a newer one`,
        { expected: VERSION, actual: head[MAGIC.length]! },
      );
    }
    for (;;) {
      const frame = await source.take(HEAD_SIZE);
      if (frame === undefined) return;
      const type = frame[0]!;
      const length = new DataView(frame.buffer, frame.byteOffset).getUint32(1);
      if (length > limit(type)) {
        throw new SnapshotError(
          "MALFORMED",
          `The archive has a record of type ${type} with ${length} bytes, where at most ${
            Math.max(limit(type), 0)
          } are allowed`,
          { expected: limit(type), actual: length },
        );
      }
      const isAlone = length >= WORTH_KEEPING && !source.has(length);
      const payload = length === 0 ? new Uint8Array(0) : await source.take(length, isAlone ? free.pop() : undefined);
      if (payload === undefined) throw cutShort();
      yield { type, payload, ...(isAlone && { isAlone }) };
    }
  } finally {
    unlink();
    await source.cancel();
  }
}

function cutShort(): SnapshotError {
  return new SnapshotError("CORRUPT", "The archive was cut short: it ends within a record");
}

/** Reads given numbers of bytes from a stream, whatever pieces they come in. */
class ByteSource {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #signal: AbortSignal | undefined;
  #piece: Uint8Array = new Uint8Array(0);

  readonly #onPiece: () => void;

  constructor(stream: ReadableStream<Uint8Array>, signal: AbortSignal | undefined, onPiece: () => void) {
    this.#onPiece = onPiece;
    this.#reader = stream.getReader();
    this.#signal = signal;
  }

  /** Reports whether so many bytes have come, in one piece. */
  has(length: number): boolean {
    return this.#piece.length >= length;
  }

  /** Takes so many bytes, into memory that is given if they fit; nothing at the end of the stream. */
  async take(length: number, into?: Uint8Array): Promise<Uint8Array | undefined> {
    if (this.has(length)) return this.#cut(length);
    const buffer = new ByteBuffer(length, into);
    for (;;) {
      if (this.#piece.length > 0) buffer.add(this.#cut(Math.min(length - buffer.length, this.#piece.length)));
      if (buffer.length === length) return buffer.bytes;
      const { done, value } = await this.#reader.read();
      throwIfCancelled(this.#signal);
      if (done && buffer.length === 0) return undefined;
      if (done) throw cutShort();
      this.#piece = checkBytes(value, "A piece of an archive");
      this.#onPiece();
    }
  }

  cancel(reason?: unknown): Promise<void> {
    return this.#reader.cancel(reason).catch(() => {});
  }

  #cut(length: number): Uint8Array {
    const bytes = this.#piece.subarray(0, length);
    this.#piece = this.#piece.subarray(length);
    return bytes;
  }
}
