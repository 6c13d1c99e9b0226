/**
 * The commits of a storage in a bucket: what is retired with them, and what is done behind them.
 *
 * @module
 */

import { hasCode } from "../../errors.ts";
import type { SnapshotInfo, SnapshotManifest } from "../../snapshot/mod.ts";
import type { Published } from "../medium.ts";
import type { Retention } from "../retention.ts";
import type { Grouping } from "../storage_group.ts";
import type { Trial } from "../trial.ts";
import { type Commit, committed, pruned, type Retaining } from "./changes.ts";
import type { Collector } from "./collector.ts";
import { groupedOf, infoOf, type KeptSnapshot } from "./index.ts";
import type { IndexStore } from "./index_store.ts";
import type { KeptPlaces } from "./kept_places.ts";
import type { Leases } from "./leases.ts";
import type { ObjectEvidence } from "./object_evidence.ts";
import type { OwnSnapshots } from "./own_snapshots.ts";
import type { ObjectPlace } from "./place.ts";
import type { SharedTime } from "./shared_time.ts";

/** The storage, as far as its commits need it. */
export interface CommitParts {
  readonly store: IndexStore;
  readonly leases: Leases;
  readonly kept: KeptPlaces;
  readonly own: OwnSnapshots;
  readonly evidence: ObjectEvidence;
  readonly retention: Retention;
  readonly collector: Collector;
  readonly time: SharedTime;
  /** Cancels a collection when the storage closes. */
  readonly signal: AbortSignal;
}

/** Commits, one after the other: each is one conditional put of the index. */
export class ObjectCommits {
  readonly #parts: CommitParts;

  /** @param parts the storage */
  constructor(parts: CommitParts) {
    this.#parts = parts;
  }

  /** Makes the snapshot of a place one that all see, after `trial` has run. */
  async publish(place: ObjectPlace, manifest: SnapshotManifest, trial: Trial, grouping: Grouping): Promise<Published> {
    const { store, leases, kept: places, own, evidence, collector, signal } = this.#parts;
    await own.trust.check(manifest);
    const { lease } = place;
    const [kept, located] = await place.seal(manifest);
    await places.show(kept.id, located, (place) => trial.run({ place, manifest }));
    await evidence.readDoubted();
    await own.trusted(await store.read());
    own.trust.add(kept.id);
    const { mayCollect } = collector;
    let isDue = false;
    const info = await infoOf(kept, false);
    const infos = await this.#knownInfos();
    infos.set(kept.id, info);
    place.mayBeCommitted = true;
    const commit: Commit = {
      ...this.#retaining(infos),
      kept,
      lease,
      own: (index) => {
        const all = own.all(index);
        grouping(all.map(groupedOf), groupedOf(kept).meta);
        return all;
      },
      next: (index) => leases.next(index),
    };
    await store.update((index) => {
      const change = committed(index, commit);
      const forgotten = change && mayCollect ? collector.forget({ ...index, ...change }) : undefined;
      isDue ||= forgotten !== undefined;
      return change && { ...change, ...forgotten };
    }).catch((error) => {
      // No put of it can succeed any more: it would have to replace an index of which it is not too old.
      place.mayBeCommitted = !hasCode(error, "STALE");
      throw error;
    });
    leases.committed();
    const readable = place.committed(kept, located);
    await own.raiseFloor(store);
    if (mayCollect) collector.collectLater(isDue, signal);
    return { info, place: readable };
  }

  /** Retires the snapshots that are too many. One that could not be read before counts only if it can be read now. */
  async prune(): Promise<void> {
    const { store, own, evidence } = this.#parts;
    await evidence.readDoubted();
    const infos = await this.#knownInfos();
    await own.trusted(await store.read());
    await store.update((index) => pruned(index, this.#retaining(infos)));
  }

  #retaining(infos: ReadonlyMap<string, SnapshotInfo>): Retaining {
    const { kept: places, own, time } = this.#parts;
    return {
      own: (index) => own.all(index),
      old: (counting) => this.#old(counting, infos),
      counts: (id) => !places.unread.has(id) && own.trust.has(id),
      isPinned: (id) => places.isPinned(id),
      time,
    };
  }

  /** The descriptions of the snapshots that are here now, by their ids; none if only their number counts. */
  async #knownInfos(): Promise<Map<string, SnapshotInfo>> {
    const { retention, own, store } = this.#parts;
    return retention.isCount ? new Map() : await infosOf(own.all(await store.read()));
  }

  /** Those that are not kept. A snapshot that another process committed meanwhile is not known yet, and stays. */
  #old(counting: readonly KeptSnapshot[], infos: ReadonlyMap<string, SnapshotInfo>): readonly KeptSnapshot[] {
    const { retention } = this.#parts;
    const known = retention.isCount ? counting : counting.filter(({ id }) => infos.has(id));
    const stays = new Set(retention.kept(known, ({ id }) => infos.get(id)!));
    return known.filter((one) => !stays.has(one));
  }
}

/** The descriptions of snapshots, by their ids. */
export async function infosOf(snapshots: readonly KeptSnapshot[]): Promise<Map<string, SnapshotInfo>> {
  return new Map(await Promise.all(snapshots.map(async (kept) => [kept.id, await infoOf(kept, false)] as const)));
}
