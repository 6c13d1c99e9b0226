/**
 * Snapshots in an object store.
 *
 * @module
 */

import type { Bucket } from "../../bucket/mod.ts";
import { checkBucket, checkKeyPrefix } from "../../bucket/keys.ts";
import { checkIndex, checkOptions, checkSignal, checkString, duration, integer } from "../../checks.ts";
import { hasCode, messageOf, SnapshotError } from "../../errors.ts";
import {
  checkCreateOptions,
  checkManifest,
  type CreateOptions,
  type SnapshotInfo,
  type SnapshotInstall,
  type SnapshotManifest,
  type SnapshotReader,
  type SnapshotSigner,
  type SnapshotStorage,
  type SnapshotWriter,
  stale,
} from "../../snapshot/mod.ts";
import { LONGEST_WAIT, MAX_CHUNK_SIZE, neverThrowing } from "../../stream/mod.ts";
import { StoredInstall } from "../install.ts";
import type { Published } from "../medium.ts";
import { storageChecks, type StorageOptions } from "../medium_storage.ts";
import { QuarantineListeners } from "../quarantine_listeners.ts";
import { StoredReader } from "../reader.ts";
import type { Trial } from "../trial.ts";
import { Unreadable } from "../unreadable.ts";
import { StoredWriter } from "../writer.ts";
import { collect, type Collected, isDue } from "./collector.ts";
import { allKept, infoOf, type KeptSnapshot, type ObjectIndex } from "./index.ts";
import { IndexStore } from "./index_store.ts";
import { type HeldLease, Leases, withoutLease } from "./leases.ts";
import { ObjectPlaces } from "./places.ts";
import { SharedTime } from "./shared_time.ts";
import { SteadyBucket } from "./steady_bucket.ts";

/** How many snapshots that were found bad are kept for a person. */
const MAX_QUARANTINED = 4;
/** Commits of one process collect so many times in a time of grace, at most: each time all packs are listed. */
const COLLECTIONS = 10;
/** The largest packs: four of them are in memory. */
const MAX_PACK_SIZE = 2 ** 30;

/** Options of {@linkcode ObjectStorage.open}. */
export interface ObjectStorageOptions extends StorageOptions {
  /**
   * What the keys begin with: `"room-17/"`. Whoever has the same bucket and prefix has the same storage.
   *
   * @default {""}
   */
  readonly prefix?: string;
  /**
   * The bytes of a pack, 4 MiB to 1 GiB: what goes up, or comes down, with one request. Four packs are in memory while a
   * snapshot is written, and three for each file that is being read.
   *
   * @default {8388608}
   */
  readonly packSize?: number;
  /**
   * How long what retention takes stays for those who may be reading it elsewhere, in milliseconds; whoever reads longer
   * says so in time. The clocks of all who use the bucket must agree to within a part of it when they open it; one that jumps
   * afterwards is not believed.
   *
   * @default {3600000}
   */
  readonly grace?: number;
  /**
   * How long an interrupted install is kept to be gone on with, in milliseconds.
   *
   * @default {604800000}
   */
  readonly keepInstalls?: number;
}

/**
 * Snapshots in a bucket, which any number of processes may use at the same time. Chunks are kept by their digests, in packs of
 * some MiB: one that an earlier snapshot has is not uploaded again. A commit is one conditional put of the index: of two
 * writers one wins, and the other is `STALE`.
 *
 * ```text
 * index                     what there is, and who is at work: the one object that is ever replaced
 * manifests/{lease}/{name}  of a snapshot: what is in it, and in which packs
 * packs/{lease}/{name}      chunks that were written with that snapshot
 * installs/{lease}          what is being received
 * ```
 *
 * Objects are written once, under names that nobody else uses, and deleted when nothing in the index needs them: what retention
 * took after a time of grace, what somebody left who crashed when the lease has run out. That is done after a commit, and by
 * {@linkcode collect}.
 *
 * @example
 * ```ts
 * import { MemoryBucket, ObjectStorage } from "@snapstream/snapstream/object";
 *
 * await using storage = await ObjectStorage.open(new MemoryBucket(), { prefix: "room-17/" });
 * const writer = await storage.create();
 * await ReadableStream.from([new TextEncoder().encode("hello")]).pipeTo(writer.file("greeting"));
 * await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] }); // durable from here on
 * ```
 */
