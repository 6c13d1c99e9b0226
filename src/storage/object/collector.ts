/**
 * Collecting garbage in a bucket: what no snapshot uses and nobody is at work on.
 *
 * @module
 */

import { throwIfCancelled } from "../../errors.ts";
import { InFlight } from "../../async/mod.ts";
import type { IndexStore } from "./index_store.ts";
import { allKept, type KeptSnapshot, type Lease, type ObjectIndex } from "./index.ts";
import { bornIn, idle } from "./leases.ts";
import type { LocatedManifest } from "./located_manifest.ts";
import type { SharedTime } from "./shared_time.ts";
import type { RetryingBucket } from "../../bucket/mod.ts";

/** Manifests read at the same time. */
const READ_AHEAD = 8;
/** Objects deleted at once. */
const BATCH = 1000;

/** What a collection deleted. */
export interface Collected {
  /** Snapshots that nobody can read any more. */
  readonly snapshots: number;
  /** Objects. */
  readonly objects: number;
  /** Their bytes. */
  readonly bytes: number;
}

/** What a collection needs. */
export interface CollectorParts {
  readonly bucket: RetryingBucket;
  readonly store: IndexStore;
  /** Reads a manifest. */
  manifest(kept: KeptSnapshot): Promise<LocatedManifest>;
  /** The names of the packs of manifests that were read already, by the snapshots' ids. */
  readonly packsOf: Map<string, readonly string[]>;
  /** How long a snapshot stays that was retired, in milliseconds. */
  readonly grace: number;
  /** Says what is over. */
  readonly time: SharedTime;
}

/** Whether there is something to be collected, as far as the index says. */
export function isDue(index: ObjectIndex, grace: number, time: SharedTime): boolean {
  return forget(index, grace, time) !== undefined;
}

/**
 * Collects garbage: first forgets, in the index, what was retired long enough ago and whoever has not been heard of; then
 * deletes all objects that nothing in the index needs. That is right whatever others do meanwhile: what a lease in the index
 * is writing is left alone, also by those who come later, since a lease says in which generation it was taken; and what it
 * relies on was retired, if at all, after it was taken, and stays in the index as long as it does.
 *
 * @throws whatever a manifest cannot be read with: what it uses is not known then, and nothing is deleted
 */
export async function collect(parts: CollectorParts, signal: AbortSignal | undefined): Promise<Collected> {
  const { bucket, store, grace, time } = parts;
  await store.read();
  let forgotten = 0;
  const index = await store.update((index) => {
    const change = forget(index, grace, time);
    forgotten = change === undefined ? forgotten : index.retired.length - change.retired.length;
    return change;
  });
  const used = await usedPacks(index, parts, signal);
  const [ids, leases] = [new Set(allKept(index).map(({ id }) => id)), new Set(index.leases.map(({ id }) => id))];
  const isGarbage = (key: string) => {
    const [kind, id = ""] = key.split("/");
    const born = bornIn(id);
    // What is not ours, or of later than we know of.
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
  for (const kind of ["packs/", "manifests/", "installs/"]) {
    for await (const { key, size } of bucket.list(kind, signal)) {
      if (!isGarbage(key)) continue;
      bytes += size;
      if (batch.push(key) === BATCH) await sweep();
    }
  }
  await sweep();
  return { snapshots: forgotten, objects, bytes };
}

/** The index without what is not needed any more; nothing if that is all of it. */
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

/** The names of the packs that some snapshot uses. */
async function usedPacks(
  index: ObjectIndex,
  { manifest, packsOf }: CollectorParts,
  signal: AbortSignal | undefined,
): Promise<Set<string>> {
  const all = allKept(index);
  const ids = new Set(all.map(({ id }) => id));
  for (const id of packsOf.keys()) if (!ids.has(id)) packsOf.delete(id);
  const reading = new InFlight<void>();
  try {
    for (const kept of all) {
      throwIfCancelled(signal);
      if (packsOf.has(kept.id)) continue;
      const read = async () => void packsOf.set(kept.id, (await manifest(kept)).packs.map(({ name }) => name));
      reading.add(read());
      if (reading.size >= READ_AHEAD) await reading.next();
    }
    while (reading.size > 0) await reading.next();
  } finally {
    await reading.settled();
  }
  return new Set([...packsOf.values()].flat());
}
