/**
 * The snapshots of a backup: copied from the replica, and collected with the segments that they make unneeded.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import type { ServedLog } from "../log/mod.ts";
import type { SnapshotInfo, SnapshotStorage } from "../snapshot/mod.ts";
import type { ObjectStorage } from "../storage/object/mod.ts";
import { equal, toHex } from "../stream/mod.ts";
import { copySnapshot } from "./copy.ts";
import type { BackupBucket } from "./layout.ts";
import { otherHistory } from "./uploaded.ts";

/** The parts that snapshots are copied between. */
export interface BackupSnapshotsParts {
  /** The storage of the replica. */
  readonly from: SnapshotStorage;
  /** The storage in the bucket. */
  readonly to: ObjectStorage;
  /** The other objects in the bucket. */
  readonly objects: BackupBucket;
  /** The log of the replica. */
  readonly log: ServedLog;
}

/** How long snapshots are kept. */
export interface SnapshotRetention {
  /** So many. */
  readonly retain: number;
  /** And those that are needed to restore any point of so many milliseconds. */
  readonly keep: number;
}

/** The snapshots that are kept, of a list with the newest first. */
export function keptFor(snapshots: readonly SnapshotInfo[], { retain, keep }: SnapshotRetention): SnapshotInfo[] {
  const since = (snapshots[0]?.meta.createdAt ?? 0) - keep;
  const before = snapshots.findIndex(({ meta }) => (meta.createdAt ?? 0) <= since);
  const needed = keep === 0 ? 0 : before < 0 ? snapshots.length : before + 1; // that one too: it leads into the time
  return snapshots.slice(0, Math.max(retain, needed));
}

/** Copies snapshots into a bucket. */
export class BackupSnapshots {
  readonly #parts: BackupSnapshotsParts;
  readonly #retain: number;
  #newest: bigint | undefined;
  /** One copy after the other: a storage takes one install at a time. */
  #copying: Promise<unknown> = Promise.resolve();

  /**
   * @param parts from where to where
   * @param retain how many are kept at least
   */
  constructor(parts: BackupSnapshotsParts, retain: number) {
    this.#parts = parts;
    this.#retain = retain;
  }

  /** The newest one that is known to be in the bucket. */
  get newest(): bigint | undefined {
    return this.#newest;
  }

  /**
   * Refuses a bucket that has a snapshot of another history: such as what a former leader had alone.
   *
   * @throws {SnapshotError} `STALE`
   */
  async check(): Promise<void> {
    const { to, objects, log } = this.#parts;
    const { last } = log.status();
    for (const { meta: { lastIncludedIndex: index }, digest } of await to.list()) {
      if (index > last) {
        throw otherHistory(index, `the bucket has that snapshot, and this one entries up to ${last} only`);
      }
      const [noted, own] = [await objects.history({ index, digest }), await log.digest(index)];
      if (noted === undefined || own === undefined || equal(noted, own)) continue;
      throw otherHistory(index, "the bucket has a snapshot of another leader");
    }
  }

  /**
   * Copies the newest snapshot, if it is not there yet: of what earlier ones have nothing is sent.
   *
   * @returns the newest one in the bucket; nothing if there is none
   */
  copy(signal?: AbortSignal): Promise<bigint | undefined> {
    const copying = this.#copying.then(() => this.#copy(signal));
    this.#copying = copying.catch(() => {});
    return copying;
  }

  async #copy(signal: AbortSignal | undefined): Promise<bigint | undefined> {
    const { from, to, log } = this.#parts;
    const { last } = log.status();
    // One that is ahead of the log, which a follower may have, waits: nobody knows yet which history leads to it.
    const newest = (await from.list()).find(({ meta }) => meta.lastIncludedIndex <= last);
    if (newest !== undefined && newest.meta.lastIncludedIndex === this.#newest) return this.#newest;
    const [there] = await to.list();
    if (newest !== undefined && (there === undefined || isBehind(there, newest))) {
      // Before it is there: without it, nobody could tell that the snapshot is of another history.
      await this.#noteHistory(newest);
      await copySnapshot(from, to, newest.meta.lastIncludedIndex, signal);
    }
    return this.#newest = newest?.meta.lastIncludedIndex ?? there?.meta.lastIncludedIndex;
  }

  /** Notes which history of the log leads to a snapshot, as long as the log knows it. */
  async #noteHistory({ meta: { lastIncludedIndex: index }, digest }: SnapshotInfo): Promise<void> {
    const { objects, log } = this.#parts;
    const history = await log.digest(index);
    if (history !== undefined) await objects.putHistory({ index, digest }, history);
  }

  /**
   * Deletes the segments that none of the snapshots needs: those that are too many went with a copy.
   *
   * @param uploaded the last entry in the bucket
   */
  async collect(uploaded: bigint): Promise<void> {
    const { to, objects } = this.#parts;
    const snapshots = await to.list();
    const oldest = snapshots.at(-1);
    if (oldest === undefined || snapshots.length < this.#retain) return;
    const { lastIncludedIndex: base } = oldest.meta;
    if (base > uploaded) return; // the segments up to there are still to come
    const segments = await objects.segments();
    // A segment is needed if it has an entry behind the oldest snapshot: if the next one begins later than that.
    const unneeded = segments.filter((_, i) => i + 1 < segments.length && segments[i + 1]!.first <= base + 1n);
    const histories = (await objects.histories()).filter(({ index }) => index < base);
    await objects.delete([...unneeded, ...histories].map(({ key }) => key));
  }

  /** Closes the storage in the bucket. */
  async close(): Promise<void> {
    await this.#parts.to.close();
  }
}

function isBehind(there: SnapshotInfo, newest: SnapshotInfo): boolean {
  const [a, b] = [there.meta, newest.meta];
  if (a.lastIncludedIndex < b.lastIncludedIndex) return true;
  if (a.lastIncludedIndex > b.lastIncludedIndex || toHex(there.digest) === toHex(newest.digest)) return false;
  throw new SnapshotError(
    "STALE",
    `The bucket has another snapshot ${a.lastIncludedIndex} than this replica: begin anew with another prefix`,
    { index: a.lastIncludedIndex },
  );
}
