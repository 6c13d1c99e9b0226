/**
 * A bucket as places with files, in which snapshots are kept, written and received.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../../errors.ts";
import { type ByteRange, MAX_MANIFEST_BYTES, SnapshotManifest } from "../../snapshot/mod.ts";
import { sha256 } from "../../stream/mod.ts";
import type { MediumFile, PlacedSnapshot, Places } from "../medium.ts";
import type { BackgroundTasks } from "./background.ts";
import type { IndexStore } from "./index_store.ts";
import { allKept, checkDigest, keptOf, type KeptSnapshot, type Lease, type ObjectIndex, randomName } from "./index.ts";
import { type HeldLease, installPlace, isInstallOf, type Leases } from "./leases.ts";
import { LocatedManifest, MAX_STORED_MANIFEST_BYTES } from "./located_manifest.ts";
import { PackedContent } from "./packed_content.ts";
import { PackedFile } from "./packed_file.ts";
import type { SharedTime } from "./shared_time.ts";
import type { RetryingBucket } from "../../bucket/mod.ts";
import { Upload } from "./upload.ts";
import { UploadFile } from "./upload_file.ts";

/** The number of newest snapshots whose chunks are reused. */
const PARENTS = 2;
/** The number of manifests kept in memory, besides those of open snapshots. */
const MAX_CACHED = PARENTS + 1;

/** A snapshot that is being written or received. */
interface Work {
  readonly lease: HeldLease;
  readonly upload: Upload;
  /** The manifest of the snapshot, if it is being received. */
  readonly manifest: SnapshotManifest | undefined;
  /** The sizes of the files that are being written, by their names. */
  readonly sizes: Map<string, number>;
  /** The snapshots whose chunks may be reused, newest first. */
  readonly parents: readonly PlacedSnapshot[];
  /** True if a commit was tried, and it is not known that it can never be done any more. */
  mayBeCommitted: boolean;
}

/** What is said of a lease that could not be dropped. */
export const UNRELEASED = "A lease could not be dropped, and runs out later";

/** The places in a bucket, for the writer, the readers and the install of a storage. */
export class ObjectPlaces implements Places {
  readonly temp = "temp";
  readonly #bucket: RetryingBucket;
  readonly #store: IndexStore;
  readonly #leases: Leases;
  readonly #packSize: number;
  readonly #keepInstalls: number;
  readonly #time: SharedTime;
  readonly #background: BackgroundTasks;
  readonly #work = new Map<string, Work>();
  readonly #manifests = new Map<string, Promise<LocatedManifest>>();
  readonly #contents = new Map<string, PackedContent>();
  /**
   * The files that this process could not read, by the ids of their snapshots, which are suspect to this process only.
   * Until these were read again, they do not count for retention when it commits, and their chunks are not reused.
   */
  readonly unread: Map<string, Set<string>> = new Map();
  /** The number of readers of each snapshot. */
  readonly #pins = new Map<string, number>();

  /**
   * @param bucket the bucket
   * @param store its index
   * @param leases what is taken while something is written
   * @param packSize bytes of a pack
   * @param keepInstalls how long an interrupted install is kept, in milliseconds
   * @param time says which leases are over
   * @param background runs what nobody waits for
   */
  constructor(
    bucket: RetryingBucket,
    store: IndexStore,
    leases: Leases,
    packSize: number,
    keepInstalls: number,
    time: SharedTime,
    background: BackgroundTasks,
  ) {
    this.#bucket = bucket;
    this.#store = store;
    this.#leases = leases;
    this.#packSize = packSize;
    this.#keepInstalls = keepInstalls;
    this.#time = time;
    this.#background = background;
  }

  /** Returns the snapshot that is being written or received in a place. */
  work(place: string): Work | undefined {
    return this.#work.get(place);
  }

  installPlace({ index, digest }: SnapshotManifest): string {
    return installPlace(index, digest);
  }

