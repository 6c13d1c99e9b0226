// 1 GiB over loopback to a durable snapshot, against fetching the same file to the disk with fdatasync.

import { open, rm } from "node:fs/promises";
import { pull } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { inTemp } from "../support/temp.ts";
import { firstLine, startModule } from "./child.ts";
import { randomBytes, repeated, report, seconds, warmPages } from "./report.ts";

const MiB = 1024 * 1024;
const SIZE = 1024 * MiB;
const ROUNDS = 5;

async function fetchToFile(url: string, path: string): Promise<void> {
  const file = await open(path, "w");
  let position = 0;
  for await (const piece of (await fetch(`${url}/raw`)).body!) {
    await file.write(piece, 0, piece.length, position);
    position += piece.length;
  }
  await file.datasync();
  await file.close();
  if (position !== SIZE) throw new Error(`${position} bytes`);
}

async function pullSnapshot(url: string, root: string): Promise<void> {
  const storage = await DirectoryStorage.open(root);
  await pull(storage, [url]).result;
  await storage.close();
}

await inTemp(async (directory) => {
  const source = await DirectoryStorage.open(`${directory}/source`);
  const writer = await source.create();
  await repeated(randomBytes(255 * MiB + 1), SIZE).pipeTo(writer.file("state")); // no two chunks are the same
  await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
  await source.close();
  const server = startModule("pull_server", `${directory}/source`);
  const url = await firstLine(server);
  const rates: Record<"fetch" | "pull", number[]> = { fetch: [], pull: [] };
  for (let round = 0; round < ROUNDS; round++) {
    await warmPages(`${directory}/warm`, SIZE);
    const fetched = SIZE / MiB / await seconds(() => fetchToFile(url, `${directory}/raw`));
    await rm(`${directory}/raw`);
    await warmPages(`${directory}/warm`, SIZE);
    const pulled = SIZE / MiB / await seconds(() => pullSnapshot(url, `${directory}/target`));
    await rm(`${directory}/target`, { recursive: true });
    rates.fetch.push(fetched);
    rates.pull.push(pulled);
  }
  server.stdin!.end();
  // The best of each: see `save`.
  const best = { fetch: Math.max(...rates.fetch), pull: Math.max(...rates.pull) };
  report("pull", "fetch to a file + fdatasync", best.fetch, "MiB/s");
  report("pull", "pull to a durable snapshot", best.pull, "MiB/s");
  report("pull", "pull / fetch", best.pull / best.fetch, "ratio", { atLeast: 0.6 });
});
