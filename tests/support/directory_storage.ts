// What the tests of the directory storage share: snapshots whose content follows from their index, and a look at a
// directory from outside of the library.

import { lstat, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import type { SnapshotInfo, SnapshotReader, SnapshotStorage } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { equal } from "../../src/stream/mod.ts";
import { assert, bytesOf, noise, pieces } from "./harness.ts";
import { inTemp } from "./temp.ts";

const CONTENTS = new Map<bigint, Record<string, Uint8Array>>();

/** What is in the snapshot with an index: a file in a directory, one that all have, and one of two chunks. */
export function contentOf(index: bigint): Record<string, Uint8Array> {
  const known = CONTENTS.get(index);
  if (known !== undefined) return known;
  const seed = Number(index);
  const content = { "a/b": noise(100, seed), same: noise(1000, 42), state: noise(300_000, seed + 7) };
  CONTENTS.set(index, content);
  return content;
}

/** Saves {@linkcode contentOf}. */
export async function save(storage: SnapshotStorage, index: bigint): Promise<SnapshotInfo> {
  const writer = await storage.create();
  try {
    for (const [name, content] of Object.entries(contentOf(index))) await pieces(content).pipeTo(writer.file(name));
    return await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: ["p1"], createdAt: 1 });
  } finally {
    await writer.abort();
  }
}

/** Fails unless all that is in a snapshot is {@linkcode contentOf}. */
export async function isWhole(reader: SnapshotReader): Promise<void> {
  const expected = contentOf(reader.meta.lastIncludedIndex);
  assert.deepEqual(reader.manifest.files.map(({ name }) => name), Object.keys(expected));
  for (const [name, content] of Object.entries(expected)) {
    assert.isTrue(equal(await bytesOf(reader.file(name)), content), name);
  }
  assert.isTrue((await reader.verify().result).ok);
}

/** The indices of the snapshots that are here, newest first; fails unless each is whole. */
export async function wholeOnes(storage: SnapshotStorage): Promise<bigint[]> {
  const indices = (await storage.list()).map(({ meta }) => meta.lastIncludedIndex);
  // All are opened before any is closed: closing one lets retention take what is too old.
  const readers = await Promise.all(indices.map((index) => storage.open(index)));
  for (const reader of readers) await isWhole(reader);
  for (const reader of readers) await reader.close();
  return indices;
}

/** The directory of a snapshot. */
export function directoryOf(root: string, index: bigint): string {
  return `${root}/snapshot_${String(index).padStart(20, "0")}`;
}

/** Everything in a directory, sorted: paths, and of files also when they were changed and what is in them. */
export async function listing(root: string, below = ""): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir(root + below)) {
    const path = `${below}/${name}`;
    const stat = await lstat(root + path);
    found.push(`${path} ${stat.mtimeMs} ${stat.isFile() ? (await readFile(root + path)).toString("hex") : ""}`);
    if (stat.isDirectory()) found.push(...await listing(root, path));
  }
  return found.sort();
}

/** The names in a directory, sorted. */
export async function namesIn(directory: string): Promise<string[]> {
  return (await readdir(directory)).sort();
}

/** Makes a file, and the directory that it is in. */
export async function put(directory: string, name: string, content: string | Uint8Array = "x"): Promise<void> {
  await mkdir(directory, { recursive: true });
  await writeFile(`${directory}/${name}`, content);
}

/** Flips a bit of a byte of a file. */
export async function flip(path: string, at: number, bit = 1): Promise<void> {
  const bytes = await readFile(path);
  bytes[at]! ^= bit;
  await writeFile(path, bytes);
}

/** A directory with the snapshots 1 and 2. */
export function withTwo(work: (root: string) => Promise<void>): Promise<void> {
  return inTemp(async (directory) => {
    const root = `${directory}/storage`;
    const storage = await DirectoryStorage.open(root);
    await save(storage, 1n);
    await save(storage, 2n);
    await storage.close();
    await work(root);
  });
}

/** Opens the storage, and gives the indices of what is whole and of what was put aside. */
export async function opened(root: string): Promise<{ whole: bigint[]; damaged: bigint[] }> {
  const storage = await DirectoryStorage.open(root);
  try {
    return { whole: await wholeOnes(storage), damaged: storage.damaged.map(({ index }) => index) };
  } finally {
    await storage.close();
  }
}
