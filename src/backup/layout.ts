/**
 * Where the parts of a backup are in its bucket.
 *
 * ```text
 * <prefix>snapshots/…                      snapshots: an ObjectStorage
 * <prefix>log/<first entry, 20 digits>     segments of the log: segment.ts
 * <prefix>history/<index, 20 digits>-<snapshot digest>    the digest of the log's history there, and its SHA-256
 * ```
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import { type Bucket, checkKeyPrefix, type ReadObject, RetryingBucket } from "../bucket/mod.ts";
import { concat, DIGEST_SIZE, equal, sha256, toHex } from "../stream/mod.ts";
import { MAX_SEGMENT, openSegment } from "./segment.ts";

const INDEX_DIGITS = 20;
/** The size of an object with a digest and the digest of that. */
const HISTORY_SIZE = 2 * DIGEST_SIZE;

/** A segment, as the bucket lists it. */
export interface ListedSegment {
  /** Its key below the prefix. */
  readonly key: string;
  /** Its first entry. */
  readonly first: bigint;
  /** The bytes of the object. */
  readonly size: number;
}

/** A snapshot, as far as its history is meant. */
export interface HistoryOf {
  /** The last entry that it includes. */
  readonly index: bigint;
  /** The digest of the snapshot. */
  readonly digest: Uint8Array;
}

/** The prefix of the snapshots. */
export function snapshotsPrefix(prefix: string): string {
  return `${prefix}snapshots/`;
}

/** The objects of a backup beside its snapshots. */
export class BackupBucket {
  readonly #bucket: RetryingBucket;
  readonly #prefix: string;

  /**
   * @param bucket the bucket
   * @param prefix what all keys begin with
   */
  constructor(bucket: Bucket, prefix: string) {
    checkKeyPrefix(prefix, "prefix");
    this.#prefix = prefix;
    this.#bucket = new RetryingBucket(bucket, prefix);
  }

  /**
   * Lists the segments, by their first entries: each once, and in their order, whatever the bucket's is (that of S3's
   * directory buckets is none). What is collected depends on it.
   */
  async segments(signal?: AbortSignal): Promise<ListedSegment[]> {
    const found = new Map<string, ListedSegment>();
    for await (const { key, size } of this.#bucket.list("log/", signal)) {
      const digits = key.slice("log/".length);
      if (new RegExp(`^[0-9]{${INDEX_DIGITS}}$`).test(digits)) found.set(key, { key, first: BigInt(digits), size });
    }
    return [...found.values()].sort((a, b) => a.first < b.first ? -1 : 1);
  }

  /** The full key of an object, for messages. */
  name(key: string): string {
    return this.#prefix + key;
  }

  /**
   * Reads a segment: a log's stream, whose digest is right.
   *
   * @returns nothing if there is none that begins there
   */
  async segment(first: bigint): Promise<Uint8Array | undefined> {
    const key = segmentKey(first);
    return await this.#bucket.readAs(
      key,
      MAX_SEGMENT,
      ({ bytes }: ReadObject) => openSegment(bytes, this.name(key)),
    );
  }

  /**
   * Writes a segment, if there is none that begins there.
   *
   * @returns false if there is one
   * @throws {SnapshotError} `UNAVAILABLE` if it is not known whether it was written
   */
  async put(first: bigint, bytes: Uint8Array): Promise<boolean> {
    return await this.#bucket.swap(segmentKey(first), bytes, undefined) !== undefined;
  }

  /** Deletes segments, and histories of snapshots. */
  async delete(keys: readonly string[]): Promise<void> {
    await this.#bucket.delete(keys);
  }

  /** Notes the digest of the log's history at a snapshot. */
  async putHistory(of: HistoryOf, digest: Uint8Array): Promise<void> {
    await this.#bucket.put(historyKey(of), concat([digest, await sha256(digest)]));
  }

  /** The digest of the log's history at a snapshot; nothing if it was not noted. */
  async history(of: HistoryOf): Promise<Uint8Array | undefined> {
    const key = historyKey(of);
    return await this.#bucket.readAs(key, HISTORY_SIZE, async ({ bytes }: ReadObject) => {
      const digest = bytes.subarray(0, DIGEST_SIZE);
      if (bytes.length === HISTORY_SIZE && equal(await sha256(digest), bytes.subarray(DIGEST_SIZE))) return digest;
      throw new SnapshotError("CORRUPT", `${this.name(key)} is not what was written`, { file: this.name(key) });
    });
  }

  /** Lists the keys of the histories of snapshots, with their indices. */
  async histories(): Promise<{ readonly key: string; readonly index: bigint }[]> {
    const found: { readonly key: string; readonly index: bigint }[] = [];
    for await (const { key } of this.#bucket.list("history/")) {
      const [, digits] = /^history\/([0-9]{20})-[0-9a-f]{64}$/.exec(key) ?? [];
      if (digits !== undefined) found.push({ key, index: BigInt(digits) });
    }
    return found;
  }
}

function segmentKey(first: bigint): string {
  return `log/${digitsOf(first)}`;
}

function historyKey({ index, digest }: HistoryOf): string {
  return `history/${digitsOf(index)}-${toHex(digest)}`;
}

function digitsOf(index: bigint): string {
  return String(index).padStart(INDEX_DIGITS, "0");
}
