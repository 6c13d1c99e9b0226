/**
 * Reads all of a snapshot and says what is bad of it: several files, and several chunks, at a time.
 *
 * @module
 */

import { hasCode, type SnapshotError } from "../errors.ts";
import { type BadChunk, type FileInfo, MAX_LISTED_BAD } from "../snapshot/mod.ts";
import { mapAhead, Semaphore, type Tracker } from "../async/mod.ts";
import type { MediumFile } from "./medium.ts";
import { blocks, readRun, takeBuffer } from "./read_chunk.ts";

/** Files that are open at the same time: of small ones none would keep the disk and the processors busy. */
const FILES_AT_A_TIME = 4;
/** Parts of all of them that are read or hashed at the same time, each in a buffer that is used again. */
const PARTS_AT_A_TIME = 6;
/** The most bytes of a part with several chunks. */
const PART_BYTES = 512 * 1024;

/** The snapshot, as far as verifying it needs it. */
export interface VerifyContext {
  readonly files: readonly FileInfo[];
  withFile<T>(name: string, use: (file: MediumFile) => Promise<T>): Promise<T>;
  /** A file cannot be read now. */
  unreadable(name: string): void;
  /** Throws if it was cancelled, or the reader was closed. */
  check(): void;
  readonly tracker: Tracker;
}

/** What is bad of a snapshot. */
export interface Verified {
  /** The first of what is bad, in the order of the files. */
  readonly bad: readonly BadChunk[];
  /** The first proof. */
  readonly worst: SnapshotError | undefined;
}

/** Reads all files. Throws only if that ends early. */
export async function verifyFiles(context: VerifyContext): Promise<Verified> {
  const bad: BadChunk[] = [];
  let worst: SnapshotError | undefined;
  const places = new PartPlaces();
  for await (const found of mapAhead(context.files, FILES_AT_A_TIME, (file) => verifyFile(context, file, places))) {
    bad.push(...found.bad.slice(0, MAX_LISTED_BAD - bad.length));
    worst ??= found.worst;
  }
  return { bad, worst };
}

async function verifyFile(context: VerifyContext, info: FileInfo, places: PartPlaces): Promise<Verified> {
  const { name, source } = info;
  const bad: BadChunk[] = [];
  let worst: SnapshotError | undefined;
  const note = (error: SnapshotError, chunk?: number) => {
    if (error.code === "CORRUPT") worst ??= error;
    if (bad.length < MAX_LISTED_BAD) {
      bad.push({ file: name, ...(chunk !== undefined && { chunk }), message: error.message });
    }
  };
  try {
    context.check();
    await context.withFile(name, async (file) => {
      const parts = partsOf(file, info, info.chunks === undefined ? await file.size() : 0);
      let chunk = 0;
      const verifying = mapAhead(parts, PARTS_AT_A_TIME, (part) => {
        return places.use(part.length, (buffer) => verifyPart(context, name, () => part.read(buffer)));
      });
      for await (const errors of verifying) {
        for (const error of errors) {
          if (error !== undefined) note(error, chunk);
          chunk++;
        }
      }
    });
  } catch (error) {
    context.check();
    // A file that cannot be read now may be good: it is listed, and not quarantined.
    const isUnknown = source === "reference" && hasCode(error, "NOT_FOUND");
    if (!isUnknown && !hasCode(error, "CORRUPT", "UNAVAILABLE", "FORBIDDEN")) throw error;
    note(error);
  }
  return { bad, worst };
}

/** A part of a file: reads it into a buffer of that length, or its own. Each of its chunks may fail. */
interface Part {
  readonly length: number;
  read(buffer: Uint8Array): Promise<readonly Promise<Uint8Array>[]>;
}

/** The chunks of a file, by one or more; of one that has no digests, blocks of it. */
function* partsOf(file: MediumFile, { name, chunks }: FileInfo, size: number): Generator<Part, void, undefined> {
  if (chunks === undefined) {
    for (const read of blocks(file, name, 0, size)) yield { length: 0, read: async () => [read()] };
    return;
  }
  const most = file.callsAreDear ? PART_BYTES : 0;
  const length = (first: number, stop: number) => chunks.offset(stop) - chunks.offset(first);
  for (let end = 0; end < chunks.count;) {
    const first = end++;
    while (end < chunks.count && length(first, end + 1) <= most) end++;
    const stop = end;
    const read = (buffer: Uint8Array) => readRun(file, name, chunks, first, stop, false, buffer);
    yield { length: length(first, stop), read };
  }
}

/** Reads a part. Returns the errors of the chunks that are bad, or cannot be read: those after them mostly can. */
async function verifyPart(
  context: VerifyContext,
  name: string,
  read: () => Promise<readonly Promise<Uint8Array>[]>,
): Promise<readonly (SnapshotError | undefined)[]> {
  context.check();
  const chunks = await read().catch((error) => [Promise.reject(error)]);
  const found = await Promise.allSettled(chunks.map((chunk) => verifyChunk(context, name, chunk)));
  return found.map((it) => { // all of them have ended: the buffer may be used again
    if (it.status === "rejected") throw it.reason;
    return it.value;
  });
}

/** Waits for a chunk. Returns the error if it is bad, or cannot be read. */
async function verifyChunk(
  { check, tracker, unreadable }: VerifyContext,
  name: string,
  chunk: Promise<Uint8Array>,
): Promise<SnapshotError | undefined> {
  try {
    const { length } = await chunk;
    check();
    tracker.add(length);
    return undefined;
  } catch (error) {
    check();
    if (!hasCode(error, "CORRUPT", "UNAVAILABLE")) throw error;
    if (error.code === "UNAVAILABLE") unreadable(name);
    return error;
  }
}

/** Room for a few parts. */
class PartPlaces {
  readonly #semaphore = new Semaphore(PARTS_AT_A_TIME);
  readonly #buffers: Uint8Array[] = [];

  /** Runs work with a buffer of at least a length, which must not be used afterwards. */
  async use<T>(length: number, work: (buffer: Uint8Array) => Promise<T>): Promise<T> {
    await this.#semaphore.take(undefined);
    const buffer = takeBuffer(this.#buffers, length);
    try {
      return await work(buffer);
    } finally {
      this.#buffers.push(buffer);
      this.#semaphore.leave();
    }
  }
}
