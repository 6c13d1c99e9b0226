// What the tests of object storages share.

import type { SnapshotInfo, SnapshotStorage } from "../../mod.ts";
import { ObjectStorage, type ObjectStorageOptions } from "../../src/object.ts";
import type { Bucket, BucketObject } from "../../src/bucket/mod.ts";
import { decodeIndex } from "../../src/storage/object/index.ts";
import { LocatedManifest } from "../../src/storage/object/located_manifest.ts";
import { equal } from "../../src/stream/mod.ts";
import { assert, bytesOf, noise, pieces } from "./harness.ts";

/** What is in a snapshot: bytes by the names of files. */
export type Content = Readonly<Record<string, Uint8Array>>;

/** Opens a storage that keeps two, and nothing that is retired. */
export function openStorage(bucket: Bucket, options: ObjectStorageOptions = {}): Promise<ObjectStorage> {
  return ObjectStorage.open(bucket, { grace: 0, packSize: 4 * 1024 * 1024, ...options });
}

/** Saves a snapshot. */
export async function save(storage: SnapshotStorage, index: bigint, content: Content): Promise<SnapshotInfo> {
  const writer = await storage.create();
  try {
    for (const [name, bytes] of Object.entries(content)) {
      await pieces(bytes).pipeTo(writer.file(name, { chunkSize: 65_536 }));
    }
    return await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: ["a"] });
  } catch (error) {
    await writer.abort().catch(() => {});
    throw error;
  }
}

/** Checks what a snapshot holds, and that it verifies. */
export async function checkContent(storage: SnapshotStorage, index: bigint, content: Content): Promise<void> {
  const reader = await storage.open(index);
  try {
    assert.sameMembers(reader.manifest.files.map(({ name }) => name), Object.keys(content));
    for (const [name, bytes] of Object.entries(content)) {
      assert.isTrue(equal(await bytesOf(reader.file(name)), bytes), `${name} of snapshot ${index}`);
    }
    assert.isTrue((await reader.verify().result).ok);
  } finally {
    await reader.close();
  }
}

/** Changes a byte of a snapshot, in a chunk that no earlier one has; returns what changes it back. */
export async function spoil(bucket: Bucket, index: bigint, prefix = ""): Promise<() => Promise<void>> {
  const read = async (key: string) => await bytesOf((await bucket.get(prefix + key))!.body);
  const { id } = (await decodeIndex(await read("index"), "index")).snapshots.find((kept) => kept.index === index)!;
  const located = await LocatedManifest.decode(await read(`manifests/${id}`), id);
  for (let chunk = 0; chunk < located.manifest.content.count; chunk++) {
    const { pack, offset } = located.locate(chunk);
    if (!pack.name.startsWith(id.split("/")[0]!)) continue;
    const [key, good] = [`${prefix}packs/${pack.name}`, await read(`packs/${pack.name}`)];
    await bucket.put(key, good.map((byte, at) => at === offset ? byte ^ 1 : byte));
    return async () => void await bucket.put(key, good);
  }
  throw new Error(`Snapshot ${index} has no chunk of its own`);
}

/** What a bucket has. */
export async function objectsOf(bucket: Bucket): Promise<BucketObject[]> {
  const found: BucketObject[] = [];
  let cursor: string | undefined;
  do {
    const page = await bucket.list(cursor === undefined ? {} : { cursor });
    found.push(...page.objects);
    cursor = page.cursor;
  } while (cursor !== undefined);
  return found;
}

/** What of a bucket no snapshot in the list needs, by the keys. */
export async function litterOf(bucket: Bucket, snapshots: number): Promise<string[]> {
  const keys = new Set((await objectsOf(bucket)).map(({ key }) => key));
  keys.delete("index");
  const manifests = [...keys].filter((key) => key.startsWith("manifests/"));
  assert.equal(manifests.length, snapshots, "manifests");
  for (const key of manifests) {
    keys.delete(key);
    const { packs } = await LocatedManifest.decode(await bytesOf((await bucket.get(key))!.body), key);
    for (const { name } of packs) keys.delete(`packs/${name}`);
  }
  return [...keys];
}

/** Random bytes, of which a part is the same for each seed. */
export function mixed(length: number, same: number, seed: number): Uint8Array {
  const bytes = noise(length, 1);
  bytes.set(noise(length - same, seed + 2), same);
  return bytes;
}
