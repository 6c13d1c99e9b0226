/**
 * Collects garbage in a bucket: objects that no snapshot uses and no lease is working on.
 *
 * @module
 */

import { throwIfCancelled } from "../../errors.ts";
import { InFlight } from "../../async/mod.ts";
import type { BackgroundTasks } from "./background.ts";
import type { IndexStore } from "./index_store.ts";
import { allKept, type Lease, type ObjectIndex } from "./index.ts";
import { CHECKS } from "./conditions.ts";
import { bornIn, idle } from "./leases.ts";
import type { KeptPlaces } from "./kept_places.ts";
import type { SharedTime } from "./shared_time.ts";
import type { RetryingBucket } from "../../bucket/mod.ts";

/** The most collections after commits of one process in a time of grace: each lists all packs. */
const COLLECTIONS = 10;
/** Manifests read at the same time. */
const READ_AHEAD = 8;
/** Objects deleted at once. */
const BATCH = 1000;

/** The result of a collection: what it deleted. */
export interface Collected {
  /** The number of snapshots that cannot be read any more. */
  readonly snapshots: number;
  /** The number of objects. */
  readonly objects: number;
  /** Their bytes. */
  readonly bytes: number;
}

/** The parts of a storage that a collection needs. */
export interface CollectorParts {
  readonly bucket: RetryingBucket;
  readonly store: IndexStore;
  /** Reads manifests. */
  readonly kept: KeptPlaces;
  /** The milliseconds for which a retired snapshot stays. */
  readonly grace: number;
  /** The clock by which leases and times of grace end. */
  readonly time: SharedTime;
}

/** Collects for one storage: after commits, now and then, and when it is asked to. */
export class Collector {
  readonly #parts: CollectorParts;
  readonly #background: BackgroundTasks;
  /** The names of the packs of manifests that were read already, by the snapshots' ids. */
  readonly #packsOf = new Map<string, readonly string[]>();
  /** The time of the last collection that came to its end, by `performance.now()`. */
  #collected = -Infinity;
  #isCollecting = false;
  /** True if the last collection after a commit failed. */
  #hasFailed = false;

  /**
   * @param parts the storage
   * @param background runs the collections after commits
   */
  constructor(parts: CollectorParts, background: BackgroundTasks) {
    this.#parts = parts;
    this.#background = background;
  }

