// What an object storage keeps in a bucket: its index, manifests with the places of their chunks, and the ends of packs.

import { MemoryBucket } from "../../../src/bucket/mod.ts";
import { decodeIndex, encodeIndex, infoOf } from "../../../src/storage/object/index.ts";
import { bornIn } from "../../../src/storage/object/leases.ts";
import { LocatedManifest } from "../../../src/storage/object/located_manifest.ts";
import { END_SIZE, readTable, tableSizeOf } from "../../../src/storage/object/pack.ts";
import { concat, equal, sha256 } from "../../../src/stream/mod.ts";
import type { Random } from "../../support/random.ts";
import { bytesOf } from "../../support/harness.ts";
import { mixed, objectsOf, openStorage, save } from "../../support/object_storage.ts";
import { mutate } from "../mutate.ts";
import { encodeFields, mutateFields, type Shape, treeOf } from "../protobuf.ts";
import { type Attempt, law, type Target } from "../target.ts";
import { MANIFEST, mutateManifest } from "./manifest.ts";

const INDEX: Shape = { 4: {}, 5: {}, 6: {}, 7: {} };
const STORED: Shape = { 1: MANIFEST, 2: {} };

/** Objects of a bucket in which a good deal was done, by what they begin with. */
async function objects(): Promise<Record<"index" | "manifests" | "packs", Uint8Array[]>> {
  const bucket = new MemoryBucket();
  const storage = await openStorage(bucket, { grace: 3600_000 });
  for (let index = 1n; index <= 4n; index++) {
    await save(storage, index, {
      a: mixed(400_000, 300_000, Number(index)),
      b: mixed(900, 0, Number(index)),
      c: mixed(0, 0, 1),
    });
  }
  const reader = await storage.open();
  const install = await (await openStorage(bucket)).install(reader.manifest).catch(() => undefined);
  await install?.close();
  await reader.close();
  await storage.quarantine(4n, "a test");
  const writer = await storage.create(); // with a lease in the index
  const found: Record<string, Uint8Array[]> = { index: [], manifests: [], packs: [] };
  for (const { key } of await objectsOf(bucket)) {
    found[key.split("/")[0]!]?.push(await bytesOf((await bucket.get(key))!.body));
  }
  await writer.abort();
  await storage.close();
  return found as Record<"index" | "manifests" | "packs", Uint8Array[]>;
}

function mutated(bytes: Uint8Array, shape: Shape, random: Random): Uint8Array {
  const fields = random.chance(0.7) ? treeOf(bytes, shape) : undefined;
  if (fields === undefined) return mutate(bytes, random);
  mutateFields(fields, random, []);
  return encodeFields(fields);
}

/** An index whose digest is right. */
async function attackIndex(seed: Uint8Array, random: Random): Promise<void> {
  const body = mutated(seed.subarray(32), INDEX, random);
  const index = await decodeIndex(concat([await sha256(body), body]), "index");
  for (const { id } of index.leases) law(bornIn(id) !== undefined, "a lease has a name of its kind");
  for (const kept of index.snapshots) {
    law(bornIn(kept.id.split("/")[0]!) !== undefined, "a snapshot has a name of its kind");
    law(kept.index > 0n && kept.size >= 0, "an index is 1 or more, a size 0 or more");
    const { meta, digest } = await infoOf(kept, false);
    law(meta.lastIncludedIndex === kept.index && digest.length === 32, "what is listed is what is opened");
  }
  const again = await decodeIndex(await encodeIndex(index), "index");
  law(equal(await encodeIndex(again), await encodeIndex(index)), "it means the same again");
}

async function attackManifest(seed: Uint8Array, random: Random): Promise<void> {
  const bytes = random.chance(0.3) ? await remade(seed, random) : mutated(seed, STORED, random);
  const located = await LocatedManifest.decode(bytes, "it");
  const { content } = located.manifest;
  for (let i = 0; i < content.count; i++) {
    const { pack, offset } = located.locate(i);
    law(offset >= 0 && offset + content.length(i) <= pack.size, "a chunk lies in its pack");
  }
  const again = await LocatedManifest.decode(located.encode(), "it");
  law(equal(again.encode(), located.encode()), "it means the same again");
}

/** With another manifest, of which the digests are right, and the same places. */
async function remade(seed: Uint8Array, random: Random): Promise<Uint8Array> {
  const fields = treeOf(seed, { 2: {} })!;
  const manifest = fields.find(({ number }) => number === 1)!;
  manifest.value = await mutateManifest(manifest.value as Uint8Array, random);
  return encodeFields(fields);
}

async function attackPack(seed: Uint8Array, random: Random): Promise<void> {
  const size = tableSizeOf(seed)!;
  let tail: Uint8Array = seed.slice(seed.length - size);
  if (random.chance(0.5)) {
    const table = mutate(tail.subarray(0, size - END_SIZE), random);
    tail = concat([table, await sha256(table), tail.subarray(tail.length - END_SIZE + 32)]);
  } else {
    tail = mutate(tail, random).slice();
  }
  let end = 0;
  for (const { offset, length } of await readTable(tail, seed.length, "it")) {
    law(offset === end, "chunks lie one behind the other");
    end += length;
  }
  law(end + tail.length === seed.length, "a table is that of its pack");
}

export const bucket: Target = {
  name: "bucket",
  share: 60,
  codes: ["CORRUPT", "MALFORMED", "UNSUPPORTED"],
  async prepare(): Promise<Attempt> {
    const { index, manifests, packs } = await objects();
    return (random) =>
      random.pick([
        () => attackIndex(random.pick(index), random),
        () => attackManifest(random.pick(manifests), random),
        () => attackPack(random.pick(packs), random),
      ])();
  },
};
