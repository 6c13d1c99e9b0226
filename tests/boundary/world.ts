// What functions are called on, and what is in it.

import {
  EncryptedStorage,
  type EncryptionKey,
  jsonCodec,
  KeyedState,
  KeyValueMachine,
  MemoryLog,
  MemoryStorage,
  Replica,
  type SnapshotManifest,
  type SnapshotReader,
  type SnapshotStorage,
  stringKeys,
  utf8Codec,
} from "../../mod.ts";
import { MemoryBucket, ObjectStorage } from "../../src/object.ts";
import { toHex } from "../../src/stream/mod.ts";
import { noise } from "../support/harness.ts";
import { save } from "../support/samples.ts";

/** Everything that a call may change. */
export interface World {
  readonly storage: MemoryStorage;
  readonly encrypted: EncryptedStorage;
  readonly bucket: MemoryBucket;
  readonly objects: ObjectStorage;
  readonly reader: SnapshotReader;
  /** Of a snapshot that is not in the storage. */
  readonly manifest: SnapshotManifest;
  readonly log: MemoryLog;
  readonly machine: KeyValueMachine<string>;
  readonly replica: Replica<KeyValueMachine<string>>;
  readonly state: KeyedState<string>;
  close(): Promise<void>;
}

/** The secret of the encrypted storage. */
export const KEY: EncryptionKey = { id: "key", secret: noise(32, 9) };

/** A world with something in it. */
export async function makeWorld(): Promise<World> {
  const [storage, encrypted, bucket] = [
    new MemoryStorage(),
    new EncryptedStorage(new MemoryStorage(), [KEY]),
    new MemoryBucket(),
  ];
  const objects = await ObjectStorage.open(new MemoryBucket()); // whose leases come and go
  const all: readonly SnapshotStorage[] = [storage, encrypted, objects];
  for (const it of all) await save(it, 5n, { state: noise(1000, 1) });
  const other = new MemoryStorage();
  await save(other, 9n, { state: noise(2000, 2) });
  const { manifest } = await other.open();
  await other.close();
  const machine = new KeyValueMachine(utf8Codec());
  const log = new MemoryLog();
  await log.append([1n, 2n].map((index) => ({ index, term: 1n, data: noise(3, 3) })));
  const triggers = { interval: 0 }; // no timer, should nobody close it
  const replica = await Replica.open({ machine, log: new MemoryLog(), storage: new MemoryStorage(), triggers });
  await replica.propose(machine.put("a", "b"));
  const state = new KeyedState({ keys: stringKeys() });
  state.value("count", jsonCodec<number>()).set("a", 1);
  const reader = await storage.open();
  return {
    ...{ storage, encrypted, bucket, objects, reader, manifest, log, machine, replica, state },
    async close() {
      await replica.close();
      for (const it of all) await it.close();
    },
  };
}

/** What is in it, as a text. */
export async function fingerprint(world: World): Promise<string> {
  const parts: unknown[] = [];
  for (const storage of [world.storage, world.encrypted, world.objects]) {
    for (const { meta, digest } of await storage.list()) parts.push(meta.lastIncludedIndex, toHex(digest));
    parts.push((await storage.unfinished()).length, storage.installing === undefined);
  }
  const { objects } = await world.bucket.list();
  parts.push(...objects.map(({ key, etag }) => `${key} ${etag}`));
  const { log, replica, machine, state } = world;
  for (const { firstIndex, lastIndex, byteLength } of [log]) parts.push(firstIndex, lastIndex, byteLength);
  const { appliedIndex, lastIndex, configuration, snapshot } = replica.status();
  parts.push(appliedIndex, lastIndex, JSON.stringify(configuration), snapshot?.meta.lastIncludedIndex);
  parts.push(machine.size, machine.get("a"), state.size);
  return parts.join("\n");
}
