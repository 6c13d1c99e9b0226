// 1 GiB of random bytes to a durable snapshot, against what the machine can do: the lower of writing a file with
// fdatasync and of hashing in parallel. All three in each round, since a shared disk is not the same from one to the next.

import { open, rm } from "node:fs/promises";
import { DirectoryStorage } from "../../src/storage/directory.ts";
import { sha256 } from "../../src/stream/mod.ts";
import { inTemp } from "../temp.ts";
import { median, randomBytes, repeated, report, seconds } from "./report.ts";

const MiB = 1024 * 1024;
const SIZE = 1024 * MiB;
const ROUNDS = 5;
const block = randomBytes(16 * MiB);

/** Several at a time, so many in all. */
async function inParallel(at_once: number, count: number, work: (i: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: at_once }, async () => {
    while (next < count) await work(next++);
  }));
}

async function rawWrite(path: string): Promise<void> {
  const file = await open(path, "w");
  await inParallel(2, SIZE / MiB, (i) => file.write(block, (i % 16) * MiB, MiB, i * MiB));
  await file.datasync();
  await file.close();
}

const parallelSha = () =>
  inParallel(8, SIZE / MiB * 4, (i) => sha256(block.subarray((i % 64) * MiB / 4, (i % 64 + 1) * MiB / 4)));

async function save(root: string): Promise<void> {
  const storage = await DirectoryStorage.open(root, { retain: 1 });
  const writer = await storage.create();
  await repeated(block, SIZE).pipeTo(writer.file("state"));
  await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
  await storage.close();
}

await inTemp(async (directory) => {
  const rates: Record<"raw" | "sha" | "save", number[]> = { raw: [], sha: [], save: [] };
  const ratios: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const raw = SIZE / MiB / await seconds(() => rawWrite(`${directory}/raw`));
    await rm(`${directory}/raw`);
    const sha = SIZE / MiB / await seconds(parallelSha);
    const saved = SIZE / MiB / await seconds(() => save(`${directory}/storage`));
    await rm(`${directory}/storage`, { recursive: true });
    rates.raw.push(raw);
    rates.sha.push(sha);
    rates.save.push(saved);
    ratios.push(saved / Math.min(raw, sha));
  }
  report("save", "raw write + fdatasync", median(rates.raw), "MiB/s");
  report("save", "parallel SHA-256", median(rates.sha), "MiB/s");
  report("save", "durable snapshot", median(rates.save), "MiB/s");
  report("save", "snapshot / the lower of both", median(ratios), "ratio", { atLeast: 0.8 });
});
