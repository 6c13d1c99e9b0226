/**
 * The snapshots that a replica counts on.
 *
 * @module
 */

import type { SnapshotInfo } from "../snapshot/mod.ts";
import { toHex } from "../stream/mod.ts";

/**
 * A snapshot in the storage that could not be used, and is left where it is: the failure may be transient.
 *
 * @category Replica
 * @see {@linkcode Replica}
 */
export interface UnusableSnapshot {
  /** The snapshot. */
  readonly snapshot: SnapshotInfo;
  /** The reason: the error of the storage, or of the machine's `load` or `check`. */
  readonly error: unknown;
}

/** The snapshots that a replica begins with. */
export interface Beginning {
  /** The snapshot that the machine was loaded from, if any. */
  readonly loaded: SnapshotInfo | undefined;
  /** If it was loaded from none: the newest of which the machine itself has everything; nobody has tried it. */
  readonly had: SnapshotInfo | undefined;
  /** The snapshots that it could not be loaded from. */
  readonly unusable: readonly UnusableSnapshot[];
}

/**
 * The snapshots that can be fallen back to. One counts once this replica's machine has saved or loaded it, or it was
 * tried, until it is found bad, or is gone from the storage. Only snapshots that count let entries of the log go.
 */
export class CountedSnapshots {
  /** The snapshots that count, newest first. */
  #counted: readonly SnapshotInfo[] = [];
  /** The newest of which the machine itself has everything: saves are due as after it, but it lets no entry go. */
  #had: SnapshotInfo | undefined;
  readonly #unusable = new Map<string, UnusableSnapshot>();
  /** The digests of those found bad, by index: while nothing newer counts, a good copy from elsewhere is wanted. */
  readonly #lost = new Map<bigint, string>();

  /** @param beginning the first of them, if there are any */
  constructor({ loaded, had, unusable = [] }: Partial<Beginning> = {}) {
    this.#had = had;
    if (loaded !== undefined) this.add(loaded);
    for (const one of unusable) this.addUnusable(one);
  }

  /** The newest that counts, or a newer one of which the machine itself has everything. */
  get newest(): SnapshotInfo | undefined {
    const [counted] = this.#counted;
    const { lastIncludedIndex = 0n } = counted?.meta ?? {};
    return this.#had !== undefined && this.#had.meta.lastIncludedIndex > lastIncludedIndex ? this.#had : counted;
  }

  /** Its index; 0 if none counts. */
  get index(): bigint {
    return this.newest?.meta.lastIncludedIndex ?? 0n;
  }

  /** The number of snapshots that count. */
  get count(): number {
    return this.#counted.length;
  }

  /** The snapshots that could not be used, newest first. */
  get unusable(): readonly UnusableSnapshot[] {
    return [...this.#unusable.values()].sort((a, b) => newestFirst(a.snapshot, b.snapshot));
  }

  /** Reports whether a snapshot counts. */
  has({ digest }: SnapshotInfo): boolean {
    return this.#counted.some((counted) => toHex(counted.digest) === toHex(digest));
  }

  /** Counts a snapshot from now on. */
  add(snapshot: SnapshotInfo): void {
    if (snapshot.meta.lastIncludedIndex >= (this.#had?.meta.lastIncludedIndex ?? 0n)) this.#had = undefined;
    if (!this.has(snapshot)) this.#counted = [snapshot, ...this.#counted].sort(newestFirst);
    this.#unusable.delete(toHex(snapshot.digest));
    for (const index of this.#lost.keys()) if (index <= snapshot.meta.lastIncludedIndex) this.#lost.delete(index);
  }

  /** Notes that a snapshot could not be used. If it counts it still does: it was read once, and may be read again. */
  addUnusable(unusable: UnusableSnapshot): void {
    const digest = toHex(unusable.snapshot.digest);
    this.#unusable.set(digest, unusable);
    if (this.#had !== undefined && toHex(this.#had.digest) === digest) this.#had = undefined;
  }

  /** Notes that a snapshot was found bad. Returns it if it did count. */
  lose(index: bigint): SnapshotInfo | undefined {
    const isLost = ({ meta }: SnapshotInfo) => meta.lastIncludedIndex === index;
    const lost = this.#counted.find(isLost) ?? (this.#had !== undefined && isLost(this.#had) ? this.#had : undefined);
    if (lost === this.#had) this.#had = undefined;
    this.#counted = this.#counted.filter((counted) => counted !== lost);
    for (const [digest, { snapshot }] of this.#unusable) {
      if (snapshot.meta.lastIncludedIndex === index) this.#unusable.delete(digest);
    }
    if (lost !== undefined && index > this.index) this.#lost.set(index, toHex(lost.digest));
    return lost;
  }

  /** Reports whether a copy is wanted of a snapshot that was found bad. */
  isLost(index: bigint): boolean {
    return this.#lost.has(index);
  }

  /** Reports whether it is a copy of the very snapshot that was found bad. */
  isCopyOfLost(index: bigint, digest: Uint8Array): boolean {
    return this.#lost.get(index) === toHex(digest);
  }

  /** Forgets the snapshots that are not listed any more. */
  keep(listed: readonly SnapshotInfo[]): void {
    const there = new Set(listed.map(({ digest }) => toHex(digest)));
    this.#counted = this.#counted.filter(({ digest }) => there.has(toHex(digest)));
    if (this.#had !== undefined && !there.has(toHex(this.#had.digest))) this.#had = undefined;
    for (const digest of this.#unusable.keys()) if (!there.has(digest)) this.#unusable.delete(digest);
  }
}

function newestFirst(a: SnapshotInfo, b: SnapshotInfo): number {
  return Number(b.meta.lastIncludedIndex - a.meta.lastIncludedIndex);
}
