/**
 * The size of the chunks of a file.
 *
 * @module
 */

import { checkChunkSize, DEFAULT_CHUNK_SIZE, MAX_CHUNK_SIZE } from "../stream/mod.ts";

/** Chunks grow with a file so that it has at most this many: 16 MiB of digests. */
const AIMED_CHUNKS = 512 * 1024;

/**
 * The size of the chunks of a file.
 *
 * @param asked the size that is asked for, if one is
 * @param size the size of the file, if it is known
 * @throws {SnapshotError} `MALFORMED` if what is asked for is not possible
 */
export function chooseChunkSize(asked: number | undefined, size: number | undefined): number {
  if (asked === undefined) {
    let chosen = DEFAULT_CHUNK_SIZE;
    while (chosen < MAX_CHUNK_SIZE && (size ?? 0) > chosen * AIMED_CHUNKS) chosen *= 2;
    return chosen;
  }
  return checkChunkSize(asked);
}
