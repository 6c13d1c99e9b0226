/**
 * Snapshots in an object store.
 *
 * @module
 */

import { type FailingTask, neverThrowing, raceAbort } from "../../async/mod.ts";
import { type Bucket, checkBucket, RetryingBucket } from "../../bucket/mod.ts";
import { checkIndex, checkOptions, checkSignal, checkString } from "../../checks.ts";
import { hasCode, SnapshotError } from "../../errors.ts";
import { withJson } from "../../stream/mod.ts";
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
import { checkNewer } from "./changes.ts";
import { type Collected, Collector } from "./collector.ts";
import { infosOf, ObjectCommits } from "./commits.ts";
import { checkHead, groupedOf, infoOf } from "./index.ts";
import { IndexStore } from "./index_store.ts";
import { type KeptPlace, KeptPlaces } from "./kept_places.ts";
import { Leases } from "./leases.ts";
import { ObjectEvidence } from "./object_evidence.ts";
import { checkObjectOptions, type ObjectStorageOptions } from "./options.ts";
import { OwnSnapshots } from "./own_snapshots.ts";
import { type ObjectPlace, UNRELEASED } from "./place.ts";
import { ObjectPlaces } from "./places.ts";
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
  readonly #store: IndexStore;
  readonly #leases: Leases;
  readonly #kept: KeptPlaces;
  readonly #places: ObjectPlaces;
  readonly #grace: number;
  readonly #group = new StorageGroup();
  readonly #trust: StorageTrust;
  readonly #own: OwnSnapshots;
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
  readonly #commits: ObjectCommits;

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
    const warn = this.#onWarning = neverThrowing(onWarning);
    const retention = new Retention(retain, warn);
    this.retain = retention.count;
    this.#signer = signer;
    this.#trust = new StorageTrust(verifier, floor, warn);
    this.#grace = grace;
    const background = this.#background = new BackgroundTasks(warn, onFailing);
    const time = new SharedTime();
    const retrying = new RetryingBucket(bucket, prefix);
    const store = this.#store = new IndexStore(retrying);
    const leases = this.#leases = new Leases(store, time, background);
    const kept = this.#kept = new KeptPlaces(retrying, store, packSize);
    const parts = { bucket: retrying, store, kept, time };
    this.#places = new ObjectPlaces({ ...parts, leases, packSize, keepInstalls, background });
    const collector = this.#collector = new Collector({ ...parts, grace }, background);
    const own = this.#own = new OwnSnapshots(this.#group, this.#trust, kept, warn);
    const { signal } = this.#closing;
    const evidence = this.#evidence = new ObjectEvidence({
      ...parts,
      signal,
      check: () => this.#work.check(),
      found: (index, reason) => {
        this.#listeners.tell(index, reason);
        const message = `Snapshot ${index} was found bad and is quarantined: ${reason}`;
        warn(new SnapshotError("CORRUPT", message, { index }));
      },
    });
    this.#commits = new ObjectCommits({ ...parts, leases, own, evidence, retention, collector, signal });
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
    storage.#own.all(await storage.#store.read());
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
    if (this.#store.last !== undefined) this.#own.all(this.#store.last);
  }

  async create(options: CreateOptions = {}): Promise<SnapshotWriter> {
    checkCreateOptions(options);
    this.#work.check();
    return await this.#work.write(async (released) => {
      const { temp } = this.#places;
      await temp.clear();
      const { parents } = temp;
      const grouping = options.raw === true ? this.#group.offered : this.#group.saved;
      return new StoredWriter(temp, {
        snapshots: () => parents,
        publish: (_, manifest, trial) => this.#publish(temp, manifest, trial, grouping),
        released,
        // The commit checks this again.
        grouped: (meta) => grouping(this.#own.all(this.#store.last!).map(groupedOf), meta),
        signer: options.raw === true ? undefined : this.#signer, // a snapshot that others took is not signed by us
        options,
      });
    });
  }

  async open(index?: bigint | SnapshotAt): Promise<SnapshotReader> {
    checkChoice(index);
    this.#work.check();
    const current = await this.#store.read();
    const own = await this.#own.trusted(current);
    const infos = typeof index === "object" ? await infosOf(own) : undefined;
    const kept = this.#evidence.prefer(own.filter((kept) => {
      return isChosen(infos?.get(kept.id)?.meta ?? { lastIncludedIndex: kept.index }, index);
    }));
    if (kept === undefined) {
      const foreign = current.snapshots.find((kept) => kept.index === index);
      if (foreign !== undefined) throw this.#trust.refusal(foreign.id) ?? this.#group.foreign(groupedOf(foreign));
      throw noneChosen(index);
    }
    const place = this.#kept.pin(kept.id);
    try {
      const { manifest } = await this.#kept.manifest(kept);
      await checkHead(kept, manifest);
      this.#work.check();
      return this.#reader(place, manifest, current.generation);
    } catch (error) {
      this.#kept.unpin(kept.id);
      if (hasCode(error, "UNAVAILABLE", "FORBIDDEN")) this.#evidence.doubt(kept.id);
      if (hasCode(error, "CORRUPT")) await this.#evidence.quarantine(kept.id, error.message);
      throw error;
    }
  }

  #reader(place: KeptPlace, manifest: SnapshotManifest, generation: bigint): StoredReader {
    const staying = this.#leases.stay(
      generation,
      this.#grace / 2,
      (error) => this.#background.failed("protect", UNPROTECTED, error),
    );
    const { name: id } = place;
    const reader = new StoredReader({ place, manifest }, {
      found: (error) => {
        const what = "A snapshot that was found bad could not be quarantined";
        this.#background.run("quarantine", what, this.#evidence.quarantine(id, error.message));
      },
      unreadable: (file) => this.#evidence.doubt(id, file),
      released: () => {
        if (!this.#readers.delete(reader)) return;
        this.#background.run("release", UNRELEASED, staying());
        this.#kept.unpin(id);
      },
    });
    this.#readers.add(reader);
    return reader;
  }

  async list(): Promise<SnapshotInfo[]> {
    this.#work.check();
    const index = await this.#store.read();
    // A retired snapshot that is pinned here is still here.
    const kept = [...await this.#own.trusted(index), ...index.retired.filter(({ id }) => this.#kept.isPinned(id))];
    return await Promise.all(kept.map((kept) => infoOf(kept, this.#kept.isPinned(kept.id))));
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
      const own = await this.#own.trusted(await this.#store.read());
      this.#group.offered(own.map(groupedOf), manifest.meta);
      checkNewer(manifest, own[0]);
      this.#work.check();
      const place = this.#places.installPlace(manifest);
      return new StoredInstall(this.#places, manifest, {
        snapshots: () => [],
        publish: (_, manifest, trial) => this.#publish(place, manifest, trial, this.#group.offered),
        released: () => {
          released();
          this.#leaving = place.leave();
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
    const kept = (await this.#own.trusted(await this.#store.read())).find((kept) => kept.index === index);
    const proof = kept === undefined ? undefined : await this.#evidence.prove(kept);
    if (proof !== undefined) await this.#evidence.quarantine(kept!.id, `${reason}: ${proof.message}`);
    const { snapshots, quarantined } = await this.#store.read();
    return !snapshots.some((kept) => kept.index === index) && quarantined.some((kept) => kept.index === index);
  }

  async quarantined(): Promise<QuarantinedSnapshot[]> {
    this.#work.check();
    const { quarantined } = await this.#store.read();
    return quarantined.map(({ index, reason }) => withJson({ index, ...(reason !== undefined && { reason }) }));
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
    await this.#work.publish(() => this.#commits.prune());
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

  #publish(place: ObjectPlace, manifest: SnapshotManifest, trial: Trial, grouping: Grouping): Promise<Published> {
    return this.#work.publish(() => this.#commits.publish(place, manifest, trial, grouping));
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
}
