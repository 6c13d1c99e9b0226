/**
 * The snapshots of a bucket that are the storage's own: of its group, and trusted.
 *
 * @module
 */

import type { SnapshotError } from "../../errors.ts";
import type { StorageGroup } from "../storage_group.ts";
import type { StorageTrust } from "../trust.ts";
import { checkHead, groupedOf, type KeptSnapshot, type ObjectIndex } from "./index.ts";
import type { IndexStore } from "./index_store.ts";
import type { KeptPlaces } from "./kept_places.ts";

/** The snapshots of one storage among all that the index has. */
export class OwnSnapshots {
  readonly group: StorageGroup;
  readonly trust: StorageTrust;
  readonly #places: KeptPlaces;
  readonly #warn: (error: SnapshotError) => void;
  /** The ids of snapshots of other groups that a warning was given for. */
  readonly #told = new Set<string>();

  /**
   * @param group the storage's group
   * @param trust whose snapshots it uses
   * @param places reads manifests
   * @param warn is told once of each snapshot of another group
   */
  constructor(group: StorageGroup, trust: StorageTrust, places: KeptPlaces, warn: (error: SnapshotError) => void) {
    this.group = group;
    this.trust = trust;
    this.#places = places;
    this.#warn = warn;
  }

  /** The snapshots of its group but those that were looked at and are not trusted. */
  all({ snapshots }: ObjectIndex): KeptSnapshot[] {
    return snapshots.filter((kept) => {
      if (this.trust.refuses(kept.id)) return false;
      const grouped = groupedOf(kept);
      if (this.group.isOwn(grouped)) return true;
      if (!this.#told.has(kept.id)) this.#warn(this.group.foreign(grouped));
      this.#told.add(kept.id);
      return false;
    });
  }

  /** The snapshots of its group that are trusted: looks at each. */
  async trusted(index: ObjectIndex): Promise<KeptSnapshot[]> {
    const own = (kept: KeptSnapshot) => this.group.isOwn(groupedOf(kept));
    const manifest = async (kept: KeptSnapshot) => {
      const { manifest } = await this.#places.manifest(kept);
      await checkHead(kept, manifest); // the index says of which snapshot it is
      return manifest;
    };
    await this.trust.look(
      index.snapshots.filter(own).map((kept) => ({ key: kept.id, isOwn: true, manifest: () => manifest(kept) })),
      true,
    );
    return this.all(index).filter(({ id }) => this.trust.has(id));
  }

  /** Raises the floor to what is kept, after a commit, if it is one that rises. */
  async raiseFloor(store: IndexStore): Promise<void> {
    if (!this.trust.rises) return;
    const index = await store.read().catch(() => undefined); // of no matter: the next look raises it, too
    if (index === undefined) return;
    const own = this.all(index);
    await this.trust.kept(own.map(({ index }) => index), own.every(({ id }) => this.trust.has(id)));
  }
}
