/**
 * A continuous backup: the log of a replica in a bucket, a moment after it was appended, and its snapshots.
 *
 * @module
 */

import { able, checkFunction, checkOptions, type Checks, duration, integer, oneOf } from "../checks.ts";
import { hasCode, messageOf, SnapshotError } from "../errors.ts";
import { type Backoff, backoff, neverThrowing, pause } from "../async/mod.ts";
import { type Bucket, checkKeyPrefix } from "../bucket/mod.ts";
import { type EncodedBatch, encodeEnd, encodeHeader, LogReader, type ServedLog } from "../log/mod.ts";
import { checkStorage, type SnapshotInfo, type SnapshotStorage } from "../snapshot/mod.ts";
import { ObjectStorage } from "../storage/object/mod.ts";
import { concat, equal } from "../stream/mod.ts";
import { BackupBucket, snapshotsPrefix } from "./layout.ts";
import { type Compression, encodeSegment } from "./segment.ts";
import { BackupSnapshots } from "./snapshots.ts";

/** See {@linkcode BackupOptions.interval}. */
const INTERVAL = 1000;
/** How often the replica is asked for a new snapshot, in milliseconds: it costs nothing. */
const LOOK = 200;
/** See {@linkcode BackupOptions.segmentBytes}. */
const SEGMENT_BYTES = 4 * 1024 * 1024;
/** The largest segment before compression, but for one record. */
const MAX_SEGMENT_BYTES = 64 * 1024 * 1024;
/** The waits after a failure. */
const RETRY: Backoff = { first: 250, longest: 30_000, jitter: [0.75, 1.25], longestAsked: 60_000 };

/**
 * An event of a {@linkcode Backup}.
 */
export type BackupEvent =
  /** A segment is in the bucket: all entries up to `last` are. */
  | { readonly type: "uploaded"; readonly first: bigint; readonly last: bigint; readonly bytes: number }
  /** A snapshot is in the bucket. */
  | { readonly type: "copied"; readonly index: bigint }
  /** Something failed, so many times in a row; it is tried again. */
  | {
    readonly type: "failed";
    readonly what: "segment" | "snapshot";
    readonly error: unknown;
    readonly failures: number;
  }
  /** Entries are missing from the backup: they were purged before it began, or in spite of it. */
  | { readonly type: "gap"; readonly first: bigint; readonly last: bigint }
  /** The backup has ended: somebody else writes to the bucket, or it has another history. */
  | { readonly type: "ended"; readonly error: SnapshotError };

/**
 * Options of {@linkcode Backup.start}.
 */
export interface BackupOptions {
  /**
   * The prefix of all keys, such as `"shop/"`.
   *
   * @default {""}
   */
  readonly prefix?: string;
  /**
   * The longest time for which entries wait for more to make a segment, in milliseconds: what a loss of the whole
   * machine can cost. 0: none wait.
   *
   * @default {1000}
   */
  readonly interval?: number;
  /**
   * The bytes of a segment before compression, about, up to 64 MiB: if there are more, they make several.
   *
   * @default {4194304}
   */
  readonly segmentBytes?: number;
  /**
   * The compression of segments. Every runtime reads gzip; zstd is quicker and smaller, for runtimes that have it (Node
   * 22.15, Deno and Bun).
   *
   * @default {"gzip"}
   */
  readonly compression?: Compression;
  /**
   * The number of snapshots that are kept in the bucket, with all entries from the oldest of them on.
   *
   * @default {2}
   */
  readonly retain?: number;
  /**
   * The time for which any point can be restored, in milliseconds: a snapshot that is older is kept as long as it is
   * the newest one before that time. By default only the number counts.
   *
   * @default {0}
   */
  readonly keep?: number;
  /** Called with each event. Its errors are ignored. */
  readonly onEvent?: (event: BackupEvent) => void;
}

/**
 * The state of a {@linkcode Backup}.
 */
export interface BackupStatus {
  /** The last entry that is in the bucket. */
  readonly uploadedIndex: bigint;
  /** The last entry of the replica. */
  readonly lastIndex: bigint;
  /** The newest snapshot that was copied or found there; absent if there is none. */
  readonly snapshotIndex: bigint | undefined;
  /** Milliseconds since the oldest entry that is not in the bucket was taken up for it; 0 if all are there. */
  readonly lag: number;
  /** Segments written, and bytes of them. */
  readonly segments: number;
  /** Bytes written. */
  readonly bytes: number;
  /** Failures in a row. */
  readonly failures: number;
  /** Why nothing is written just now, or ever again. */
  readonly problem?: SnapshotError;
}

