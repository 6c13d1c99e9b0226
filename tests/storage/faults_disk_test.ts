// A disk that fails at each operation in turn, of everything that a storage does; and after each: what was acknowledged
// is there and whole, nothing half is seen, no litter stays.

import { cp, rm } from "node:fs/promises";
import type { SnapshotManifest, SnapshotStorage } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory.ts";
import { assert, bytesOf, pieces, rejects, test } from "../harness.ts";
import { inTemp } from "../temp.ts";
import { type Fault, FaultyDisk } from "./faulty_disk.ts";
import { contentOf, directoryOf, flip, namesIn, save, wholeOnes } from "./kit.ts";

/** What is done, and what it acknowledged. */
interface Scenario {
  /** Prepares the directory, with a disk that works. */
  prepare(root: string, five: SnapshotManifest): Promise<void>;
  /** Does it with the disk that fails, and tells which snapshot was acknowledged. */
  run(storage: SnapshotStorage, five: SnapshotManifest): Promise<bigint | undefined>;
  /** Those that are here before, and not damaged. */
  readonly before: readonly bigint[];
  /** The one that is damaged. */
  readonly damaged?: bigint;
  /** Does it again, with the same storage, after the disk failed once. By default {@linkcode run}. */
  again?(storage: SnapshotStorage): Promise<bigint>;
}

async function withStorage(root: string, work: (storage: DirectoryStorage) => Promise<void>): Promise<void> {
  const storage = await DirectoryStorage.open(root, { durability: "none" });
  await work(storage);
  await storage.close();
}

const two = (root: string) =>
  withStorage(root, async (storage) => {
    await save(storage, 1n);
    await save(storage, 2n);
  });

/** The manifest of snapshot 5, as another node has it. */
function manifestOf5(): Promise<SnapshotManifest> {
  return inTemp(async (root) => {
    const storage = await DirectoryStorage.open(root);
    await save(storage, 5n);
    const reader = await storage.open();
    await storage.close();
    return reader.manifest;
  });
}

/** Receives snapshot 5, or some chunks of it. */
async function receive(storage: SnapshotStorage, manifest: SnapshotManifest, chunks = Infinity): Promise<boolean> {
  const install = await storage.install(manifest);
  try {
    await install.prepare();
    for (const { file, first, end } of install.missing()) {
      for (let i = first; i < end; i++) {
        if (chunks-- <= 0) return false;
        const at = file.chunks!.offset(i);
        await install.write(file.name, i, contentOf(5n)[file.name]!.slice(at, at + file.chunks!.length(i)));
      }
    }
    await install.commit();
    return true;
  } finally {
    await install.close();
  }
}

const SCENARIOS: Record<string, Scenario> = {
  "a save, and what retention takes": {
    before: [2n, 1n],
    prepare: two,
    async run(storage) {
      return (await save(storage, 3n)).meta.lastIncludedIndex;
    },
  },
  "a save with a file that is reused": {
    before: [2n, 1n],
    prepare: two,
    async run(storage) {
      const reader = await storage.open(2n);
      await reader.close();
      const { same, ...rest } = contentOf(3n);
      const writer = await storage.create();
      try {
        if (!await writer.reuse([reader.info("same")])) await pieces(same!).pipeTo(writer.file("same"));
        for (const [name, content] of Object.entries(rest)) await pieces(content).pipeTo(writer.file(name));
        await writer.commit({ lastIncludedIndex: 3n, lastIncludedTerm: 1n, peers: ["p1"] });
      } finally {
        await writer.abort();
      }
      return 3n;
    },
  },
  "an install that is gone on with": {
    before: [2n, 1n],
    async prepare(root, five) {
      await two(root);
      await withStorage(root, async (storage) => assert.isFalse(await receive(storage, five, 1)));
    },
    async run(storage, five) {
      await receive(storage, five);
      return 5n;
    },
  },
  "a damaged snapshot put aside": {
    before: [1n],
    damaged: 2n,
    async prepare(root) {
      await two(root);
      await flip(`${directoryOf(root, 2n)}/state`, 270_000);
    },
    async run(storage) {
      const reader = await storage.open(2n);
      try {
        await rejects(bytesOf(reader.file("state")), "CORRUPT");
      } finally {
        await reader.close();
      }
      return (await save(storage, 3n)).meta.lastIncludedIndex;
    },
    async again(storage) {
      await save(storage, 3n);
      return 3n;
    },
  },
};

