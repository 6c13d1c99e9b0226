/**
 * Reading the log of a backup, segment by segment.
 *
 * @module
 */

import { hasCode, SnapshotError, throwIfCancelled } from "../errors.ts";
import type { LogBatch } from "../log/mod.ts";
import { equal } from "../stream/mod.ts";
import type { BackupBucket, ListedSegment } from "./layout.ts";
import { readSegment } from "./segment.ts";

/** The batches from the one on that has an entry, each verified against the one before it. */
export async function* batches(
  objects: BackupBucket,
  segments: readonly ListedSegment[],
  from: bigint,
  signal: AbortSignal | undefined,
): AsyncGenerator<LogBatch, void, undefined> {
  const start = segments.findLastIndex(({ first }) => first <= from);
  if (start < 0) {
    if (segments.length === 0) return;
    throw missing(from, segments[0]!.first - 1n);
  }
  let next = segments[start]!.first;
  let digest: Uint8Array | undefined;
  const pass = function* (stream: Uint8Array, source: string): Generator<LogBatch, void, undefined> {
    for (const batch of batchesOf(stream, next, digest, source)) {
      yield batch;
      ({ digest } = batch);
      next = batch.entries.at(-1)!.index + 1n;
    }
  };
  for (const { first, key } of segments.slice(start)) {
    throwIfCancelled(signal);
    if (first > next) throw missing(next, first - 1n);
    if (first < next) {
      throw new SnapshotError("CORRUPT", `${objects.name(key)} begins before the segment in front of it ends`, {
        file: objects.name(key),
        index: first,
      });
    }
    const stream = await objects.segment(first);
    if (stream === undefined) throw missing(first, first);
    yield* pass(stream, objects.name(key));
  }
  // A list may be an old one: the segments behind it are found by their names.
  for (;;) {
    throwIfCancelled(signal);
    const stream = await objects.segment(next);
    if (stream === undefined) return;
    yield* pass(stream, `the segment of entry ${next}`);
  }
}

/** The batches of one segment. */
function* batchesOf(
  stream: Uint8Array,
  first: bigint,
  previous: Uint8Array | undefined,
  source: string,
): Generator<LogBatch, void, undefined> {
  try {
    yield* readSegment(stream, { first, previous, source });
  } catch (error) {
    if (!hasCode(error, "STALE")) throw error;
    throw new SnapshotError("CORRUPT", `${source} does not follow the segment before it`, {
      file: source,
      index: first,
      cause: error,
    });
  }
}

/** The error for entries that are in no segment. */
export function missing(first: bigint, last: bigint): SnapshotError {
  return new SnapshotError("CORRUPT", `Entries ${first} to ${last} are missing in the backup`, {
    index: first,
    actual: last,
  });
}

/** Checks that the log leads on from a snapshot, whose history was noted. */
export function checkHistory(known: Uint8Array, said: Uint8Array, index: bigint): void {
  if (equal(known, said)) return;
  throw new SnapshotError("CORRUPT", `The log of the backup does not lead on from its snapshot ${index}`, { index });
}