/** What is backed up: a {@linkcode Replica}, or what has the same two. */
export interface BackedUp {
  /** The log. */
  readonly log: ServedLog | undefined;
  /** The snapshots, which are copied as they are taken. */
  readonly storage: SnapshotStorage;
  /** Says which snapshot is the newest that counts. */
  status(): { readonly snapshot: SnapshotInfo | undefined };
}

/** Checks the options of a backup. */
function checkBackupOptions(options: BackupOptions): BackupOptions {
  const checks: Checks<BackupOptions> = {
    prefix: checkKeyPrefix,
    interval: duration(),
    segmentBytes: integer(1, MAX_SEGMENT_BYTES),
    compression: oneOf("none", "gzip", "zstd"),
    retain: integer(1),
    keep: duration(),
    onEvent: checkFunction,
  };
  return checkOptions(options, checks);
}

/**
 * Keeps a copy of a replica in a bucket: each entry within a second (`interval`), and each snapshot. The log is not
 * purged past what is in the bucket. One writer a prefix: another one, or another history, ends it.
 *
 * @example
 * ```ts
 * import { KeyValueMachine, MemoryLog, MemoryStorage, Replica, utf8Codec } from "@snapstream/snapstream";
 * import { Backup, restoreBackup } from "@snapstream/snapstream/backup";
 * import { MemoryBucket } from "@snapstream/snapstream/object";
 *
 * const machine = new KeyValueMachine(utf8Codec());
 * const replica = await Replica.open({ machine, log: new MemoryLog(), storage: new MemoryStorage() });
 * const bucket = new MemoryBucket();
 * const backup = await Backup.start(replica, bucket);
 * await replica.propose(machine.put("hello", "world"));
 * await backup.flush(); // by itself within a second
 * await backup.close();
 *
 * const restored = new KeyValueMachine(utf8Codec());
 * const { index } = await restoreBackup(restored, bucket);
 * console.assert(index === 1n && restored.get("hello") === "world");
 * await replica.close();
 * ```
 */
export class Backup implements AsyncDisposable {
  readonly #log: ServedLog;
  readonly #newest: () => bigint | undefined;
  readonly #bucket: BackupBucket;
  readonly #snapshots: BackupSnapshots;
  readonly #options: Required<Omit<BackupOptions, "prefix" | "onEvent" | "retain" | "keep">>;
  readonly #tell: (event: BackupEvent) => void;
  readonly #stop = new AbortController();
  readonly #holder = `backup ${crypto.randomUUID()}`;
  readonly #running: Promise<void>;
  /** The last entry in the bucket, and the digest of the history there; absent before the first segment. */
  #uploaded: { readonly index: bigint; readonly digest: Uint8Array | undefined };
  #taken: number | undefined;
  #segments = 0;
  #bytes = 0;
  #failures = 0;
  #problem: SnapshotError | undefined;
  #flushing = 0;
  #flushed = Promise.withResolvers<void>();
  #progress = Promise.withResolvers<void>();

  private constructor(
    replica: BackedUp,
    log: ServedLog,
    bucket: BackupBucket,
    snapshots: BackupSnapshots,
    uploaded: { readonly index: bigint; readonly digest: Uint8Array | undefined },
    options: BackupOptions,
  ) {
    const { interval = INTERVAL, segmentBytes = SEGMENT_BYTES, compression = "gzip" } = options;
    this.#log = log;
    this.#newest = () => replica.status().snapshot?.meta.lastIncludedIndex;
    this.#bucket = bucket;
    this.#snapshots = snapshots;
    this.#options = { interval, segmentBytes, compression };
    this.#tell = neverThrowing(options.onEvent ?? (() => {}));
    this.#uploaded = uploaded;
    this.#flushed.promise.catch(() => {});
    this.#hold();
    this.#running = Promise.all([this.#run(), this.#copy()]).then(() => this.#snapshots.close());
  }

  /**
   * Begins, or goes on where an earlier one ended.
   *
   * @param replica what is backed up
   * @param bucket where to
   * @param options see {@linkcode BackupOptions}
   * @throws {SnapshotError} `STALE` if the bucket has the backup of another history, or is ahead of this replica;
   *   `UNSUPPORTED` if the replica has no log of its own; what the bucket fails with
   */
  static async start(replica: BackedUp, bucket: Bucket, options: BackupOptions = {}): Promise<Backup> {
    able("a Bucket", "get", "put", "delete", "list")(bucket, "bucket");
    able("a replica", "status")(replica, "replica");
    checkStorage(replica.storage, "replica.storage");
    checkBackupOptions(options);
    const { log, storage } = replica;
    if (log === undefined) {
      throw new SnapshotError("UNSUPPORTED", "The log of this replica is a shared one: back up where it is kept");
    }
    const { prefix = "", retain = 2, keep = 0 } = options;
    const objects = new BackupBucket(bucket, prefix);
    const { group } = log.status();
    const copies = await ObjectStorage.open(bucket, {
      prefix: snapshotsPrefix(prefix),
      retain: keep > 0 ? Number.MAX_SAFE_INTEGER : retain,
      ...(group !== undefined && { group }),
    });
    try {
      const snapshots = new BackupSnapshots({ from: storage, to: copies, objects, log }, { retain, keep });
      const uploaded = await lastUploaded(objects, log);
      return new Backup(replica, log, objects, snapshots, uploaded, options);
    } catch (error) {
      await copies.close();
      throw error;
    }
  }

