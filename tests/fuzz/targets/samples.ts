// Snapshots to begin with, small and the same each time.

import {
  type FileInfo,
  type FileOptions,
  KeyedState,
  MemoryStorage,
  type SnapshotManifest,
  type SnapshotMeta,
  type SnapshotReader,
  type SnapshotStorage,
  stringKeys,
  utf8Codec,
} from "../../../mod.ts";
import { noise } from "../../support/harness.ts";

/** What samples are of. With a time, so that they are the same tomorrow. */
export const META: SnapshotMeta = {
  lastIncludedIndex: 5n,
  lastIncludedTerm: 2n,
  peers: ["10.0.0.1:8200:0:0", "10.0.0.2:8200:0:0"],
  createdAt: 1_700_000_000_000,
};

/** Files of a few small chunks: one of many, one of equal ones, one in a directory, one of nothing. */
export const FILES: Readonly<Record<string, readonly Uint8Array[]>> = {
  "a": [noise(40, 1), noise(100, 2), noise(7, 3)],
  "d/equal": [noise(64, 4), noise(64, 4), noise(64, 4), noise(30, 5)],
  "d/same": [noise(40, 1)],
  "empty": [],
  "one": [noise(300, 6)],
};

/** A stream of these chunks. */
export function chunksOf(chunks: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(chunks.map((chunk) => chunk.slice()));
}

/** Commits files, each chunk as it is. */
export async function commitFiles(
  storage: SnapshotStorage,
  meta: SnapshotMeta,
  files: Readonly<Record<string, readonly Uint8Array[]>>,
  options: (name: string) => FileOptions = () => ({}),
  raw = false,
): Promise<void> {
  const writer = await storage.create({ raw });
  try {
    for (const [name, chunks] of Object.entries(files)) {
      await chunksOf(chunks).pipeTo(writer.file(name, { chunkSize: "pieces", ...options(name) }));
    }
    await writer.commit(meta);
  } finally {
    await writer.abort();
  }
}

/** A storage with a snapshot of {@linkcode FILES}. */
export async function sampleStorage(meta: SnapshotMeta = META): Promise<MemoryStorage> {
  const storage = new MemoryStorage();
  await commitFiles(storage, meta, FILES, (name) => name === "a" ? { userMeta: noise(5, 1), source: "local" } : {});
  return storage;
}

/** Does something with the newest snapshot of a storage. */
export async function reading<T>(
  storage: SnapshotStorage,
  work: (reader: SnapshotReader) => T | Promise<T>,
): Promise<T> {
  const reader = await storage.open();
  try {
    return await work(reader);
  } finally {
    await reader.close();
  }
}

async function manifestOf(storage: MemoryStorage): Promise<SnapshotManifest> {
  const manifest = await reading(storage, (reader) => reader.manifest);
  await storage.close();
  return manifest;
}

/** Manifests of our own, of all kinds: not framed. */
export async function manifests(): Promise<Uint8Array[]> {
  const plain = await manifestOf(await sampleStorage());
  const of = async (
    files: Readonly<Record<string, readonly Uint8Array[]>>,
    meta: SnapshotMeta,
    options?: FileOptions,
  ) => {
    const storage = new MemoryStorage();
    await commitFiles(storage, meta, files, () => options ?? {});
    return await manifestOf(storage);
  };
  const keyed = new MemoryStorage();
  const state = new KeyedState({ keys: stringKeys(), maxParallelism: 8 });
  const value = state.value("v", utf8Codec());
  for (const key of ["a", "b", "c", "d", "e"]) value.set(key, key.repeat(10));
  const writer = await keyed.create();
  const task = state.save()!;
  await task.write(writer, new AbortController().signal);
  await writer.commit(META);
  task.release();
  const encryption = { keyId: "2026", mac: noise(32, 9) };
  const all = [
    plain,
    await of({}, META),
    await of({ state: [noise(70_000, 1)] }, { ...META, oldPeers: ["x"], parentIndex: 4n, signature: noise(73, 1) }, {
      chunkSize: 65_536,
    }),
    await of({ sealed: [noise(60, 1), noise(50, 2)] }, META, { encryption: () => Promise.resolve(encryption) }),
    await of({ grouped: [noise(60, 1)] }, { ...META, group: "users" }),
    await of({}, { ...META, group: "ü/\n", seal: encryption, signature: noise(73, 2) }),
    await manifestOf(keyed),
  ];
  return all.map(({ bytes }) => bytes);
}

/** The chunks of a file, by its manifest and its bytes. */
export function cut({ chunks }: FileInfo, bytes: Uint8Array): Uint8Array[] {
  return Array.from({ length: chunks!.count }, (_, i) => bytes.subarray(chunks!.offset(i), chunks!.offset(i + 1)));
}
