/**
 * A continuous backup: the log of a replica in a bucket, a moment after it was appended, and its snapshots.
 *
 * @module
 */

import { able } from "../checks.ts";
import { hasCode, messageOf, SnapshotError } from "../errors.ts";
import { type Backoff, backoff, pause } from "../async/mod.ts";
import type { Bucket } from "../bucket/mod.ts";
import { type EncodedBatch, encodeEnd, encodeHeader, type ServedLog } from "../log/mod.ts";
import { checkStorage } from "../snapshot/mod.ts";
import { ObjectStorage } from "../storage/object/mod.ts";
import { concat, equal, listenerOf, withJson } from "../stream/mod.ts";
import { BackupBucket, snapshotsPrefix } from "./layout.ts";
import {
  type BackedUp,
  type BackupEvent,
  type BackupOptions,
  type BackupStatus,
  checkBackupOptions,
} from "./options.ts";
import { encodeSegment, hasZstd, noZstd } from "./segment.ts";
import { BackupSnapshots, keptFor } from "./snapshots.ts";
import { lastUploaded, otherHistory, segmentEnd, type Uploaded } from "./uploaded.ts";

/** See {@linkcode BackupOptions.interval}. */
const INTERVAL = 1000;
/** How often the replica is asked for a new snapshot, in milliseconds: it costs nothing. */
const LOOK = 200;
/** See {@linkcode BackupOptions.segmentBytes}. */
const SEGMENT_BYTES = 4 * 1024 * 1024;
/** The waits after a failure. */
const RETRY: Backoff = { first: 250, longest: 30_000, jitter: [0.75, 1.25], longestAsked: 60_000 };

/** What a backup writes. */
type Part = "segment" | "snapshot";

/** Failures in a row of a part, and the last one. */
interface Trouble {
  readonly failures: number;
  readonly problem?: SnapshotError;
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
  #uploaded: Uploaded;
  #taken: number | undefined;
  /** The snapshot that was copied last, and the one after which was collected last. */
  #copied: bigint | undefined;
  #collected: bigint | undefined;
  #segments = 0;
  #bytes = 0;
  readonly #trouble: Record<Part, Trouble> = { segment: { failures: 0 }, snapshot: { failures: 0 } };
  #ended: SnapshotError | undefined;
  #flushing = 0;
  #flushed = Promise.withResolvers<void>();
  #progress = Promise.withResolvers<void>();

