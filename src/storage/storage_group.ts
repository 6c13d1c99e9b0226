/**
 * The group of a storage: see the table in `snapshot/group.ts`.
 *
 * @module
 */

import type { SnapshotError } from "../errors.ts";
import { boundGroup, checkOffered, groupOfSave, isOfGroup, otherGroup, type SnapshotMeta } from "../snapshot/mod.ts";

/** Snapshots that are here, newest first. */
type Here = readonly { readonly meta: SnapshotMeta }[];

/**
 * Says what the meta of a new snapshot is, beside those that are here.
 *
 * @throws {SnapshotError} `FORBIDDEN` if it is of another group
 */
export type Grouping = (here: Here, meta: SnapshotMeta) => SnapshotMeta;

/** What a storage goes by. */
export class StorageGroup {
  #name: string | undefined;

  /** Its name, if the storage was told. */
  get name(): string | undefined {
    return this.#name;
  }

  /**
   * Tells the name.
   *
   * @returns whether that is new
   * @throws {SnapshotError} `FORBIDDEN` if it has another, `MALFORMED`
   */
  bind(name: string): boolean {
    const isNew = this.#name === undefined;
    this.#name = boundGroup(this.#name, name, "The storage");
    return isNew;
  }

  /** Whether a snapshot that lies in the storage is its own. */
  isOwn({ meta }: { readonly meta: SnapshotMeta }): boolean {
    return isOfGroup(meta, this.#name);
  }

  /** The error for one that is not. */
  foreign({ meta }: { readonly meta: SnapshotMeta }): SnapshotError {
    return otherGroup(meta, this.#name, "is left where it is, and not used");
  }

  /** For a snapshot that comes from elsewhere. */
  readonly offered: Grouping = (here, meta) => {
    checkOffered(this.#name, here, meta);
    return meta;
  };

  /** For a snapshot that is saved. */
  readonly saved: Grouping = (here, meta) => {
    const group = groupOfSave(this.#name, here, meta);
    return group === undefined ? meta : { ...meta, group };
  };
}