  async installs(): Promise<PlacedSnapshot[]> {
    const found: PlacedSnapshot[] = [];
    for (const { id, kind } of (await this.#store.read()).leases) {
      if (kind !== "install") continue;
      const manifest = await this.#manifestOfInstall(id);
      if (manifest !== undefined) found.push({ place: this.installPlace(manifest), manifest });
    }
    return found;
  }

  /** Returns the manifest of an install; nothing if it was interrupted before it was stored, or cannot be decoded. */
  async #manifestOfInstall(id: string): Promise<SnapshotManifest | undefined> {
    const found = await this.#bucket.read(`installs/${id}`, { limit: MAX_MANIFEST_BYTES });
    try {
      return found && await SnapshotManifest.decode(found.bytes);
    } catch (error) {
      if (hasCode(error, "CORRUPT", "MALFORMED", "UNSUPPORTED")) return undefined;
      throw error;
    }
  }

  async clear(place: string): Promise<void> {
    await this.remove(place);
    if (place === this.temp) await this.#begin(place, await this.#leases.take("write"), undefined);
  }

  async describe(place: string, manifest: SnapshotManifest): Promise<void> {
    const taken = await this.#leases.takeInstall(manifest.digest, manifest.index, this.#keepInstalls);
    await this.#begin(place, taken, manifest, () => this.#bucket.put(`installs/${taken[0].id}`, manifest.bytes));
  }