  private constructor(
    replica: BackedUp,
    log: ServedLog,
    bucket: BackupBucket,
    snapshots: BackupSnapshots,
    uploaded: Uploaded,
    options: BackupOptions,
  ) {
    const { interval = INTERVAL, segmentBytes = SEGMENT_BYTES, compression = "gzip" } = options;
    this.#log = log;
    this.#newest = () => replica.status().snapshot?.meta.lastIncludedIndex;
    this.#bucket = bucket;
    this.#snapshots = snapshots;
    this.#options = { interval, segmentBytes, compression };
    this.#tell = listenerOf(options.onEvent);
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
    const { prefix = "", retain = 2, keep = 0, compression } = options;
    if (compression === "zstd" && !hasZstd()) throw noZstd();
    const objects = new BackupBucket(bucket, prefix);
    const { group } = log.status();
    const copies = await ObjectStorage.open(bucket, {
      prefix: snapshotsPrefix(prefix),
      retain: keep > 0 ? (snapshots) => keptFor(snapshots, { retain, keep }) : retain,
      ...(group !== undefined && { group }),
    });
    try {
      const snapshots = new BackupSnapshots({ from: storage, to: copies, objects, log }, retain);
      await snapshots.check();
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
    const { segment, snapshot } = this.#trouble;
    const failures = segment.failures + snapshot.failures;
    const problem = this.#ended ?? segment.problem ?? snapshot.problem;
    return withJson({
      uploadedIndex: this.#uploaded.index,
      lastIndex: last,
      snapshotIndex: this.#snapshots.newest,
      lag: this.#taken === undefined ? 0 : performance.now() - this.#taken,
      segments: this.#segments,
      bytes: this.#bytes,
      failures,
      ...(problem !== undefined && { problem }),
    });
  }

  /**
   * Writes what there is now, without waiting for more, and copies the newest snapshot.
   *
   * @throws {SnapshotError} the reason if the backup has ended, `CLOSED`; what the snapshot cannot be copied for
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
    await this.#copyNewest();
  }

  /** Writes what there is now, as far as the bucket takes it at once, and ends. */
  async close(): Promise<void> {
    if (!this.#stop.signal.aborted) {
      this.#flushing++;
      this.#flushed.resolve();
      const { last } = this.#log.status();
      while (this.#uploaded.index < last && this.#trouble.segment.failures === 0 && !this.#stop.signal.aborted) {
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
    this.#ended = error;
    this.#log.hold(this.#holder, undefined); // nothing is written any more, whatever is kept
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
      await pause(Infinity, signal, this.#log.appended(index, signal).then(() => isOver = true)).catch(() => {});
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
        this.#trouble.segment = { failures: 0 };
        if (this.#log.status().last <= this.#uploaded.index) this.#taken = undefined; // the rest does not wait again
      } catch (error) {
        if (signal.aborted) return;
        if (hasCode(error, "NOT_FOUND") && await this.#passOver()) continue;
        this.#failed("segment", error);
        await this.#pauseAfter("segment", error);
      }
      this.#moved();
    }
  }

  #failed(what: Part, error: unknown): void {
    const failures = this.#trouble[what].failures + 1;
    const problem = error instanceof SnapshotError
      ? error
      : new SnapshotError("UNAVAILABLE", `The backup fails: ${messageOf(error)}`, { cause: error });
    this.#trouble[what] = { failures, problem };
    this.#tell({ type: "failed", what, error, failures });
    this.#moved();
  }

  /** Waits after a failure, or for somebody else. */
  async #pauseAfter(what: Part, error?: unknown): Promise<void> {
    const failures = Math.max(this.#trouble[what].failures, 1);
    await pause(backoff(failures - 1, RETRY, error), this.#stop.signal).catch(() => {});
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
    const { signal } = this.#stop;
    let copied: bigint | undefined;
    try {
      copied = await this.#snapshots.copy(signal);
    } catch (error) {
      if (!signal.aborted) this.#failed("snapshot", error);
    }
    if (copied === undefined || copied + 1n < this.#log.status().first) {
      await this.#pauseAfter("snapshot");
      return true; // once more
    }
    if (copied <= index) return false;
    this.#tell({ type: "gap", first: index + 1n, last: copied });
    this.#uploaded = { index: copied, digest: undefined };
    this.#hold();
    this.#moved();
    return true;
  }

  /** Copies the newest snapshot, if it is not in the bucket, and collects what is not needed any more. */
  async #copyNewest(): Promise<void> {
    const copied = await this.#snapshots.copy(this.#stop.signal);
    if (copied === undefined) return;
    if (copied !== this.#copied) {
      this.#copied = copied;
      this.#tell({ type: "copied", index: copied });
    }
    if (copied === this.#collected) return;
    await this.#snapshots.collect(this.#uploaded.index);
    this.#collected = copied;
  }

  /** Copies snapshots as they are taken, and collects what is not needed any more. */
  async #copy(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.#copyNewest();
        this.#trouble.snapshot = { failures: 0 };
        const isNew = () => (this.#newest() ?? 0n) > (this.#snapshots.newest ?? 0n);
        do await pause(LOOK, signal).catch(() => {}); while (!signal.aborted && !isNew());
      } catch (error) {
        if (signal.aborted) return;
        this.#failed("snapshot", error);
        await this.#pauseAfter("snapshot", error);
      }
    }
  }
}