export class ObjectStorage implements SnapshotStorage {
  readonly retain: number;
  readonly #bucket: SteadyBucket;
  readonly #store: IndexStore;
  readonly #leases: Leases;
  readonly #places: ObjectPlaces;
  readonly #grace: number;
  readonly #time = new SharedTime();
  readonly #onWarning: (error: SnapshotError) => void;
  readonly #signer: SnapshotSigner | undefined;
  readonly #readers = new Set<StoredReader>();
  #writer: StoredWriter | undefined;
  #install: StoredInstall | undefined;
  /** What is being begun: taken before the first `await`, so that of two calls one is `BUSY`. */
  #beginning: Promise<unknown> | undefined;
  #beginningInstall = false;
  /** Commits, one after the other. */
  #publishing: Promise<unknown> = Promise.resolve();
  /** What the last install leaves. */
  #leaving: Promise<void> = Promise.resolve();
  /** What goes on that nobody waits for. */
  readonly #background = new Set<Promise<void>>();
  /** When garbage was collected last, as `performance.now()` says. */
  #collected = -Infinity;
  readonly #packsOf = new Map<string, readonly string[]>();
  readonly #closing = new AbortController();
  readonly #listeners = new QuarantineListeners();
  readonly #unreadable = new Unreadable<string>();
  #closed: Promise<void> | undefined;

  private constructor(bucket: Bucket, options: ObjectStorageOptions) {
    const {
      retain = 2,
      onWarning = () => {},
      signer,
      prefix = "",
      packSize = 8 * 1024 * 1024,
      grace = 3600_000,
      keepInstalls = 7 * 24 * 3600_000,
    } = checkOptions(options, {
      ...storageChecks(),
      prefix: checkKeyPrefix,
      packSize: integer(MAX_CHUNK_SIZE, MAX_PACK_SIZE),
      grace: duration(),
      keepInstalls: duration(),
    });
    checkBucket(bucket, "bucket");
    this.retain = retain;
    this.#onWarning = neverThrowing(onWarning);
    this.#signer = signer;
    this.#grace = grace;
    this.#bucket = new SteadyBucket(bucket, prefix);
    this.#store = new IndexStore(this.#bucket);
    this.#leases = new Leases(this.#store, this.#time);
    this.#places = new ObjectPlaces(this.#bucket, this.#store, this.#leases, packSize, keepInstalls, this.#time);
  }

  /**
   * Opens a storage. Nothing in the bucket is changed; where there is nothing yet, there is nothing after it.
   *
   * @param bucket the bucket
   * @param options see {@linkcode ObjectStorageOptions}
   * @throws {SnapshotError} `FORBIDDEN`, `NOT_FOUND` if there is no such bucket, `UNAVAILABLE`; `CORRUPT` if the index was
   *   damaged, `UNSUPPORTED` if a newer release wrote it
   */
  static async open(bucket: Bucket, options: ObjectStorageOptions = {}): Promise<ObjectStorage> {
    const storage = new ObjectStorage(bucket, options);
    await storage.#store.read();
    return storage;
  }

  async create(options: CreateOptions = {}): Promise<SnapshotWriter> {
    checkCreateOptions(options);
    this.#check();
    if (this.#beginning !== undefined || this.#writer !== undefined) throw busy("written");
    try {
      await (this.#beginning = this.#places.clear(this.#places.temp));
      const { parents } = this.#places.work(this.#places.temp)!;
      const writer = this.#writer = new StoredWriter(this.#places, {
        snapshots: () => parents,
        publish: (place, manifest, trial) => this.#publish(place, manifest, trial),
        released: () => this.#writer = undefined,
        signer: options.raw === true ? undefined : this.#signer, // for what others took, they vouch
        options,
      });
      if (this.#closed !== undefined) {
        await writer.abort(closed());
        throw closed();
      }
      return writer;
    } finally {
      this.#beginning = undefined;
    }
  }

  async open(index?: bigint): Promise<SnapshotReader> {
    if (index !== undefined) checkIndex(index, "index");
    this.#check();
    const current = await this.#store.read();
    const kept = index === undefined
      ? this.#unreadable.prefer(current.snapshots, ({ id }) => id)
      : current.snapshots.find((kept) => kept.index === index);
    if (kept === undefined) {
      throw new SnapshotError(
        "NOT_FOUND",
        index === undefined ? "There is no snapshot here" : `There is no snapshot ${index} here`,
        index === undefined ? {} : { index },
      );
    }
    this.#places.pin(kept.id);
    try {
      const { manifest } = await this.#places.manifest(kept);
      this.#check();
      return this.#reader(kept.id, manifest, current.generation);
    } catch (error) {
      this.#places.unpin(kept.id);
      if (hasCode(error, "UNAVAILABLE", "FORBIDDEN")) this.#unreadable.add(kept.id);
      if (hasCode(error, "CORRUPT", "MALFORMED")) await this.#quarantine(kept.id, error.message);
      throw error;
    }
  }