  async #begin(
    place: string,
    [lease, index]: readonly [HeldLease, ObjectIndex],
    manifest: SnapshotManifest | undefined,
    first: () => Promise<void> = () => Promise.resolve(),
  ): Promise<Work> {
    try {
      await first();
      const upload = new Upload(this.#bucket, lease.id, this.#packSize);
      const parents: PlacedSnapshot[] = [];
      // Once a snapshot was found bad, no chunks are reused of those that were there with it: they may share the
      // damage. Nor of one that cannot be read now, or that is not there in full.
      const usable = ({ id, suspect }: KeptSnapshot) => suspect !== true && !this.unread.has(id);
      for (const kept of index.snapshots.filter(usable).slice(0, PARENTS)) {
        try {
          const located = await this.manifest(kept);
          if (!await this.#isWhole(located)) continue;
          upload.reuse(located);
          parents.push({ place: kept.id, manifest: located.manifest });
        } catch (error) {
          if (!(error instanceof SnapshotError)) throw error; // its chunks are not reused
        }
      }
      const work = { lease, upload, manifest, sizes: new Map<string, number>(), parents, mayBeCommitted: false };
      this.#work.set(place, work);
      return work;
    } catch (error) {
      lease.release();
      await this.#leases.drop(lease).catch((error) => this.#background.failed("release", UNRELEASED, error));
      throw error;
    }
  }

  /** Reports whether all packs of a snapshot are listed, and large enough. */
  async #isWhole({ packs }: LocatedManifest): Promise<boolean> {
    const listed = new Map<string, number>();
    for (const lease of new Set(packs.map(({ name }) => name.split("/")[0]!))) {
      for await (const { key, size } of this.#bucket.list(`packs/${lease}/`)) {
        listed.set(key.slice("packs/".length), size);
      }
    }
    return packs.every(({ name, size }) => (listed.get(name) ?? -1) >= size);
  }

  async kept(place: string): Promise<(digest: Uint8Array) => boolean> {
    const { upload } = this.#work.get(place) ?? await this.#resume(place);
    return (digest) => upload.has(digest);
  }

  /** Resumes an interrupted install. */
  async #resume(place: string): Promise<Work> {
    for (const lease of (await this.#store.read()).leases) {
      if (!isInstallOf(lease, place)) continue;
      const { id } = lease;
      const manifest = await this.#manifestOfInstall(id);
      if (manifest === undefined) continue;
      const work = await this.#begin(place, await this.#leases.takeOver(id, this.#keepInstalls), manifest);
      await work.upload.adopt();
      return work;
    }
    throw new SnapshotError("NOT_FOUND", `Nothing is being received as ${place}`, { file: place });
  }

  /** Stops receiving for now: the chunks that came stay, so that the install can be resumed. */
  async leave(place: string): Promise<void> {
    const work = this.#work.get(place);
    if (work === undefined) return;
    this.#work.delete(place);
    work.lease.release();
    try {
      await work.upload.flush();
    } finally {
      await work.upload.stop();
      await this.#leases.leave(work.lease);
    }
  }

  async open(
    place: string,
    name: string,
    mode: "read" | "create" | "update",
    range?: ByteRange,
  ): Promise<MediumFile> {
    const work = this.#work.get(place);
    if (work === undefined) return new PackedFile(await this.#content(place), name, range);
    if (mode === "create" && work.manifest === undefined) work.sizes.set(name, 0);
    return new UploadFile(work.upload, work.sizes, name, work.manifest?.file(name));
  }

  async link(from: string, to: string, name: string, as: string): Promise<boolean> {
    const { upload, sizes } = this.#work.get(to)!;
    const chunks = (await this.#manifests.get(from))?.manifest.file(name).chunks;
    if (chunks === undefined) return false;
    for (let i = 0; i < chunks.count; i++) if (!upload.has(chunks.digest(i))) return false;
    sizes.set(as, chunks.size);
    return true;
  }

  async unlink(place: string, name: string): Promise<void> {
    this.#work.get(place)?.sizes.delete(name);
  }

  /** Aborts what is being written or received in a place, and deletes all of it. */
  async remove(place: string): Promise<void> {
    const work = this.#work.get(place);
    if (work !== undefined) {
      this.#work.delete(place);
      work.lease.release();
      await work.upload.stop();
      if (place !== this.temp || work.mayBeCommitted) return await this.#discard(work.lease);
      await this.#delete(work.lease.id);
      return this.#leases.reuse(work.lease);
    }
    for (const lease of (await this.#store.read()).leases) {
      if (!isInstallOf(lease, place) || lease.activeUntil >= this.#time.earliest()) continue; // it is in use
      await this.#discard(lease);
    }
  }

  /** Deletes the objects of a lease. The lease is dropped first: then nothing can commit them, not even a late put. */
  async #discard(lease: Pick<Lease, "id" | "since">): Promise<void> {
    const { id } = lease;
    const index = await this.#leases.drop(lease);
    if (index.leases.some((lease) => lease.id === id)) return; // another process has resumed it
    if (allKept(index).some((kept) => kept.id.startsWith(`${id}/`))) return; // the commit was done after all
    await this.#delete(id, `installs/${id}`);
  }

  /** Deletes the objects that were written under a lease, as they are listed. Those that are not are collected. */
  async #delete(id: string, ...keys: string[]): Promise<void> {
    for (const kind of ["manifests", "packs"]) {
      for await (const { key } of this.#bucket.list(`${kind}/${id}/`)) keys.push(key);
    }
    if (keys.length > 0) await this.#bucket.delete(keys);
  }

  /** Notes that the work in a place was committed. */
  committed(place: string, { id }: KeptSnapshot, located: LocatedManifest): void {
    const { lease } = this.#work.get(place)!;
    this.#work.delete(place);
    lease.release();
    this.#remember(id, Promise.resolve(located));
    if (place === this.temp) return;
    const what = "What is left of an install could not be deleted, and is collected later";
    this.#background.run("release", what, this.#bucket.delete([`installs/${lease.id}`]));
  }

  /**
   * Returns the manifest of a snapshot.
   *
   * @param fresh whether it is read now, also if it is known
   * @throws {SnapshotError} `NOT_FOUND` if it was collected meanwhile; `CORRUPT` if it is proven bad; `UNAVAILABLE` if
   *   it is not there, or its reads differ from each other
   */
  async manifest(kept: KeptSnapshot, fresh = false): Promise<LocatedManifest> {
    const known = fresh ? undefined : this.#manifests.get(kept.id);
    if (known !== undefined) return await known;
    const reading = this.#read(kept);
    this.#remember(kept.id, reading);
    return await reading;
  }

  async #read(kept: KeptSnapshot): Promise<LocatedManifest> {
    const key = `manifests/${kept.id}`;
    const found = await this.#bucket.readAs(key, MAX_STORED_MANIFEST_BYTES, async ({ bytes }) => {
      await checkDigest(bytes, kept, key);
      return await LocatedManifest.decode(bytes, key);
    });
    if (found === undefined) throw await this.#gone(kept.id, key);
    return found;
  }

  /**
   * Writes all objects of a snapshot, and reads its manifest back. It is not visible before it is in the index.
   *
   * @returns the entry for the index, and the manifest with the places of the chunks
   */
  async seal(place: string, manifest: SnapshotManifest): Promise<[KeptSnapshot, LocatedManifest]> {
    const { lease, upload } = this.#work.get(place)!;
    await upload.flush();
    const located = upload.locate(manifest);
    const bytes = located.encode();
    // A random name: two processes that resume the same install never write the same object.
    const kept = await keptOf(`${lease.id}/${randomName(4)}`, manifest, await sha256(bytes));
    const key = `manifests/${kept.id}`;
    await this.#bucket.put(key, bytes);
    const written = await this.#bucket.readAs(key, bytes.length, async ({ bytes }) => {
      await checkDigest(bytes, kept, key);
      return true;
    });
    if (written !== undefined) return [kept, located];
    throw new SnapshotError("UNAVAILABLE", `${key} was written, and is not there`, { file: key, index: kept.index });
  }

  /** Makes a sealed snapshot readable in this process, and only while `work` runs. */
  async show(kept: KeptSnapshot, located: LocatedManifest, work: () => Promise<void>): Promise<void> {
    this.#remember(kept.id, Promise.resolve(located));
    this.pin(kept.id);
    try {
      await work();
    } catch (error) {
      this.#manifests.delete(kept.id);
      throw error;
    } finally {
      this.unpin(kept.id);
    }
  }

  /** Keeps a manifest in memory, and drops one whose snapshot has no reader. */
  #remember(id: string, manifest: Promise<LocatedManifest>): void {
    this.#manifests.set(id, manifest);
    manifest.catch(() => this.#manifests.delete(id));
    for (const other of this.#manifests.keys()) {
      if (this.#manifests.size <= MAX_CACHED) break;
      if (other === id || this.#pins.has(other)) continue;
      this.#manifests.delete(other);
      this.#contents.delete(other);
    }
  }

  /** Reports whether a snapshot has readers here. */
  isPinned(id: string): boolean {
    return this.#pins.has(id);
  }

  /** Keeps a snapshot ready to be read; its place is its id. */
  pin(id: string): void {
    this.#pins.set(id, (this.#pins.get(id) ?? 0) + 1);
  }

  /** Ends one {@linkcode pin}. */
  unpin(id: string): void {
    const pins = this.#pins.get(id)! - 1;
    if (pins > 0) this.#pins.set(id, pins);
    else {
      this.#pins.delete(id);
      this.#contents.delete(id); // and the chunks that it fetched ahead
    }
  }

  async #content(place: string): Promise<PackedContent> {
    const known = this.#contents.get(place);
    if (known !== undefined) return known;
    const located = await this.#manifests.get(place);
    if (located === undefined) {
      throw new SnapshotError("NOT_FOUND", `There is no snapshot ${place} open`, { file: place });
    }
    const missing = ({ name }: { readonly name: string }) => this.#gone(place, `packs/${name}`);
    const content = new PackedContent(this.#bucket, located, this.#packSize, missing);
    this.#contents.set(place, content);
    return content;
  }

  /** Returns the error for a missing object of a snapshot. */
  async #gone(id: string, key: string): Promise<SnapshotError> {
    const kept = allKept(await this.#store.read()).find((kept) => kept.id === id);
    return kept === undefined
      ? new SnapshotError("NOT_FOUND", `The snapshot was retired and collected while it was read: open the newest`, {
        file: key,
      })
      : new SnapshotError(
        "UNAVAILABLE",
        `${key}, with what is in snapshot ${kept.index}, is not there, or not for us`,
        {
          file: key,
          index: kept.index,
        },
      );
  }
}
