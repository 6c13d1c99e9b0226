/**
 * Counting the bytes that pass.
 *
 * @module
 */

import { checkBytes, checkFunction } from "../checks.ts";

/** The totals of a {@linkcode progress} stage. */
export interface PassedBytes {
  /** Bytes so far. */
  readonly bytes: number;
  /** Pieces so far. */
  readonly pieces: number;
}

/**
 * Counts the bytes of a stream.
 *
 * @category Streams
 * @param callback called with the totals after each piece, before it is handed on; what it throws fails the stream
 * @returns a stage to pipe through
 *
 * @example
 * ```ts
 * import { progress } from "@snapstream/snapstream";
 *
 * let seen = 0;
 * const body = ReadableStream.from([new Uint8Array(10), new Uint8Array(20)]);
 * for await (const _ of body.pipeThrough(progress(({ bytes }) => seen = bytes))) console.assert(seen > 0);
 * console.assert(seen === 30);
 * ```
 */
export function progress(callback: (passed: PassedBytes) => void): TransformStream<Uint8Array, Uint8Array> {
  checkFunction(callback, "callback");
  let bytes = 0;
  let pieces = 0;
  return new TransformStream<Uint8Array, Uint8Array>({
    transform(came, controller) {
      const piece = checkBytes(came, "A piece that is to be counted");
      bytes += piece.length;
      pieces++;
      callback({ bytes, pieces });
      controller.enqueue(piece);
    },
  });
}