/** The indices of the snapshots that can be opened; fails unless each is whole. */
async function seen(storage: SnapshotStorage, damaged: bigint | undefined): Promise<bigint[]> {
  if (damaged !== undefined && (await storage.list()).some(({ meta }) => meta.lastIncludedIndex === damaged)) {
    const reader = await storage.open(damaged);
    await rejects(bytesOf(reader.file("state")), "CORRUPT");
    await reader.close();
  }
  return await wholeOnes(storage);
}

/** The newest that were acknowledged are seen; of those that were not, at most the one that was about to be. */
function keepsPromise(acknowledged: readonly bigint[], seen: readonly bigint[], unacknowledged: boolean): void {
  for (const index of [...acknowledged].sort((a, b) => a < b ? 1 : -1).slice(0, 2)) assert.include(seen, index);
  assert.isAtMost(seen.filter((index) => !acknowledged.includes(index)).length, unacknowledged ? 1 : 0);
}

/** One run with one fault. Returns what failed; nothing if the fault was not reached. */
async function runOnce(root: string, scenario: Scenario, five: SnapshotManifest, fault: Fault, at: number) {
  const disk = new FaultyDisk(fault, at);
  const acknowledged = [...scenario.before];
  let storage: DirectoryStorage | undefined;
  try {
    storage = await DirectoryStorage.open(root, { disk });
    const index = await scenario.run(storage, five);
    if (index !== undefined) acknowledged.push(index);
  } catch (error) {
    if (disk.failed === undefined) throw error;
  }
  if (fault === "once") await disk.end(); // from here on it works
  if (fault === "once" && storage !== undefined) {
    keepsPromise(acknowledged, await seen(storage, scenario.damaged), false);
    if (acknowledged.length === scenario.before.length) {
      acknowledged.push((await (scenario.again ?? scenario.run)(storage, five))!);
      keepsPromise(acknowledged, await seen(storage, scenario.damaged), false);
    }
  }
  await storage?.close().catch((error) => {
    if (fault === "once") throw error;
  });
  await disk.end();

  await withStorage(root, async (storage) => {
    assert.deepEqual(storage.damaged, []);
    keepsPromise(acknowledged, await seen(storage, scenario.damaged), fault !== "once");
  });
  const names = await namesIn(root);
  assert.deepEqual(names.filter((name) => !/^(\.lock|(snapshot_|install-|corrupt-2-).*)$/.test(name)), []);
  return disk.failed;
}

for (const [what, scenario] of Object.entries(SCENARIOS)) {
  for (const fault of ["once", "crash", "power"] as const) {
    test(`the disk fails (${fault}) at each operation of: ${what}`, () =>
      inTemp(async (directory) => {
        const five = await manifestOf5();
        await scenario.prepare(`${directory}/prepared`, five);
        const failed: string[] = [];
        for (let at = 1;; at++) {
          const root = `${directory}/${at}`;
          await cp(`${directory}/prepared`, root, { recursive: true });
          try {
            const failure = await runOnce(root, scenario, five, fault, at);
            if (failure === undefined) break;
            failed.push(failure);
          } catch (error) {
            throw new Error(`Operation ${at}, after ${failed.at(-1)}: ${error}`, { cause: error });
          }
          await rm(root, { recursive: true });
        }
        assert.isAbove(failed.length, 40);
      }));
  }
}
