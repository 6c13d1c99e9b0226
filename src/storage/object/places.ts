/**
 * The places of a bucket, in which snapshots are written and received.
 *
 * @module
 */

import type { SnapshotManifest } from "../../snapshot/mod.ts";
import type { Places, ReceivedSnapshot } from "../medium.ts";
import { installPlace } from "./leases.ts";
import { manifestOfInstall, ObjectPlace, type PlaceParts } from "./place.ts";

/** The places of one storage. */
export class ObjectPlaces implements Places {
  readonly temp: ObjectPlace;
  readonly #parts: PlaceParts;
  /** The place of the install that was begun last. */
  #install: ObjectPlace | undefined;

  /** @param parts the bucket */
  constructor(parts: PlaceParts) {
    this.#parts = parts;
    this.temp = new ObjectPlace("temp", parts, false);
  }

  installPlace({ index, digest }: SnapshotManifest): ObjectPlace {
    return this.#install = this.#at(installPlace(index, digest));
  }

  #at(name: string): ObjectPlace {
    return this.#install?.name === name ? this.#install : new ObjectPlace(name, this.#parts, true);
  }

  async installs(): Promise<ReceivedSnapshot[]> {
    const { store, bucket } = this.#parts;
    const found: ReceivedSnapshot[] = [];
    for (const { id, kind } of (await store.read()).leases) {
      if (kind !== "install") continue;
      const manifest = await manifestOfInstall(bucket, id);
      if (manifest !== undefined) {
        found.push({ place: this.#at(installPlace(manifest.index, manifest.digest)), manifest });
      }
    }
    return found;
  }
}
