/**
 * Whether a bucket heeds the conditions of puts, on which everything rests: of two writers of the index one must lose.
 *
 * It is tried with an object of its own, before the index is written for the first time, and the index then says so.
 * Whatever keeps it from an end (no answer, too many puts, a crash) leaves nothing behind and proves nothing: it is
 * tried again before the next change.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { backoff, pause } from "../../async/mod.ts";
import { CONTENTION, isContended, MAX_REFUSALS, RETRY, type RetryingBucket, wasNotAnswered } from "../../bucket/mod.ts";
import { type ObjectIndex, randomName } from "./index.ts";

/** The conditions. */
export const CONDITIONS: readonly string[] = ["If-None-Match", "If-Match"];
/** The prefix of the objects that they are tried with. The collector deletes what a crash has left of them. */
export const CHECKS: string = "checks/";
/** The times that it is tried from the start, each with another object. */
const TRIES = 5;
/**
 * Checks that a bucket heeds conditions.
 *
 * @param bucket the bucket
 * @param index the one that is to be put, whose epoch names the object
 * @throws {SnapshotError} `UNSUPPORTED` if it does not; the errors of the bucket
 */
export async function checkHeeded(bucket: RetryingBucket, { epoch }: ObjectIndex): Promise<void> {
  for (let tries = 1;; tries++) {
    const key = `${CHECKS}${epoch}-${randomName(8)}`;
    try {
      if (await isHeeded(bucket, key)) return;
      if (tries >= TRIES) throw unreliable();
    } catch (error) {
      if (!wasNotAnswered(error) || tries >= TRIES) throw error;
      await pause(backoff(tries - 1, RETRY, error), undefined);
    } finally {
      await bucket.delete([key]).catch(() => {}); // it is collected later
    }
  }
}

/** Tries it with one object; returns false if the object vanished meanwhile, as by a collector. */
async function isHeeded(bucket: RetryingBucket, key: string): Promise<boolean> {
  const put = async (number: number, etag?: string) => {
    for (let tries = 1;; tries++) {
      try {
        return await bucket.swap(key, new TextEncoder().encode(`${key} ${number}`), etag);
      } catch (error) {
        if (!isContended(error) || tries >= MAX_REFUSALS) throw error;
        await pause(backoff(tries - 1, CONTENTION, error), undefined);
      }
    }
  };
  const first = await put(1);
  if (first === undefined) return false;
  if (await put(2) !== undefined) throw unheeded("If-None-Match");
  const second = await put(3, first);
  if (second === undefined) {
    const found = await bucket.read(key, { limit: 1000 });
    if (found?.etag === first) throw unmatched(first);
    return false;
  }
  if (await put(4, first) !== undefined) throw unheeded("If-Match");
  return true;
}

function unheeded(condition: string): SnapshotError {
  return new SnapshotError(
    "UNSUPPORTED",
    `The bucket does not heed ${condition}: of two writers both would win. Use one with conditional puts`,
  );
}

function unmatched(etag: string): SnapshotError {
  return new SnapshotError(
    "UNSUPPORTED",
    `The bucket gives an object the ETag ${etag}, and does not take it in If-Match: nothing could ever be changed. ` +
      `Does a proxy before it change ETags?`,
    { actual: etag },
  );
}

function unreliable(): SnapshotError {
  return new SnapshotError(
    "UNAVAILABLE",
    "Whether the bucket heeds conditions could not be tried: what is written there is gone, or changed, at once",
  );
}
