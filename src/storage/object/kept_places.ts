/**
 * The snapshots of a bucket, as they are read.
 *
 * @module
 */

import type { RetryingBucket } from "../../bucket/mod.ts";
import { SnapshotError } from "../../errors.ts";
import type { ByteRange } from "../../snapshot/mod.ts";
import type { MediumFile, ReadablePlace } from "../medium.ts";
import { allKept, checkDigest, type KeptSnapshot } from "./index.ts";
import type { IndexStore } from "./index_store.ts";
import { LocatedManifest, MAX_STORED_MANIFEST_BYTES } from "./located_manifest.ts";
import { PackedContent } from "./packed_content.ts";
import { PackedFile } from "./packed_file.ts";

/** The snapshots whose manifests are kept in memory, besides those that are read. */
const MAX_CACHED = 3;

/** The content of a snapshot, for a {@linkcode KeptPlace}. */
interface Contents {
  readonly bucket: RetryingBucket;
  readonly packSize: number;
  /** Returns the error for a missing object of a snapshot. */
  gone(id: string, key: string): Promise<SnapshotError>;
}

/** A snapshot that lies in packs. Its name is its id. */
export class KeptPlace implements ReadablePlace {
  readonly name: string;
  readonly #contents: Contents;
  /** Its manifest, once it was read. */
  located: Promise<LocatedManifest> | undefined;
  /** The number of its readers here. */
  pins = 0;
  #content: PackedContent | undefined;

  /**
   * @param id of the snapshot
   * @param contents where its packs are
   */
  constructor(id: string, contents: Contents) {
    this.name = id;
    this.#contents = contents;
  }

  async open(name: string, _: "read", range?: ByteRange): Promise<MediumFile> {
    const located = await this.located;
    if (located === undefined) {
      throw new SnapshotError("NOT_FOUND", `There is no snapshot ${this.name} open`, { file: this.name });
    }
    const { bucket, packSize } = this.#contents;
    this.#content ??= new PackedContent(bucket, located, packSize, ({ name }) => {
      return this.#contents.gone(this.name, `packs/${name}`);
    });
    return new PackedFile(this.#content, name, range);
  }

  /** Drops the chunks that it fetched ahead. */
  drop(): void {
    this.#content?.close();
    this.#content = undefined;
  }
}

/** The snapshots that this process reads, and their manifests. */
export class KeptPlaces {
  readonly #bucket: RetryingBucket;
  readonly #store: IndexStore;
  readonly #contents: Contents;
  /** By id, in the order in which their manifests were read. */
  readonly #places = new Map<string, KeptPlace>();
  /**
   * The files that this process could not read, by the ids of their snapshots, which are suspect to this process only.
   * Until these were read again, they do not count for retention when it commits, and their chunks are not reused.
   */
  readonly unread: Map<string, Set<string>> = new Map();

  /**
   * @param bucket the bucket
   * @param store its index
   * @param packSize bytes of a pack
   */
  constructor(bucket: RetryingBucket, store: IndexStore, packSize: number) {
    this.#bucket = bucket;
    this.#store = store;
    this.#contents = { bucket, packSize, gone: (id, key) => this.#gone(id, key) };
  }

  /** The place of a snapshot. */
  at(id: string): KeptPlace {
    const place = this.#places.get(id) ?? new KeptPlace(id, this.#contents);
    this.#places.set(id, place);
    return place;
  }

  /**
   * Returns the manifest of a snapshot.
   *
   * @param fresh whether it is read now, also if it is known
   * @throws {SnapshotError} `NOT_FOUND` if it was collected meanwhile; `CORRUPT` if it is proven bad; `UNAVAILABLE` if
   *   it is not there, or its reads differ from each other
   */
  async manifest(kept: KeptSnapshot, fresh = false): Promise<LocatedManifest> {
    const known = fresh ? undefined : this.#places.get(kept.id)?.located;
    return await (known ?? this.remember(kept.id, this.#read(kept)).located!);
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

  /** Makes a sealed snapshot readable in this process, and only while `work` runs. */
  async show(id: string, located: LocatedManifest, work: (place: KeptPlace) => Promise<void>): Promise<void> {
    const place = this.remember(id, Promise.resolve(located));
    this.pin(id);
    try {
      await work(place);
    } catch (error) {
      place.located = undefined;
      throw error;
    } finally {
      this.unpin(id);
    }
  }

  /** Keeps a manifest in memory, and drops those of snapshots that have no reader. */
  remember(id: string, located: Promise<LocatedManifest>): KeptPlace {
    const place = this.at(id);
    place.located = located;
    located.catch(() => {
      if (place.located === located) place.located = undefined;
    });
    for (const [other, { pins }] of this.#places) {
      if (this.#places.size <= MAX_CACHED) break;
      if (other !== id && pins === 0) this.#places.delete(other);
    }
    return place;
  }

  /** Reports whether a snapshot has readers here. */
  isPinned(id: string): boolean {
    return (this.#places.get(id)?.pins ?? 0) > 0;
  }

  /** Keeps a snapshot ready to be read. */
  pin(id: string): KeptPlace {
    const place = this.at(id);
    place.pins++;
    return place;
  }

  /** Ends one {@linkcode pin}. */
  unpin(id: string): void {
    const place = this.at(id);
    if (--place.pins === 0) place.drop();
  }

  async #gone(id: string, key: string): Promise<SnapshotError> {
    const kept = allKept(await this.#store.read()).find((kept) => kept.id === id);
    if (kept === undefined) {
      const message = "The snapshot was retired and collected while it was read: open the newest";
      return new SnapshotError("NOT_FOUND", message, { file: key });
    }
    const message = `${key}, with what is in snapshot ${kept.index}, is not there, or not for us`;
    return new SnapshotError("UNAVAILABLE", message, { file: key, index: kept.index });
  }
}
