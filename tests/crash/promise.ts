// What a directory storage promises, checked on whatever a crash left: what was acknowledged is there and whole, unless
// enough that is newer is; nothing half is seen; no litter stays; and it goes on from there.

import { SnapshotError, type SnapshotInfo, type SnapshotManifest, type SnapshotStorage } from "../../mod.ts";
import { DirectoryStorage, type DirectoryStorageOptions } from "../../src/storage/directory/storage.ts";
import type { Disk } from "../../src/fs/mod.ts";
import { equal } from "../../src/stream/mod.ts";
import { assert, bytesOf, noise, pieces, rejects } from "../support/harness.ts";
import { namesIn } from "./image.ts";
import type { SimulatedDisk } from "./simulated_disk.ts";
import { missingOf } from "../support/installs.ts";

export const ROOT = "/data/snapshots";
export const RETAIN = 2;
/** Small, so that a hundred thousand states are a matter of minutes; and of several sectors. */
const CHUNK = 1500;

const CONTENTS = new Map<bigint, Record<string, Uint8Array>>();

/** What is in a snapshot: a file in a directory, one that all have, and one of two chunks, of which all have the first. */
export function contentOf(index: bigint): Record<string, Uint8Array> {
  let content = CONTENTS.get(index);
  if (content === undefined) {
    const state = noise(CHUNK + 700, 7);
    state.set(noise(700, Number(index) + 7), CHUNK);
    content = { "a/b": noise(100, Number(index)), same: noise(1000, 42), state };
    CONTENTS.set(index, content);
  }
  return content;
}

/** Tries again what fails, as an executor does: what goes wrong once must not be in the way of the next try. */
export async function twice<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof SnapshotError)) throw error;
    return await work();
  }
}

/** Saves {@linkcode contentOf}; reuses files of the newest snapshot if asked to. */
export async function save(storage: SnapshotStorage, index: bigint, reuse?: boolean): Promise<SnapshotInfo> {
  const writer = await storage.create();
  try {
    let reused = false;
    if (reuse === true) {
      const reader = await storage.open();
      const same = reader.info("same");
      await reader.close();
      reused = await writer.reuse([same]);
    }
    for (const [name, content] of Object.entries(contentOf(index))) {
      if (name === "same" && reused) continue;
      await pieces(content, CHUNK).pipeTo(writer.file(name, { chunkSize: "pieces" }));
    }
    return await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: ["p1"], createdAt: 1 });
  } finally {
    await writer.abort();
  }
}

/** Receives {@linkcode contentOf} as another node has it, or so many chunks of it. Returns whether it was committed. */
export async function receive(
  storage: SnapshotStorage,
  manifest: SnapshotManifest,
  chunks: number = Infinity,
): Promise<boolean> {
  const content = contentOf(manifest.index);
  const install = await storage.install(manifest);
  try {
    await install.prepare();
    for (const { number, name, start, end } of missingOf(install)) {
      if (chunks-- <= 0) return false;
      await install.write(number, content[name]!.slice(start, end));
    }
    await install.commit();
    return true;
  } finally {
    await install.close();
  }
}

/** Changes a byte of a file. */
export async function flip(disk: Disk, path: string, at: number): Promise<void> {
  const file = await disk.open(path, "update");
  const byte = new Uint8Array(1);
  await file.read(byte, at);
  byte[0]! ^= 1;
  await file.write(byte, at);
  await file.close();
}

/** What must be there. */
export interface Promised {
  /** Those that were acknowledged, and are not damaged. */
  readonly acknowledged: readonly bigint[];
  /** Those that may be there too: they were asked for. */
  readonly asked: readonly bigint[];
  /** The one of which a chunk was damaged before. */
  readonly damaged?: bigint;
}

/** Fails unless a storage holds what was promised. Returns the indices of what is whole, newest first. */
export async function holds(storage: SnapshotStorage, promised: Promised): Promise<bigint[]> {
  const whole: bigint[] = [];
  const readers = await Promise.all(
    (await storage.list()).map(({ meta }) => storage.open(meta.lastIncludedIndex)), // before retention takes one
  );
  for (const reader of readers) {
    const index = reader.meta.lastIncludedIndex;
    if (index === promised.damaged) await rejects(bytesOf(reader.file("state")), "CORRUPT");
    else {
      const content = contentOf(index);
      assert.deepEqual(reader.manifest.files.map(({ name }) => name), Object.keys(content));
      for (const [name, bytes] of Object.entries(content)) {
        assert.isTrue(equal(await bytesOf(reader.file(name)), bytes), `${name} of ${index} is another`);
      }
      whole.push(index);
    }
  }
  for (const reader of readers) await reader.close();
  for (const index of promised.acknowledged) {
    if (whole.includes(index)) continue;
    const newer = whole.filter((other) => other > index).length;
    assert.isAtLeast(newer, RETAIN, `Snapshot ${index} was acknowledged, and there are only ${whole}`);
  }
  for (const index of whole) {
    assert.isTrue(
      promised.acknowledged.includes(index) || promised.asked.includes(index),
      `Nobody asked for snapshot ${index}`,
    );
  }
  return whole;
}

/** Opens a storage on what a crash left, checks it, and goes on with it. */
export async function recovers(
  disk: SimulatedDisk<bigint>,
  promised: Promised,
  goOn: (storage: DirectoryStorage, newest: bigint) => Promise<bigint>,
  options: DirectoryStorageOptions = {},
): Promise<void> {
  const storage = await DirectoryStorage.open(ROOT, { disk, ...options });
  assert.deepEqual(storage.damaged.map(({ index, error }) => `${index} ${error.code}`), []);
  const [newest = 0n] = await holds(storage, promised);
  assert.deepEqual(
    namesIn(disk.image, ROOT).filter((name) => !/^(\.lock|(snapshot_|install-|corrupt-).*)$/.test(name)),
    [],
  );
  if (options.temp !== undefined) assert.deepEqual(namesIn(disk.image, options.temp), []);
  if (promised.damaged !== undefined) { // it is there, or put aside: never removed
    const names = namesIn(disk.image, ROOT).map((name) => /^(?:corrupt-|snapshot_0*)(\d+)/.exec(name)?.[1]);
    assert.include(names, String(promised.damaged));
  }
  const next = await goOn(storage, newest);
  disk.mark(next);
  await holds(storage, { ...promised, acknowledged: [...promised.acknowledged, next] });
  await storage.close();
  assert.equal(disk.counts.open, 0, "Files are open");
}