  /** Collects. */
  async collect(signal: AbortSignal): Promise<Collected> {
    return await collect(this.#parts, this.#packsOf, signal);
  }

  /** True if a commit may be followed by a collection: the last one was long enough ago. */
  get mayCollect(): boolean {
    return !this.#isCollecting && performance.now() - this.#collected >= this.#parts.grace / COLLECTIONS;
  }

  /** Returns the index without what is not needed any more, for a commit to put with it; nothing if all is needed. */
  forget(index: ObjectIndex): Partial<ObjectIndex> | undefined {
    return forget(index, this.#parts.grace, this.#parts.time);
  }

  /** Collects after a commit that left something to collect. If that fails it is done after the next one. */
  collectLater(isDue: boolean, signal: AbortSignal): void {
    if (this.#isCollecting || !isDue && !this.#hasFailed) return;
    this.#isCollecting = true;
    const collecting = this.collect(signal).then(() => {
      this.#collected = performance.now();
      this.#hasFailed = false;
    }).catch((error) => {
      this.#hasFailed = true;
      throw error;
    }).finally(() => this.#isCollecting = false);
    this.#background.run("collect", "What is not needed any more could not be deleted", collecting);
  }
}

/**
 * Collects garbage: first removes from the index the snapshots that were retired long enough ago and the leases that
 * have run out; then deletes all objects that nothing in the index needs. This is safe while others work: objects that
 * a lease in the index is writing are left alone, and those of later leases too, since the name of a lease contains the
 * generation in which it was taken. The snapshots that a lease relies on can only have been retired after it was taken,
 * and so stay in the index as long as the lease does.
 *
 * @throws the error of a manifest that cannot be read: its packs are not known then, and nothing is deleted
 */
async function collect(
  parts: CollectorParts,
  packsOf: Map<string, readonly string[]>,
  signal: AbortSignal,
): Promise<Collected> {
  const { bucket, store, grace, time } = parts;
  await store.read();
  let forgotten = 0;
  const index = await store.update((index) => {
    const change = forget(index, grace, time);
    forgotten = change === undefined ? forgotten : index.retired.length - change.retired.length;
    return change;
  });
  const used = await usedPacks(index, parts, packsOf, signal);
  const [ids, leases] = [new Set(allKept(index).map(({ id }) => id)), new Set(index.leases.map(({ id }) => id))];
  const isGarbage = (key: string) => {
    const [kind, id = ""] = key.split("/");
    if (`${kind}/` === CHECKS) return true; // who tries conditions now notices that it is gone, and tries again
    const born = bornIn(id);
    // Not an object of this index, or newer than the index that we know.
    if (born === undefined || born.epoch !== index.epoch || born.generation > index.generation) return false;
    if (leases.has(id)) return false;
    const name = key.slice(`${kind}/`.length);
    return kind === "packs" ? !used.has(name) : kind === "manifests" ? !ids.has(name) : true;
  };
  let [objects, bytes] = [0, 0];
  let batch: string[] = [];
  const sweep = async () => {
    await bucket.delete(batch, signal);
    objects += batch.length;
    batch = [];
  };
  for (const kind of ["packs/", "manifests/", "installs/", CHECKS]) {
    for await (const { key, size } of bucket.list(kind, signal)) {
      if (!isGarbage(key)) continue;
      bytes += size;
      if (batch.push(key) === BATCH) await sweep();
    }
  }
  await sweep();
  return { snapshots: forgotten, objects, bytes };
}

/** Returns the index without the entries that are not needed any more; nothing if all are needed. */
function forget(
  index: ObjectIndex,
  grace: number,
  time: SharedTime,
): Pick<ObjectIndex, "leases" | "retired"> | undefined {
  const now = time.earliest();
  const leases: Lease[] = [];
  for (const lease of index.leases) {
    if (lease.activeUntil >= now) leases.push(lease);
    else if (lease.kind === "install" && lease.expiresAt >= now) {
      leases.push(lease.since === undefined ? lease : idle(lease));
    }
  }
  const needed = leases.reduce<bigint | undefined>(
    (least, { since }) => since !== undefined && (least === undefined || since < least) ? since : least,
    undefined,
  );
  const retired = index.retired.filter(({ retiredAt, retiredIn }) =>
    retiredAt! + grace > now || needed !== undefined && needed < retiredIn!
  );
  const isSame = retired.length === index.retired.length && leases.length === index.leases.length &&
    leases.every((lease, i) => lease === index.leases[i]);
  return isSame ? undefined : { leases, retired };
}

/** Returns the names of the packs that some snapshot uses. */
async function usedPacks(
  index: ObjectIndex,
  { kept: places }: CollectorParts,
  packsOf: Map<string, readonly string[]>,
  signal: AbortSignal,
): Promise<Set<string>> {
  const all = allKept(index);
  const ids = new Set(all.map(({ id }) => id));
  for (const id of packsOf.keys()) if (!ids.has(id)) packsOf.delete(id);
  const reading = new InFlight<void>();
  try {
    for (const kept of all) {
      throwIfCancelled(signal);
      if (packsOf.has(kept.id)) continue;
      const read = async () => void packsOf.set(kept.id, (await places.manifest(kept)).packs.map(({ name }) => name));
      reading.add(read());
      if (reading.size >= READ_AHEAD) await reading.next();
    }
    while (reading.size > 0) await reading.next();
  } finally {
    await reading.settled();
  }
  return new Set([...packsOf.values()].flat());
}
