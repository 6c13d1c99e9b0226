// 1 GiB of random bytes to a durable snapshot, against what the machine can do: the lower of writing a file with
// fdatasync and of hashing in parallel. All three in each round, since a shared disk is not the same from one to the next.

import { open, rm } from "node:fs/promises";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { sha256 } from "../../src/stream/mod.ts";
import { inTemp } from "../support/temp.ts";
import { inParallel, randomBytes, repeated, report, seconds, warmPages } from "./report.ts";

const MiB = 1024 * 1024;
const SIZE = 1024 * MiB;
const ROUNDS = 9;
const block = randomBytes(16 * MiB);

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
  for (let round = 0; round < ROUNDS; round++) {
    const sha = SIZE / MiB / await seconds(parallelSha);
    await warmPages(`${directory}/warm`, SIZE);
    const raw = SIZE / MiB / await seconds(() => rawWrite(`${directory}/raw`));
    await rm(`${directory}/raw`);
    await warmPages(`${directory}/warm`, SIZE);
    const saved = SIZE / MiB / await seconds(() => save(`${directory}/storage`));
    await rm(`${directory}/storage`, { recursive: true });
    rates.raw.push(raw);
    rates.sha.push(sha);
    rates.save.push(saved);
  }
  // The best of each: what the machine does at times beside (see `warmPages`) halves a figure, and doubles none.
  const best = { raw: Math.max(...rates.raw), sha: Math.max(...rates.sha), save: Math.max(...rates.save) };
  report("save", "raw write + fdatasync", best.raw, "MiB/s");
  report("save", "parallel SHA-256", best.sha, "MiB/s");
  report("save", "durable snapshot", best.save, "MiB/s");
  report("save", "snapshot / the lower of both", best.save / Math.min(best.raw, best.sha), "ratio", { atLeast: 0.8 });
});
