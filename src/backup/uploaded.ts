/**
 * How far a backup has come.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import { LogReader, type ServedLog } from "../log/mod.ts";
import { equal } from "../stream/mod.ts";
import type { Bucket } from "../bucket/mod.ts";
import { BackupBucket } from "./layout.ts";

/** The last entry that is in the bucket. */
export interface Uploaded {
  /** Its index. */
  readonly index: bigint;
  /** The digest of the history with it; absent before the first segment, and behind a gap. */
  readonly digest: Uint8Array | undefined;
}

/** The error for a backup that is of something else. */
export function otherHistory(index: bigint, why: string): SnapshotError {
  return new SnapshotError(
    "STALE",
    `The backup has another history than this replica at entry ${index}: ${why}. Nothing is written any more; ` +
      `begin anew with another prefix`,
    { index },
  );
}

/**
 * The last entry that a backup has.
 *
 * @param bucket the bucket
 * @param prefix the prefix of the backup
 * @returns nothing if it has none
 */
export async function lastSegment(
  bucket: Bucket,
  prefix: string,
): Promise<{ readonly index: bigint; readonly term: bigint; readonly digest: Uint8Array } | undefined> {
  const objects = new BackupBucket(bucket, prefix);
  const newest = (await objects.segments()).at(-1);
  return newest && await segmentEnd(objects, newest.first);
}

/** The last entry of a segment; nothing if there is no such segment. */
export async function segmentEnd(
  bucket: BackupBucket,
  first: bigint,
): Promise<{ readonly index: bigint; readonly term: bigint; readonly digest: Uint8Array } | undefined> {
  const stream = await bucket.segment(first);
  if (stream === undefined) return undefined;
  const reader = new LogReader({ first, source: `the segment of entry ${first}` });
  let term = 0n;
  for (const record of reader.read(stream)) { // each is verified as it is read
    if (record.kind === "batch") ({ term } = record.batch.entries.at(-1)!);
  }
  if (!reader.isWhole) throw new SnapshotError("CORRUPT", `The segment of entry ${first} has no end`, { index: first });
  return { index: reader.next - 1n, term, digest: reader.digest! };
}

/** The last entry that the bucket has of this log; the one before the first, if it has none. */
export async function lastUploaded(
  bucket: BackupBucket,
  log: ServedLog,
): Promise<Uploaded> {
  const { first, last } = log.status();
  const newest = (await bucket.segments()).at(-1);
  if (newest === undefined) return { index: first - 1n, digest: undefined };
  const found = await segmentEnd(bucket, newest.first);
  if (found === undefined) throw new SnapshotError("UNAVAILABLE", "The newest segment is listed and cannot be read");
  if (found.index > last) throw otherHistory(found.index, `this one has entries up to ${last} only`);
  const own = await log.digest(found.index);
  if (own !== undefined && !equal(own, found.digest)) throw otherHistory(found.index, "it is of another replica");
  return found; // if the log begins later than that, the gap is told
}