  /** Returns its state. */
  status(): BackupStatus {
    const { last } = this.#log.status();
    return {
      uploadedIndex: this.#uploaded.index,
      lastIndex: last,
      snapshotIndex: this.#snapshots.newest,
      lag: this.#taken === undefined ? 0 : performance.now() - this.#taken,
      segments: this.#segments,
      bytes: this.#bytes,
      failures: this.#failures,
      ...(this.#problem !== undefined && { problem: this.#problem }),
    };
  }

  /**
   * Writes what there is now, without waiting for more.
   *
   * @throws {SnapshotError} the reason if the backup has ended, `CLOSED`
   */
  async flush(): Promise<void> {
    const { last } = this.#log.status();
    this.#flushing++;
    this.#flushed.resolve();
    try {
      while (this.#uploaded.index < last) {
        if (this.#stop.signal.aborted) throw this.#stop.signal.reason;
        await this.#progress.promise;
      }
    } finally {
      if (--this.#flushing === 0) this.#flushed = Promise.withResolvers<void>();
    }
  }

  /** Writes what there is now, as far as the bucket takes it at once, and ends. */
  async close(): Promise<void> {
    if (!this.#stop.signal.aborted) {
      this.#flushing++;
      this.#flushed.resolve();
      const { last } = this.#log.status();
      while (this.#uploaded.index < last && this.#failures === 0 && !this.#stop.signal.aborted) {
        await this.#progress.promise;
      }
      this.#stop.abort(new SnapshotError("CLOSED", "The backup was closed"));
    }
    this.#moved();
    await this.#running;
    this.#log.hold(this.#holder, undefined);
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #moved(): void {
    const { resolve } = this.#progress;
    this.#progress = Promise.withResolvers<void>();
    resolve();
  }

  #hold(): void {
    this.#log.hold(this.#holder, this.#uploaded.index);
  }

  #end(error: SnapshotError): void {
    this.#problem = error;
    this.#tell({ type: "ended", error });
    this.#stop.abort(error);
    this.#moved();
  }

  /** Writes segments, until it is stopped. */
  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const { index } = this.#uploaded;
      let isOver = false;
      await pause(Infinity, signal, this.#log.appended(index).then(() => isOver = true)).catch(() => {});
      if (signal.aborted) return;
      if (this.#log.status().last <= index) {
        if (isOver) return this.#end(new SnapshotError("CLOSED", "The replica was closed"));
        continue;
      }
      this.#taken ??= performance.now();
      try {
        await pause(
          Math.max(this.#taken + this.#options.interval - performance.now(), 0),
          signal,
          this.#flushed.promise,
        )
          .catch(() => {}); // what is there by now is written, though it is to end
        await this.#upload(await this.#gather(index + 1n));
        this.#failures = 0;
        this.#problem = undefined;
        if (this.#log.status().last <= this.#uploaded.index) this.#taken = undefined; // the rest does not wait again
      } catch (error) {
        if (signal.aborted) return;
        if (hasCode(error, "NOT_FOUND") && await this.#passOver()) continue;
        this.#failed("segment", error);
        await pause(backoff(this.#failures - 1, RETRY, error), signal).catch(() => {});
      }
      this.#moved();
    }
  }

  #failed(what: "segment" | "snapshot", error: unknown): void {
    this.#failures++;
    this.#problem = error instanceof SnapshotError
      ? error
      : new SnapshotError("UNAVAILABLE", `The backup fails: ${messageOf(error)}`, { cause: error });
    this.#tell({ type: "failed", what, error, failures: this.#failures });
    this.#moved();
  }

  /** The next entries: as many as make a segment. */
  async #gather(from: bigint): Promise<readonly EncodedBatch[]> {
    const batches: EncodedBatch[] = [];
    let [next, bytes] = [from, 0];
    while (bytes < this.#options.segmentBytes) {
      const batch = await this.#log.batch(next);
      if (batch === undefined) break;
      batches.push(batch);
      bytes += batch.bytes.length;
      next = batch.last + 1n;
    }
    return batches;
  }

  /** Writes one segment. */
  async #upload(batches: readonly EncodedBatch[]): Promise<void> {
    const [head] = batches;
    const end = batches.at(-1);
    if (head === undefined || end === undefined) return;
    const first = this.#uploaded.index + 1n;
    const { digest: known } = this.#uploaded;
    if (known !== undefined && !equal(known, head.previous)) {
      return this.#fatal(otherHistory(first - 1n, "the log was replaced since"));
    }
    const { group } = this.#log.status();
    const term = await this.#log.term(first - 1n) ?? 0n;
    const header = encodeHeader({ group, first, previous: head.previous, term });
    const stream = concat([header, ...batches.map(({ bytes }) => bytes), encodeEnd(end)]);
    const object = await encodeSegment(stream, this.#options.compression);
    if (await this.#bucket.put(first, object)) {
      this.#segments++;
      this.#bytes += object.length;
      this.#uploaded = { index: end.last, digest: end.digest };
      this.#hold();
      this.#tell({ type: "uploaded", first, last: end.last, bytes: object.length });
    } else await this.#adopt(first);
  }

  /** There is a segment already: one's own, whose acknowledgement was lost, or somebody else's. */
  async #adopt(first: bigint): Promise<void> {
    const found = await segmentEnd(this.#bucket, first);
    if (found === undefined) {
      throw new SnapshotError("UNAVAILABLE", `A segment that begins with ${first} comes and goes`);
    }
    const own = await this.#log.digest(found.index);
    if (own === undefined || !equal(own, found.digest)) {
      return this.#fatal(otherHistory(found.index, "somebody else writes to this bucket and prefix"));
    }
    this.#uploaded = found;
    this.#hold();
  }

  #fatal(error: SnapshotError): never {
    this.#end(error);
    throw error;
  }

  /** Entries were purged before they were uploaded: goes on behind the newest snapshot that is in the bucket. */
  async #passOver(): Promise<boolean> {
    const { first } = this.#log.status();
    const { index } = this.#uploaded;
    if (first <= index + 1n) return false;
    const copied = await this.#snapshots.copy().catch((error) => {
      this.#failed("snapshot", error);
      return undefined;
    });
    if (copied === undefined || copied + 1n < this.#log.status().first) {
      await pause(backoff(this.#failures, RETRY), this.#stop.signal).catch(() => {});
      return true; // once more
    }
    if (copied <= index) return false;
    this.#tell({ type: "gap", first: index + 1n, last: copied });
    this.#uploaded = { index: copied, digest: undefined };
    this.#hold();
    return true;
  }

  /** Copies snapshots as they are taken, and collects what is not needed any more. */
  async #copy(): Promise<void> {
    const { signal } = this.#stop;
    let failures = 0;
    while (!signal.aborted) {
      try {
        const before = this.#snapshots.newest;
        const copied = await this.#snapshots.copy(signal);
        if (copied !== undefined && copied !== before) {
          this.#tell({ type: "copied", index: copied });
          await this.#snapshots.collect(this.#uploaded.index);
        }
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        failures++;
        this.#tell({ type: "failed", what: "snapshot", error, failures });
      }
      const isNew = () => (this.#newest() ?? 0n) > (this.#snapshots.newest ?? 0n);
      do await pause(failures > 0 ? backoff(failures - 1, RETRY) : LOOK, signal).catch(() => {}); while (
        !signal.aborted && failures === 0 && !isNew()
      );
    }
  }
}

function otherHistory(index: bigint, why: string): SnapshotError {
  return new SnapshotError(
    "STALE",
    `The backup has another history than this replica at entry ${index}: ${why}. Nothing is written any more; ` +
      `begin anew with another prefix`,
    { index },
  );
}

/** The last entry of a segment; nothing if there is no such segment. */
async function segmentEnd(
  bucket: BackupBucket,
  first: bigint,
): Promise<{ readonly index: bigint; readonly digest: Uint8Array } | undefined> {
  const stream = await bucket.segment(first);
  if (stream === undefined) return undefined;
  const reader = new LogReader({ first, source: `the segment of entry ${first}` });
  for (const _ of reader.read(stream)) { /* each record is verified as it is read */ }
  if (!reader.isWhole) throw new SnapshotError("CORRUPT", `The segment of entry ${first} has no end`, { index: first });
  return { index: reader.next - 1n, digest: reader.digest! };
}

/** The last entry that the bucket has of this log; the one before the first, if it has none. */
async function lastUploaded(
  bucket: BackupBucket,
  log: ServedLog,
): Promise<{ readonly index: bigint; readonly digest: Uint8Array | undefined }> {
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
