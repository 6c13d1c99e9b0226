/**
 * Snapshots in an object store.
 *
 * @module
 */

import { type FailingTask, neverThrowing, raceAbort } from "../../async/mod.ts";
import { type Bucket, checkBucket, RetryingBucket } from "../../bucket/mod.ts";
import { checkIndex, checkOptions, checkSignal, checkString } from "../../checks.ts";
import { hasCode, messageOf, SnapshotError } from "../../errors.ts";
import {
  checkChoice,
  checkCreateOptions,
  checkManifest,
  checkRestore,
  type CreateOptions,
  isChosen,
  noneChosen,
  type QuarantinedSnapshot,
  type SnapshotAt,
  type SnapshotInfo,
  type SnapshotInstall,
  type SnapshotManifest,
  type SnapshotReader,
  type SnapshotSigner,
  type SnapshotStorage,
  type SnapshotVerifier,
  type SnapshotWriter,
  type UnreadableSnapshot,
  type VerifyOptions,
} from "../../snapshot/mod.ts";
import { StoredInstall } from "../install.ts";
import type { Published } from "../medium.ts";
import { type Grouping, StorageGroup } from "../storage_group.ts";
import { QuarantineListeners } from "../quarantine_listeners.ts";
import { StoredReader } from "../reader.ts";
import { Retention } from "../retention.ts";
import type { Trial } from "../trial.ts";
import { StorageTrust } from "../trust.ts";
import { StoredWriter } from "../writer.ts";
import { type BackgroundTask, BackgroundTasks } from "./background.ts";
import { checkNewer, type Commit, committed, pruned } from "./changes.ts";
import { type Collected, Collector } from "./collector.ts";
import { checkHead, groupedOf, infoOf, type KeptSnapshot, type ObjectIndex } from "./index.ts";
import { IndexStore } from "./index_store.ts";
import { Leases } from "./leases.ts";
import { ObjectEvidence } from "./object_evidence.ts";
import { checkObjectOptions, type ObjectStorageOptions } from "./options.ts";
import { ObjectPlaces, UNRELEASED } from "./places.ts";
import { closed, StorageWork } from "../work.ts";
import { SharedTime } from "./shared_time.ts";

