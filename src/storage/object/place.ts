/**
 * A place in a bucket, in which a snapshot is written or received.
 *
 * @module
 */

import type { RetryingBucket } from "../../bucket/mod.ts";
import { hasCode, SnapshotError } from "../../errors.ts";
import { MAX_MANIFEST_BYTES, SnapshotManifest } from "../../snapshot/mod.ts";
import { sha256 } from "../../stream/mod.ts";
import type { MediumFile, Place, PlacedSnapshot } from "../medium.ts";
import type { BackgroundTasks } from "./background.ts";
import type { IndexStore } from "./index_store.ts";
import { allKept, checkDigest, keptOf, type KeptSnapshot, type Lease, type ObjectIndex, randomName } from "./index.ts";
import type { KeptPlace, KeptPlaces } from "./kept_places.ts";
import { type HeldLease, isInstallOf, type Leases } from "./leases.ts";
import type { LocatedManifest } from "./located_manifest.ts";
import type { SharedTime } from "./shared_time.ts";
import { Upload } from "./upload.ts";
import { UploadFile } from "./upload_file.ts";

/** The number of newest snapshots whose chunks are reused. */
const PARENTS = 2;

/** What is said of a lease that could not be dropped. */
export const UNRELEASED = "A lease could not be dropped, and runs out later";

/** The bucket, for its places. */
export interface PlaceParts {
  readonly bucket: RetryingBucket;
  readonly store: IndexStore;
  /** The snapshots whose chunks may be reused. */
  readonly kept: KeptPlaces;
  readonly leases: Leases;
  /** Bytes of a pack. */
  readonly packSize: number;
  /** How long an interrupted install is kept, in milliseconds. */
  readonly keepInstalls: number;
  /** Says which leases are over. */
  readonly time: SharedTime;
  /** Runs what nobody waits for. */
  readonly background: BackgroundTasks;
}

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
}

/** A place; what is in it is there as long as its lease is. */
export class ObjectPlace implements Place {
  readonly name: string;
  readonly #parts: PlaceParts;
  readonly #isInstall: boolean;
  #work: Work | undefined;
  /** True if a commit was tried, and it is not known that it can never be done any more. */
  mayBeCommitted = false;

  /**
   * @param name of the place
   * @param parts the bucket
   * @param isInstall whether it is for a snapshot that is received
   */
  constructor(name: string, parts: PlaceParts, isInstall: boolean) {
    this.name = name;
    this.#parts = parts;
    this.#isInstall = isInstall;
  }

  /** The snapshots whose chunks may be reused, newest first. */
  get parents(): readonly PlacedSnapshot[] {
    return this.#here.parents;
  }

  /** The lease of what is in it. */
  get lease(): HeldLease {
    return this.#here.lease;
  }

  get #here(): Work {
    if (this.#work !== undefined) return this.#work;
    throw this.#empty();
  }

