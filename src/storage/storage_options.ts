/**
 * Options of every storage.
 *
 * @module
 */

import { checkFunction, type Checks } from "../checks.ts";
import type { SnapshotError } from "../errors.ts";
import { checkGroup, checkSigner, checkVerifier, type SnapshotSigner, type SnapshotVerifier } from "../snapshot/mod.ts";
import { checkRetain, type RetentionFunction, type RetentionLimits } from "./retention.ts";
import { checkFloor, type SnapshotFloor } from "./trust.ts";

/**
 * Options of every storage.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface StorageOptions {
  /**
   * The snapshots that are kept when a new one is committed: their number, 1 or more; or limits of number and age
   * (`{ count: 2, age: 24 * 3600_000 }`); or a function that chooses from the list. The newest is kept in any case, and
   * snapshots that are pinned are kept in addition.
   *
   * @default {2}
   */
  readonly retain?: number | RetentionLimits | RetentionFunction;
  /**
   * The group whose snapshots these are: it is in the meta of each that is saved, and others are refused
   * (`FORBIDDEN`). If absent, the group of the newest snapshot that has one. Snapshots without a group are older than
   * the name, and belong to the storage.
   */
  readonly group?: string;
  /** Signs every snapshot that is committed here and has no signature; none if absent. */
  readonly signer?: SnapshotSigner;
  /**
   * Says whose snapshots are trusted, where others may write too (a bucket, a shared disk): others are neither taken
   * in, from anywhere, nor used, counted, retired or overwritten if they lie here. With it, what is saved here needs a
   * `signer` that it trusts. By default all are trusted.
   */
  readonly verifier?: SnapshotVerifier;
  /**
   * The lowest index of a snapshot that is taken in or used, for one who knows how far the group has come, and has no
   * snapshot yet: somebody could give an old one, which is signed as well. One that is below is treated as one that is
   * not trusted.
   *
   * A {@linkcode SnapshotFloor} remembers it: it rises to the oldest snapshot that is kept, so that nobody can put back
   * what was retired, after a restart neither. `fileFloor` of `./fs` is one, in a file; that has to lie where those who
   * write to the storage cannot.
   *
   * @default {0n}
   */
  readonly floor?: bigint | SnapshotFloor;
  /**
   * Called with each error that no caller gets, with its code and the snapshot's index: an old snapshot could not be
   * removed; one was proven bad and is quarantined; one cannot be read now, is of another group, or is not trusted, and
   * stays in place.
   */
  readonly onWarning?: (error: SnapshotError) => void;
}

/** The checks of the options of every storage. */
export function storageChecks(): Checks<StorageOptions> {
  return {
    retain: checkRetain,
    group: checkGroup,
    signer: checkSigner,
    verifier: checkVerifier,
    floor: checkFloor,
    onWarning: checkFunction,
  };
}