  #reader(id: string, manifest: SnapshotManifest, generation: bigint): StoredReader {
    const staying = this.#stay(generation);
    const reader = new StoredReader(this.#places, { place: id, manifest }, {
      found: (error) => this.#inBackground(this.#quarantine(id, error.message)),
      unreadable: () => this.#unreadable.add(id),
      released: () => {
        if (!this.#readers.delete(reader)) return;
        staying();
        this.#places.unpin(id);
      },
    });
    this.#readers.add(reader);
    return reader;
  }

  /**
   * Sees to it that what was there in a generation stays, also when others retire it: after half of the grace time by a
   * lease. Most readers are done before.
   *
   * @returns what ends it
   */
  #stay(generation: bigint): () => void {
    let taking: Promise<HeldLease | undefined> | undefined;
    const take = async () => {
      try {
        return (await this.#leases.take("read", generation))[0];
      } catch (error) {
        this.#warn(
          "UNAVAILABLE",
          "A snapshot that is being read may be collected, since no lease could be taken",
          error,
        );
        return undefined;
      }
    };
    const timer = setTimeout(() => taking = take(), Math.min(this.#grace / 2, LONGEST_WAIT));
    return () => {
      clearTimeout(timer);
      if (taking === undefined) return;
      this.#inBackground(taking.then(async (lease) => {
        lease?.release();
        if (lease !== undefined) await this.#leases.drop(lease);
      }));
    };
  }

  async list(): Promise<SnapshotInfo[]> {
    this.#check();
    const index = await this.#store.read();
    // What is retired, but pinned here, is here still.
    const kept = [...index.snapshots, ...index.retired.filter(({ id }) => this.#places.isPinned(id))];
    return await Promise.all(kept.map((kept) => infoOf(kept, this.#places.isPinned(kept.id))));
  }

  get installing(): SnapshotInstall | undefined {
    return this.#install;
  }

  async unfinished(): Promise<SnapshotManifest[]> {
    this.#check();
    return (await this.#places.installs()).map(({ manifest }) => manifest);
  }

  async install(manifest: SnapshotManifest): Promise<SnapshotInstall> {
    checkManifest(manifest, "manifest");
    this.#check();
    if (this.#install !== undefined || this.#beginningInstall) throw busy("received");
    this.#beginningInstall = true;
    try {
      await this.#leaving.catch(() => {}); // one that was closed leaves what has come
      const [newest] = (await this.#store.read()).snapshots;
      checkNewer(manifest, newest);
      this.#check();
      const place = this.#places.installPlace(manifest);
      return this.#install = new StoredInstall(this.#places, manifest, {
        snapshots: () => [],
        publish: (place, manifest, trial) => this.#publish(place, manifest, trial),
        released: () => {
          this.#install = undefined;
          this.#inBackground(this.#leaving = this.#places.leave(place));
        },
      });
    } finally {
      this.#beginningInstall = false;
    }
  }

  async quarantine(index: bigint, reason: string): Promise<void> {
    checkIndex(index, "index");
    checkString(reason, "reason");
    this.#check();
    const kept = (await this.#store.read()).snapshots.find((kept) => kept.index === index);
    if (kept !== undefined) await this.#quarantine(kept.id, reason);
  }

  onQuarantine(listener: (index: bigint, reason: string) => void): () => void {
    return this.#listeners.add(listener);
  }

  async #quarantine(id: string, reason: string): Promise<void> {
    let found: KeptSnapshot | undefined;
    await this.#store.update((index) => {
      const kept = index.snapshots.find((kept) => kept.id === id);
      if (kept === undefined) return undefined;
      found = kept;
      const bad = [{ ...kept, reason }, ...index.quarantined];
      return {
        snapshots: index.snapshots.filter((other) => other !== kept).map((kept) => ({ ...kept, doubtful: true })),
        quarantined: bad.slice(0, MAX_QUARANTINED),
        retired: [...index.retired, ...bad.slice(MAX_QUARANTINED).map((kept) => retire(kept, index, this.#time))],
      };
    });
    if (found === undefined) return;
    this.#listeners.tell(found.index, reason);
    this.#warn("CORRUPT", `Snapshot ${found.index} was found bad and is put aside: ${reason}`, undefined, found.index);
  }

  /**
   * Deletes what is not needed any more: retired snapshots whose time of grace is over, what was left by those who crashed.
   * Also done after commits, if there is something to collect. Any number may collect at the same time.
   *
   * @param options the signal
   * @returns what was deleted
   * @throws {SnapshotError} `CORRUPT` if a manifest cannot be read: nothing is deleted then, since what it uses is not known
   */
  async collect(options: { readonly signal?: AbortSignal } = {}): Promise<Collected> {
    checkOptions(options, { signal: checkSignal });
    this.#check();
    const signal = options.signal === undefined
      ? this.#closing.signal
      : AbortSignal.any([options.signal, this.#closing.signal]);
    return await this.#collect(signal);
  }

  #collect(signal: AbortSignal): Promise<Collected> {
    this.#collected = performance.now();
    return collect({
      bucket: this.#bucket,
      store: this.#store,
      manifest: (kept) => this.#places.manifest(kept),
      packsOf: this.#packsOf,
      grace: this.#grace,
      time: this.#time,
    }, signal);
  }

  #publish(place: string, manifest: SnapshotManifest, trial: Trial): Promise<Published> {
    const published = this.#publishing.catch(() => {}).then(async () => {
      this.#check();
      const { lease } = this.#places.work(place)!;
      const [kept, located] = await this.#places.seal(place, manifest);
      await this.#places.show(kept, located, () => trial.run(this.#places, { place: kept.id, manifest }));
      const index = await this.#store.update((index) => this.#commit(index, kept, lease));
      this.#places.committed(place, kept, located);
      const since = performance.now() - this.#collected;
      if (since >= this.#grace / COLLECTIONS && isDue(index, this.#grace, this.#time)) {
        this.#inBackground(this.#collect(this.#closing.signal));
      }
      return { info: await infoOf(kept, false), place: kept.id };
    });
    this.#publishing = published;
    return published;
  }

  /** The commit, as a change of the index: all that decides whether it may be is looked at here. */
  #commit(index: ObjectIndex, kept: KeptSnapshot, { id, since }: HeldLease): Partial<ObjectIndex> | undefined {
    if (allKept(index).some((other) => other.id === kept.id)) return undefined; // done, though the answer was lost
    checkNewer(kept, index.snapshots[0]);
    if (index.leases.find((lease) => lease.id === id)?.since !== since) {
      throw new SnapshotError(
        "TIMEOUT",
        `The lease under which snapshot ${kept.index} was written has run out, or somebody else goes on with it: what it ` +
          `has in common with others may have been collected. Write it again`,
        { index: kept.index },
      );
    }
    const all = [kept, ...index.snapshots];
    const old = all.slice(this.retain).filter(({ id }) => !this.#places.isPinned(id));
    return {
      ...withoutLease(index, id),
      snapshots: all.filter((kept) => !old.includes(kept)),
      retired: [...index.retired, ...old.map((kept) => retire(kept, index, this.#time))],
    };
  }

  close(): Promise<void> {
    return this.#closed ??= (async () => {
      await Promise.allSettled([this.#beginning, this.#publishing]);
      const ended = await Promise.allSettled([
        this.#writer?.abort(closed()),
        this.#install?.close(),
        ...[...this.#readers].map((reader) => reader.close()),
      ]);
      this.#closing.abort(closed());
      while (this.#background.size > 0) await Promise.all(this.#background);
      for (const outcome of ended) if (outcome.status === "rejected") throw outcome.reason;
    })();
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #inBackground(work: Promise<unknown>): void {
    const done: Promise<void> = work.then(() => {}, (error) => {
      if (this.#closed === undefined) this.#warn("UNAVAILABLE", "Something was left to be done later", error);
    }).finally(() => this.#background.delete(done));
    this.#background.add(done);
  }

  #warn(code: "CORRUPT" | "UNAVAILABLE", what: string, cause?: unknown, index?: bigint): void {
    this.#onWarning(
      new SnapshotError(code, cause === undefined ? what : `${what}: ${messageOf(cause)}`, {
        ...(cause !== undefined && { cause }),
        ...(index !== undefined && { index }),
      }),
    );
  }

  #check(): void {
    if (this.#closed !== undefined) throw closed();
  }
}

function retire(kept: KeptSnapshot, index: ObjectIndex, time: SharedTime): KeptSnapshot {
  return { ...kept, retiredAt: time.latest(), retiredIn: index.generation + 1n };
}

function checkNewer(snapshot: { readonly index: bigint }, newest: KeptSnapshot | undefined): void {
  if (newest !== undefined && snapshot.index <= newest.index) throw stale(snapshot.index, newest.index);
}

function busy(what: string): SnapshotError {
  return new SnapshotError("BUSY", `Another snapshot is being ${what}: one at a time`);
}

function closed(): SnapshotError {
  return new SnapshotError("CLOSED", "The storage was closed");
}