/** What is said if a snapshot that is being read could not be protected. */
const UNPROTECTED = "A snapshot that is being read may be collected, since no lease could be taken";
/**
 * Snapshots in a bucket, which any number of processes may use at the same time. Chunks are kept by their digests, in
 * packs of some MiB: a chunk that an earlier snapshot has is not uploaded again. A commit is one conditional put of the
 * index: of two writers one wins, and the other is `STALE`.
 *
 * ```text
 * index                     the snapshots and leases: the only object that is ever replaced
 * manifests/{lease}/{name}  the manifest of a snapshot, with the packs of its chunks
 * packs/{lease}/{name}      chunks that were written with that snapshot
 * installs/{lease}          the manifest of a snapshot that is being received
 * ```
 *
 * Objects are written once, under names that no other process uses, and deleted when nothing in the index needs them:
 * those of retired snapshots after a time of grace, those of a crashed process when its lease has run out. That is done
 * after a commit, and by {@linkcode collect}.
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
  readonly #retention: Retention;
  readonly #bucket: RetryingBucket;
  readonly #store: IndexStore;
  readonly #leases: Leases;
  readonly #places: ObjectPlaces;
  readonly #grace: number;
  readonly #time = new SharedTime();
  readonly #group = new StorageGroup();
  readonly #trust: StorageTrust;
  /** The ids of snapshots of other groups that a warning was given for. */
  readonly #told = new Set<string>();
  readonly #onWarning: (error: SnapshotError) => void;
  readonly #signer: SnapshotSigner | undefined;
  readonly #readers = new Set<StoredReader>();
  readonly #work = new StorageWork();
  /** Pending while the last install is being left. */
  #leaving: Promise<void> = Promise.resolve();
  readonly #background: BackgroundTasks;
  readonly #collector: Collector;
  readonly #closing = new AbortController();
  readonly #listeners = new QuarantineListeners();
  readonly #evidence: ObjectEvidence;

  private constructor(bucket: Bucket, options: ObjectStorageOptions) {
    const {
      retain,
      onWarning = () => {},
      onFailing = () => {},
      signer,
      verifier,
      floor = 0n,
      prefix = "",
      packSize = 8 * 1024 * 1024,
      grace = 3600_000,
      keepInstalls = 7 * 24 * 3600_000,
    } = checkObjectOptions(options);
    checkBucket(bucket, "bucket");
    this.#onWarning = neverThrowing(onWarning);
    this.#retention = new Retention(retain, this.#onWarning);
    this.retain = this.#retention.count;
    this.#background = new BackgroundTasks(this.#onWarning, onFailing);
    this.#signer = signer;
    this.#trust = new StorageTrust(verifier, floor, this.#onWarning);
    this.#grace = grace;
    this.#bucket = new RetryingBucket(bucket, prefix);
    this.#store = new IndexStore(this.#bucket);
    this.#leases = new Leases(this.#store, this.#time, this.#background);
    this.#places = new ObjectPlaces(
      this.#bucket,
      this.#store,
      this.#leases,
      packSize,
      keepInstalls,
      this.#time,
      this.#background,
    );
    this.#collector = new Collector({
      bucket: this.#bucket,
      store: this.#store,
      manifest: (kept) => this.#places.manifest(kept),
      grace,
      time: this.#time,
    }, this.#background);
    this.#evidence = new ObjectEvidence({
      places: this.#places,
      store: this.#store,
      time: this.#time,
      signal: this.#closing.signal,
      check: () => this.#work.check(),
      found: (index, reason) => {
        this.#listeners.tell(index, reason);
        this.#warn("CORRUPT", `Snapshot ${index} was found bad and is quarantined: ${reason}`, undefined, index);
      },
    });
    if (options.group !== undefined) this.bindGroup(options.group);
  }

  /**
   * Opens a storage. Nothing in the bucket is changed; an empty bucket stays empty.
   *
   * @param bucket the bucket
   * @param options see {@linkcode ObjectStorageOptions}
   * @throws {SnapshotError} `FORBIDDEN`, `NOT_FOUND` if there is no such bucket, `UNAVAILABLE`; `CORRUPT` if the index
   *   was damaged, `UNSUPPORTED` if a newer release wrote it
   */
  static async open(bucket: Bucket, options: ObjectStorageOptions = {}): Promise<ObjectStorage> {
    const storage = new ObjectStorage(bucket, options);
    storage.#own(await storage.#store.read());
    return storage;
  }

  get group(): string | undefined {
    return this.#group.name;
  }

  get verifier(): SnapshotVerifier | undefined {
    return this.#trust.verifier;
  }

  bindGroup(group: string): void {
    this.#group.bind(group);
    if (this.#store.last !== undefined) this.#own(this.#store.last);
  }

  async create(options: CreateOptions = {}): Promise<SnapshotWriter> {
    checkCreateOptions(options);
    this.#work.check();
    return await this.#work.write(async (released) => {
      await this.#places.clear(this.#places.temp);
      const { parents } = this.#places.work(this.#places.temp)!;
      const grouping = options.raw === true ? this.#group.offered : this.#group.saved;
      return new StoredWriter(this.#places, {
        snapshots: () => parents,
        publish: (place, manifest, trial) => this.#publish(place, manifest, trial, grouping),
        released,
        grouped: (meta) => grouping(this.#own(this.#store.last!).map(groupedOf), meta), // checked again by the commit
        signer: options.raw === true ? undefined : this.#signer, // a snapshot that others took is not signed by us
        options,
      });
    });
  }

  async open(index?: bigint | SnapshotAt): Promise<SnapshotReader> {
    checkChoice(index);
    this.#work.check();
    const current = await this.#store.read();
    const own = await this.#trusted(current);
    const infos = typeof index === "object" ? await this.#infos(own) : undefined;
    const kept = this.#evidence.prefer(own.filter((kept) => {
      return isChosen(infos?.get(kept.id)?.meta ?? { lastIncludedIndex: kept.index }, index);
    }));
    if (kept === undefined) {
      const foreign = current.snapshots.find((kept) => kept.index === index);
      if (foreign !== undefined) throw this.#trust.refusal(foreign.id) ?? this.#group.foreign(groupedOf(foreign));
      throw noneChosen(index);
    }
    this.#places.pin(kept.id);
    try {
      const { manifest } = await this.#places.manifest(kept);
      await checkHead(kept, manifest);
      this.#work.check();
      return this.#reader(kept.id, manifest, current.generation);
    } catch (error) {
      this.#places.unpin(kept.id);
      if (hasCode(error, "UNAVAILABLE", "FORBIDDEN")) this.#evidence.doubt(kept.id);
      if (hasCode(error, "CORRUPT")) await this.#evidence.quarantine(kept.id, error.message);
      throw error;
    }
  }

  async #infos(snapshots: readonly KeptSnapshot[]): Promise<Map<string, SnapshotInfo>> {
    return new Map(await Promise.all(snapshots.map(async (kept) => [kept.id, await infoOf(kept, false)] as const)));
  }

  #reader(id: string, manifest: SnapshotManifest, generation: bigint): StoredReader {
    const staying = this.#leases.stay(
      generation,
      this.#grace / 2,
      (error) => this.#background.failed("protect", UNPROTECTED, error),
    );
    const reader = new StoredReader(this.#places, { place: id, manifest }, {
      found: (error) => {
        const what = "A snapshot that was found bad could not be quarantined";
        this.#background.run("quarantine", what, this.#evidence.quarantine(id, error.message));
      },
      unreadable: (file) => this.#evidence.doubt(id, file),
      released: () => {
        if (!this.#readers.delete(reader)) return;
        this.#background.run("release", UNRELEASED, staying());
        this.#places.unpin(id);
      },
    });
    this.#readers.add(reader);
    return reader;
  }

  async list(): Promise<SnapshotInfo[]> {
    this.#work.check();
    const index = await this.#store.read();
    // A retired snapshot that is pinned here is still here.
    const kept = [...await this.#trusted(index), ...index.retired.filter(({ id }) => this.#places.isPinned(id))];
    return await Promise.all(kept.map((kept) => infoOf(kept, this.#places.isPinned(kept.id))));
  }

  get installing(): SnapshotInstall | undefined {
    return this.#work.install;
  }

  async unfinished(): Promise<SnapshotManifest[]> {
    this.#work.check();
    return (await this.#places.installs()).map(({ manifest }) => manifest);
  }

  async install(manifest: SnapshotManifest): Promise<SnapshotInstall> {
    checkManifest(manifest, "manifest");
    this.#work.check();
    await this.#trust.check(manifest);
    return await this.#work.receive(async (released) => {
      await this.#leaving.catch(() => {}); // a closed install is still storing what it received
      const own = await this.#trusted(await this.#store.read());
      this.#group.offered(own.map(groupedOf), manifest.meta);
      checkNewer(manifest, own[0]);
      this.#work.check();
      const place = this.#places.installPlace(manifest);
      return new StoredInstall(this.#places, manifest, {
        snapshots: () => [],
        publish: (place, manifest, trial) => this.#publish(place, manifest, trial, this.#group.offered),
        released: () => {
          released();
          this.#leaving = this.#places.leave(place);
          this.#background.run("release", "An install could not be left to be resumed", this.#leaving);
        },
      });
    });
  }

  /** Always empty: all snapshots are listed by the index; whether they can be read is known only when they are. */
  async unreadable(): Promise<UnreadableSnapshot[]> {
    this.#work.check();
    return [];
  }

  async quarantine(index: bigint, reason: string): Promise<boolean> {
    checkIndex(index, "index");
    checkString(reason, "reason");
    this.#work.check();
    const kept = (await this.#trusted(await this.#store.read())).find((kept) => kept.index === index);
    const proof = kept === undefined ? undefined : await this.#evidence.prove(kept);
    if (proof !== undefined) await this.#evidence.quarantine(kept!.id, `${reason}: ${proof.message}`);
    const { snapshots, quarantined } = await this.#store.read();
    return !snapshots.some((kept) => kept.index === index) && quarantined.some((kept) => kept.index === index);
  }

  async quarantined(): Promise<QuarantinedSnapshot[]> {
    this.#work.check();
    const { quarantined } = await this.#store.read();
    return quarantined.map(({ index, reason }) => ({ index, ...(reason !== undefined && { reason }) }));
  }

  async restore(index: bigint, options: VerifyOptions = {}): Promise<SnapshotInfo> {
    checkRestore(index, options);
    this.#work.check();
    const signal = this.#signalOf(options);
    return await this.#evidence.restore(index, this.#group, this.#trust, signal);
  }

  onQuarantine(listener: (index: bigint, reason: string) => void): () => void {
    return this.#listeners.add(listener);
  }

  /**
   * Retires the snapshots that are too many, as a commit does; {@linkcode collect} deletes them when their time of
   * grace is over. A snapshot that could not be read before is read again, and counts only if that succeeds.
   */
  async prune(): Promise<void> {
    this.#work.check();
    await this.#work.publish(async () => {
      await this.#evidence.readDoubted();
      const infos = await this.#knownInfos();
      await this.#trusted(await this.#store.read());
      await this.#store.update((index) =>
        pruned(index, {
          own: (index) => this.#own(index),
          old: (counting) => this.#old(counting, infos),
          counts: (id) => !this.#places.unread.has(id) && this.#trust.has(id),
          isPinned: (id) => this.#places.isPinned(id),
          time: this.#time,
        })
      );
    });
  }

  /**
   * Deletes objects that are not needed any more: those of retired snapshots whose time of grace is over, and those
   * that crashed processes left. Also done after commits, if there is something to collect. Any number of processes may
   * collect at the same time.
   *
   * @param options the signal
   * @returns what was deleted
   * @throws {SnapshotError} `CORRUPT` if a manifest cannot be read: nothing is deleted then, since its packs are not
   *   known
   */
  async collect(options: { readonly signal?: AbortSignal } = {}): Promise<Collected> {
    checkOptions(options, { signal: checkSignal });
    this.#work.check();
    const signal = this.#signalOf(options);
    // The lease of a closed reader is dropped in the background: what it kept becomes garbage only then.
    await raceAbort(this.#background.settled(), signal);
    return await this.#collector.collect(signal);
  }

  /**
   * Returns the background tasks that failed the last time: the bucket refuses them, or does not answer. They are done
   * again later, and a task that succeeds is none of them any more.
   *
   * @example
   * ```ts
   * import { MemoryBucket, ObjectStorage } from "@snapstream/snapstream/object";
   *
   * await using storage = await ObjectStorage.open(new MemoryBucket());
   * console.assert(storage.failing().length === 0);
   * ```
   */
  failing(): readonly FailingTask<BackgroundTask>[] {
    return this.#background.failing;
  }

  #signalOf({ signal }: { readonly signal?: AbortSignal }): AbortSignal {
    return signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
  }

  /** The descriptions of the snapshots that are here now, by their ids; none if only their number counts. */
  async #knownInfos(): Promise<Map<string, SnapshotInfo>> {
    return this.#retention.isCount ? new Map() : await this.#infos(this.#own(await this.#store.read()));
  }

  /** Those that are not kept. A snapshot that another process committed meanwhile is not known yet, and stays. */
  #old(counting: readonly KeptSnapshot[], infos: ReadonlyMap<string, SnapshotInfo>): readonly KeptSnapshot[] {
    const known = this.#retention.isCount ? counting : counting.filter(({ id }) => infos.has(id));
    const stays = new Set(this.#retention.kept(known, ({ id }) => infos.get(id)!));
    return known.filter((one) => !stays.has(one));
  }

  #publish(place: string, manifest: SnapshotManifest, trial: Trial, grouping: Grouping): Promise<Published> {
    return this.#work.publish(async () => {
      await this.#trust.check(manifest);
      const work = this.#places.work(place)!;
      const [kept, located] = await this.#places.seal(place, manifest);
      await this.#places.show(kept, located, () => trial.run(this.#places, { place: kept.id, manifest }));
      await this.#evidence.readDoubted();
      await this.#trusted(await this.#store.read());
      this.#trust.add(kept.id);
      const { mayCollect } = this.#collector;
      let isDue = false;
      const info = await infoOf(kept, false);
      const infos = await this.#knownInfos();
      infos.set(kept.id, info);
      work.mayBeCommitted = true;
      const commit: Commit = {
        kept,
        lease: work.lease,
        own: (index) => {
          const own = this.#own(index);
          grouping(own.map(groupedOf), groupedOf(kept).meta);
          return own;
        },
        old: (counting) => this.#old(counting, infos),
        counts: (id) => !this.#places.unread.has(id) && this.#trust.has(id),
        isPinned: (id) => this.#places.isPinned(id),
        next: (index) => this.#leases.next(index),
        time: this.#time,
      };
      await this.#store.update((index) => {
        const change = committed(index, commit);
        const forgotten = change && mayCollect ? this.#collector.forget({ ...index, ...change }) : undefined;
        isDue ||= forgotten !== undefined;
        return change && { ...change, ...forgotten };
      }).catch((error) => {
        // No put of it can succeed any more: it would have to replace an index of which it is not too old.
        work.mayBeCommitted = !hasCode(error, "STALE");
        throw error;
      });
      this.#leases.committed();
      this.#places.committed(place, kept, located);
      if (this.#trust.rises) await this.#raiseFloor();
      if (mayCollect) this.#collector.collectLater(isDue, this.#closing.signal);
      return { info, place: kept.id };
    });
  }

  close(): Promise<void> {
    return this.#work.close(() => [...this.#readers], async () => {
      this.#closing.abort(closed()); // now: a commit that had begun could still read what it needs
      await this.#background.close();
    });
  }

  /** As {@linkcode close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The snapshots of its own group. Warns once of each of another group. */
  async #raiseFloor(): Promise<void> {
    const index = await this.#store.read().catch(() => undefined); // of no matter: the next look raises it, too
    if (index === undefined) return;
    const own = this.#own(index);
    await this.#trust.kept(own.map(({ index }) => index), own.every(({ id }) => this.#trust.has(id)));
  }

  /** The snapshots of its group that are trusted. */
  async #trusted(index: ObjectIndex): Promise<KeptSnapshot[]> {
    const own = (kept: KeptSnapshot) => this.#group.isOwn(groupedOf(kept));
    const manifest = async (kept: KeptSnapshot) => {
      const { manifest } = await this.#places.manifest(kept);
      await checkHead(kept, manifest); // the index says of which snapshot it is
      return manifest;
    };
    await this.#trust.look(
      index.snapshots.filter(own).map((kept) => ({ key: kept.id, isOwn: true, manifest: () => manifest(kept) })),
      true,
    );
    return this.#own(index).filter(({ id }) => this.#trust.has(id));
  }

  /** The snapshots of its group but those that were looked at and are not trusted. */
  #own({ snapshots }: ObjectIndex): KeptSnapshot[] {
    return snapshots.filter((kept) => {
      if (this.#trust.refuses(kept.id)) return false;
      const grouped = groupedOf(kept);
      if (this.#group.isOwn(grouped)) return true;
      if (!this.#told.has(kept.id)) this.#onWarning(this.#group.foreign(grouped));
      this.#told.add(kept.id);
      return false;
    });
  }

  #warn(code: "CORRUPT" | "UNAVAILABLE", what: string, cause?: unknown, index?: bigint): void {
    this.#onWarning(
      new SnapshotError(code, cause === undefined ? what : `${what}: ${messageOf(cause)}`, {
        ...(cause !== undefined && { cause }),
        ...(index !== undefined && { index }),
      }),
    );
  }
}
