/**
 * Cutting a stream into chunks of one size.
 *
 * @module
 */

import { checkBytes, checkInteger } from "../checks.ts";

/**
 * The smallest chunk of a file in a snapshot, but its last: 64 KiB. See {@linkcode FileOptions}.
 *
 * @category Streams
 * @see {@linkcode chunked}
 */
export const MIN_CHUNK_SIZE: number = 64 * 1024;
/**
 * The chunk of a file in a snapshot unless asked otherwise: 256 KiB. See {@linkcode FileOptions}.
 *
 * @category Streams
 * @see {@linkcode chunked}
 */
export const DEFAULT_CHUNK_SIZE: number = 256 * 1024;
/**
 * The largest chunk of a file in a snapshot: 4 MiB. See {@linkcode FileOptions}.
 *
 * @category Streams
 * @see {@linkcode chunked}
 */
export const MAX_CHUNK_SIZE: number = 4 * 1024 * 1024;

/** The largest chunks that {@linkcode chunked} makes: each is one array. */
const MAX_PIECE = 2 ** 30;

/**
 * Checks the size that the chunks of a file are to have.
 *
 * @throws {SnapshotError} `MALFORMED` if there are no such chunks
 */
export function checkChunkSize(size: number, what = "chunkSize"): number {
  checkInteger(size, what, MIN_CHUNK_SIZE, MAX_CHUNK_SIZE);
  return size;
}

/**
 * Cuts a stream of bytes, however it comes, into chunks of `size` bytes; the last one may be shorter.
 * Whole chunks that stand in one piece are passed on without a copy. Empty pieces disappear.
 *
 * @category Streams
 * @param size bytes, 1 to 2^30
 * @returns a stage to pipe through
 * @throws {SnapshotError} `MALFORMED` if `size` is none of these
 *
 * @example
 * ```ts
 * import { chunked } from "@snapstream/snapstream";
 *
 * const sizes: number[] = [];
 * const body = ReadableStream.from([new Uint8Array(5), new Uint8Array(6)]);
 * for await (const chunk of body.pipeThrough(chunked(4))) sizes.push(chunk.length);
 * console.assert(sizes.join() === "4,4,3");
 * ```
 */
export function chunked(size: number): TransformStream<Uint8Array, Uint8Array> {
  checkInteger(size, "size", 1, MAX_PIECE);
  let partial: Uint8Array | undefined;
  let filled = 0;
  return new TransformStream<Uint8Array, Uint8Array>({
    transform(came, controller) {
      const piece = checkBytes(came, "A piece that is to be chunked");
      let at = 0;
      while (at < piece.length) {
        if (partial === undefined && piece.length - at >= size) {
          controller.enqueue(piece.subarray(at, at + size));
          at += size;
          continue;
        }
        partial ??= new Uint8Array(size);
        const taken = Math.min(size - filled, piece.length - at);
        partial.set(piece.subarray(at, at + taken), filled);
        filled += taken;
        at += taken;
        if (filled === size) {
          controller.enqueue(partial);
          partial = undefined;
          filled = 0;
        }
      }
    },
    flush(controller) {
      if (partial !== undefined) controller.enqueue(partial.subarray(0, filled));
    },
  });
}
