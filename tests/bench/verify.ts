// 1 GiB on the disk, read and verified, against the lower of reading it and of hashing as much, both several at a time.

import { open } from "node:fs/promises";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { sha256 } from "../../src/stream/mod.ts";
import { inTemp } from "../support/temp.ts";
import { inParallel, randomBytes, repeated, report, Rounds } from "./report.ts";

const MiB = 1024 * 1024;
const SIZE = 1024 * MiB;
const CHUNK = MiB / 4;
const ROUNDS = 5;
const block = randomBytes(16 * MiB);

async function hash(): Promise<void> {
  await inParallel(8, SIZE / CHUNK, (i) => sha256(block.subarray((i % 64) * CHUNK, (i % 64 + 1) * CHUNK)));
}

async function read(path: string): Promise<void> {
  const file = await open(path);
  const buffers = Array.from({ length: 4 }, () => new Uint8Array(MiB));
  await inParallel(4, SIZE / MiB, async (i) => {
    const buffer = buffers.pop()!;
    await file.read(buffer, 0, MiB, i * MiB);
    buffers.push(buffer);
  });
  await file.close();
}

await inTemp(async (directory) => {
  const storage = await DirectoryStorage.open(directory);
  const writer = await storage.create();
  await repeated(block.subarray(1), SIZE).pipeTo(writer.file("state"));
  await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
  const reader = await storage.open();
  const rounds = new Rounds();
  await rounds.run(ROUNDS, {
    "SHA-256": hash,
    "read": () => read(`${directory}/snapshot_00000000000000000001/state`),
    "verify": () => reader.verify().result,
    "all read, verified": async () => {
      for await (const _ of reader.file("state"));
    },
  });
  await reader.close();
  await storage.close();
  for (const name of ["SHA-256", "read", "verify", "all read, verified"]) {
    report("verify", name, SIZE / MiB / rounds.median(name), "MiB/s");
    report("verify", `  cpu`, rounds.cpu(name), "s");
  }
  const slower = rounds.median("read") > rounds.median("SHA-256") ? "read" : "SHA-256";
  report("verify", "verify / the lower of reading and SHA-256", rounds.ratio(slower, "verify"), "ratio", {
    atLeast: 0.8,
  });
  rounds.reportNoise("verify");
});