  #empty(): SnapshotError {
    const message = `Nothing is being written or received as ${this.name}`;
    return new SnapshotError("NOT_FOUND", message, { file: this.name });
  }

  async clear(): Promise<void> {
    await this.remove();
    if (!this.#isInstall) await this.#begin(await this.#parts.leases.take("write"), undefined);
  }

  async describe(manifest: SnapshotManifest): Promise<void> {
    const { bucket, leases, keepInstalls } = this.#parts;
    const taken = await leases.takeInstall(manifest.digest, manifest.index, keepInstalls);
    await this.#begin(taken, manifest, () => bucket.put(`installs/${taken[0].id}`, manifest.bytes));
  }

  async #begin(
    [lease, index]: readonly [HeldLease, ObjectIndex],
    manifest: SnapshotManifest | undefined,
    first: () => Promise<void> = () => Promise.resolve(),
  ): Promise<Work> {
    const { bucket, packSize, kept: places, leases, background } = this.#parts;
    try {
      await first();
      const upload = new Upload(bucket, lease.id, packSize);
      const parents: PlacedSnapshot[] = [];
      // Once a snapshot was found bad, no chunks are reused of those that were there with it: they may share the
      // damage. Nor of one that cannot be read now, or that is not there in full.
      const usable = ({ id, suspect }: KeptSnapshot) => suspect !== true && !places.unread.has(id);
      for (const kept of index.snapshots.filter(usable).slice(0, PARENTS)) {
        try {
          const located = await places.manifest(kept);
          if (!await this.#isWhole(located)) continue;
          upload.reuse(located);
          parents.push({ place: places.at(kept.id), manifest: located.manifest });
        } catch (error) {
          if (!(error instanceof SnapshotError)) throw error; // its chunks are not reused
        }
      }
      this.mayBeCommitted = false;
      return this.#work = { lease, upload, manifest, sizes: new Map(), parents };
    } catch (error) {
      lease.release();
      await leases.drop(lease).catch((error) => background.failed("release", UNRELEASED, error));
      throw error;
    }
  }

  /** Reports whether all packs of a snapshot are listed, and large enough. */
  async #isWhole({ packs }: LocatedManifest): Promise<boolean> {
    const listed = new Map<string, number>();
    for (const lease of new Set(packs.map(({ name }) => name.split("/")[0]!))) {
      for await (const { key, size } of this.#parts.bucket.list(`packs/${lease}/`)) {
        listed.set(key.slice("packs/".length), size);
      }
    }
    return packs.every(({ name, size }) => (listed.get(name) ?? -1) >= size);
  }

  async kept(): Promise<(digest: Uint8Array) => boolean> {
    const { upload } = this.#work ?? await this.#resume();
    return (digest) => upload.has(digest);
  }

  /** Resumes an interrupted install. */
  async #resume(): Promise<Work> {
    const { store, leases, keepInstalls } = this.#parts;
    for (const lease of (await store.read()).leases) {
      if (!isInstallOf(lease, this.name)) continue;
      const manifest = await manifestOfInstall(this.#parts.bucket, lease.id);
      if (manifest === undefined) continue;
      const work = await this.#begin(await leases.takeOver(lease.id, keepInstalls), manifest);
      await work.upload.adopt();
      return work;
    }
    throw this.#empty();
  }

  /** Stops receiving for now: the chunks that came stay, so that the install can be resumed. */
  async leave(): Promise<void> {
    const work = this.#end();
    if (work === undefined) return;
    try {
      await work.upload.flush();
    } finally {
      await work.upload.stop();
      await this.#parts.leases.leave(work.lease);
    }
  }

  /** Nothing is written or received here any more. Returns what was. */
  #end(): Work | undefined {
    const work = this.#work;
    this.#work = undefined;
    work?.lease.release();
    return work;
  }

  async open(name: string, mode: "read" | "create" | "update"): Promise<MediumFile> {
    const { upload, sizes, manifest } = this.#here;
    if (mode === "create" && manifest === undefined) sizes.set(name, 0);
    return new UploadFile(upload, sizes, name, manifest?.file(name));
  }

  async link(from: KeptPlace, name: string, as: string): Promise<boolean> {
    const { upload, sizes } = this.#here;
    const chunks = (await from.located)?.manifest.file(name).chunks;
    if (chunks === undefined) return false;
    for (let i = 0; i < chunks.count; i++) if (!upload.has(chunks.digest(i))) return false;
    sizes.set(as, chunks.size);
    return true;
  }

  async unlink(name: string): Promise<void> {
    this.#work?.sizes.delete(name);
  }

  /** Aborts what is being written or received in it, and deletes all of it. */
  async remove(): Promise<void> {
    const { store, time, leases } = this.#parts;
    const work = this.#end();
    if (work !== undefined) {
      await work.upload.stop();
      if (this.#isInstall || this.mayBeCommitted) return await this.#discard(work.lease);
      await this.#delete(work.lease.id);
      return leases.reuse(work.lease);
    }
    for (const lease of (await store.read()).leases) {
      if (!isInstallOf(lease, this.name) || lease.activeUntil >= time.earliest()) continue; // it is in use
      await this.#discard(lease);
    }
  }

  /** Deletes the objects of a lease. The lease is dropped first: then nothing can commit them, not even a late put. */
  async #discard(lease: Pick<Lease, "id" | "since">): Promise<void> {
    const { id } = lease;
    const index = await this.#parts.leases.drop(lease);
    if (index.leases.some((lease) => lease.id === id)) return; // another process has resumed it
    if (allKept(index).some((kept) => kept.id.startsWith(`${id}/`))) return; // the commit was done after all
    await this.#delete(id, `installs/${id}`);
  }

  /** Deletes the objects that were written under a lease, as they are listed. Those that are not are collected. */
  async #delete(id: string, ...keys: string[]): Promise<void> {
    const { bucket } = this.#parts;
    for (const kind of ["manifests", "packs"]) {
      for await (const { key } of bucket.list(`${kind}/${id}/`)) keys.push(key);
    }
    if (keys.length > 0) await bucket.delete(keys);
  }

  /**
   * Writes all objects of its snapshot, and reads its manifest back. It is not visible before it is in the index.
   *
   * @returns the entry for the index, and the manifest with the places of the chunks
   */
  async seal(manifest: SnapshotManifest): Promise<[KeptSnapshot, LocatedManifest]> {
    const { lease, upload } = this.#here;
    const { bucket } = this.#parts;
    await upload.flush();
    const located = upload.locate(manifest);
    const bytes = located.encode();
    // A random name: two processes that resume the same install never write the same object.
    const kept = await keptOf(`${lease.id}/${randomName(4)}`, manifest, await sha256(bytes));
    const key = `manifests/${kept.id}`;
    await bucket.put(key, bytes);
    const written = await bucket.readAs(key, bytes.length, async ({ bytes }) => {
      await checkDigest(bytes, kept, key);
      return true;
    });
    if (written !== undefined) return [kept, located];
    throw new SnapshotError("UNAVAILABLE", `${key} was written, and is not there`, { file: key, index: kept.index });
  }

  /** Notes that its snapshot was committed. Returns the place where that is read. */
  committed({ id }: KeptSnapshot, located: LocatedManifest): KeptPlace {
    const { bucket, kept, background } = this.#parts;
    const { lease } = this.#end()!;
    const place = kept.remember(id, Promise.resolve(located));
    if (this.#isInstall) {
      const what = "What is left of an install could not be deleted, and is collected later";
      background.run("release", what, bucket.delete([`installs/${lease.id}`]));
    }
    return place;
  }
}

/** Returns the manifest of an install; nothing if it was interrupted before it was stored, or cannot be decoded. */
export async function manifestOfInstall(bucket: RetryingBucket, id: string): Promise<SnapshotManifest | undefined> {
  const found = await bucket.read(`installs/${id}`, { limit: MAX_MANIFEST_BYTES });
  try {
    return found && await SnapshotManifest.decode(found.bytes);
  } catch (error) {
    if (hasCode(error, "CORRUPT", "MALFORMED", "UNSUPPORTED")) return undefined;
    throw error;
  }
}
