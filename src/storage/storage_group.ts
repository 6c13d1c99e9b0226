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
 * Returns the meta of a new snapshot, given the snapshots that are here.
 *
 * @throws {SnapshotError} `FORBIDDEN` if it is of another group
 */
export type Grouping = (here: Here, meta: SnapshotMeta) => SnapshotMeta;

/** The group of a storage, and the checks that it implies. */
export class StorageGroup {
  #name: string | undefined;

  /** Its name, if the storage was given one. */
  get name(): string | undefined {
    return this.#name;
  }

  /**
   * Sets the name.
   *
   * @returns whether that is new
   * @throws {SnapshotError} `FORBIDDEN` if it has another, `MALFORMED`
   */
  bind(name: string): boolean {
    const isNew = this.#name === undefined;
    this.#name = boundGroup(this.#name, name, "The storage");
    return isNew;
  }

  /** Reports whether a snapshot in the storage is of its group. */
  isOwn({ meta }: { readonly meta: SnapshotMeta }): boolean {
    return isOfGroup(meta, this.#name);
  }

  /** Returns the error for a snapshot of another group. */
  foreign({ meta }: { readonly meta: SnapshotMeta }): SnapshotError {
    return otherGroup(meta, this.#name, "is left where it is, and not used");
  }

  /** Checks the meta of a snapshot that comes from elsewhere. */
  readonly offered: Grouping = (here, meta) => {
    checkOffered(this.#name, here, meta);
    return meta;
  };

  /** Completes the meta of a snapshot that is saved. */
  readonly saved: Grouping = (here, meta) => {
    const group = groupOfSave(this.#name, here, meta);
    return group === undefined ? meta : { ...meta, group };
  };
}
