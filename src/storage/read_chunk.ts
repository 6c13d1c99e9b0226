/**
 * Reads chunks of a file of a medium, each verified as a whole.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../errors.ts";
import { type ChunkMap, DEFAULT_CHUNK_SIZE, equal, sha256, toHex } from "../stream/mod.ts";
import type { MediumFile, WrittenChunk } from "./medium.ts";

/** The times that a wrong chunk is read again, each time by another way, before it is called bad. */
const REREADS = 2;

/**
 * Reads one chunk and verifies it. A wrong chunk is read again: only the same wrong bytes each time prove that it is
 * bad.
 *
 * @throws {SnapshotError} `CORRUPT` if it is bad, `UNAVAILABLE` if the reads differ from each other
 */
export async function readChunk(
  file: MediumFile,
  name: string,
  chunks: ChunkMap,
  i: number,
): Promise<Uint8Array> {
  const bytes = await readIfRight(file, chunks, i);
  if (bytes !== undefined) return bytes;
  const again = new Uint8Array(chunks.length(i));
  let seen: { readonly length: number; readonly digest: Uint8Array } | undefined;
  for (let times = 0; times < REREADS; times++) {
    const length = await (file.reread ?? file.read).call(file, again, chunks.offset(i));
    const digest = await sha256(again.subarray(0, length));
    if (length === again.length && equal(digest, chunks.digest(i))) return again;
    if (seen !== undefined && !(seen.length === length && equal(seen.digest, digest))) {
      throw new SnapshotError(
        "UNAVAILABLE",
        `Chunk ${i} of ${
          JSON.stringify(name)
        } is read differently each time: look after the disk, or what lies between`,
        { file: name, chunk: i },
      );
    }
    seen = { length, digest };
  }
  if (file.isElsewhere) {
    throw new SnapshotError(
      "UNAVAILABLE",
      `What ${JSON.stringify(name)} refers to has other bytes than the file of the snapshot, first in chunk ${i}: it ` +
        `was changed since, or the resolver gives another one`,
      { file: name, chunk: i, expected: toHex(chunks.digest(i)), actual: toHex(seen!.digest) },
    );
  }
  if (seen!.length === again.length) throw chunks.corrupt(i, name, seen!.digest);
  if (await file.size() >= chunks.offset(i + 1)) {
    throw new SnapshotError(
      "UNAVAILABLE",
      `${JSON.stringify(name)} is read to chunk ${i} only, and is said to be longer`,
      {
        file: name,
        chunk: i,
      },
    );
  }
  throw new SnapshotError("CORRUPT", `${JSON.stringify(name)} ends in its chunk ${i}: it was cut short`, {
    file: name,
    chunk: i,
    expected: again.length,
    actual: seen!.length,
  });
}

/**
 * Reads a run of chunks with one call of the file: each costs more than what it reads. A chunk that is wrong, or did
 * not come whole, is read as {@linkcode readChunk} does, which proves what is wrong, and fails by itself.
 *
 * @param first the first chunk
 * @param end the chunk before which the run ends
 * @param unverified whether the digests are somebody else's affair
 * @param into memory that is large enough; by default new memory
 * @returns the chunks, of which each may fail
 */
export async function readRun(
  file: MediumFile,
  name: string,
  chunks: ChunkMap,
  first: number,
  end: number,
  unverified = false,
  into?: Uint8Array,
): Promise<Promise<Uint8Array>[]> {
  const start = chunks.offset(first);
  const size = chunks.offset(end) - start;
  const bytes = into?.subarray(0, size) ?? new Uint8Array(size);
  let length = 0;
  try {
    length = await file.read(bytes, start);
  } catch (error) {
    if (end - first === 1 && !hasCode(error, "CORRUPT")) throw error; // else it is one chunk's, which will say so
  }
  return Array.from({ length: end - first }, async (_, at) => {
    const i = first + at;
    const stop = chunks.offset(i + 1) - start;
    const chunk = bytes.subarray(chunks.offset(i) - start, stop);
    const isRight = stop <= length && (unverified || equal(await sha256(chunk), chunks.digest(i)));
    return isRight ? chunk : await readChunk(file, name, chunks, i);
  });
}

/** Takes a buffer that was left for others; one that is too short is left to the collector, and a new one made. */
export function takeBuffer(free: Uint8Array[], length: number): Uint8Array {
  const found = free.pop();
  return found !== undefined && found.length >= length ? found : new Uint8Array(length);
}

/** Reads one chunk, once. Returns nothing if it is not right, which does not prove that it is bad. */
export async function readIfRight(
  file: MediumFile,
  chunks: ChunkMap,
  i: number,
): Promise<Uint8Array | undefined> {
  const bytes = new Uint8Array(chunks.length(i));
  try {
    if (await file.read(bytes, chunks.offset(i)) < bytes.length) return undefined;
  } catch (error) {
    if (hasCode(error, "CORRUPT")) return undefined;
    throw error;
  }
  return equal(await sha256(bytes), chunks.digest(i)) ? bytes : undefined;
}

/** Describes one chunk for {@linkcode MediumFile.write}. */
export function chunkWritten(chunks: ChunkMap, i: number): Promise<readonly WrittenChunk[]> {
  return Promise.resolve([{ digest: chunks.digest(i), length: chunks.length(i) }]);
}

/** Reads a range of a file that has no digests. */
export function* blocks(
  file: MediumFile,
  name: string,
  start: number,
  end: number,
): Generator<() => Promise<Uint8Array>, void, undefined> {
  for (let at = start; at < end; at += DEFAULT_CHUNK_SIZE) {
    yield async () => {
      const bytes = new Uint8Array(Math.min(DEFAULT_CHUNK_SIZE, end - at));
      const length = await file.read(bytes, at);
      if (length === bytes.length) return bytes;
      throw new SnapshotError("UNAVAILABLE", `${JSON.stringify(name)} became shorter while it was read`, {
        file: name,
      });
    };
  }
}
