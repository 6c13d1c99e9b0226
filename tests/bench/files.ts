// 4,000 files of 4 KiB: saved one after another and sixteen at a time, and pulled, against writing and syncing as many
// sixteen at a time with `node:fs`. In rounds, so that all share what else the machine does.

import { mkdir, open, rm } from "node:fs/promises";
import { pull, type SnapshotWriter } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { inTemp } from "../support/temp.ts";
import { firstLine, startModule } from "./child.ts";
import { randomBytes, report, Rounds } from "./report.ts";

const FILES = 4000;
const AT_A_TIME = 16;
const content = randomBytes(FILES * 4096);
const files = Array.from({ length: FILES }, (_, i) => `d${i % 40}/f${i}`);
const bytesOf = (i: number) => content.subarray(i * 4096, (i + 1) * 4096);

/** Does something for each file, so many at a time. */
async function each(atATime: number, work: (name: string, i: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(Array.from({ length: atATime }, async () => {
    for (let i = next++; i < FILES; i = next++) await work(files[i]!, i);
  }));
}

async function plain(root: string): Promise<void> {
  for (let i = 0; i < 40; i++) await mkdir(`${root}/d${i}`, { recursive: true });
  await each(AT_A_TIME, async (name, i) => {
    const file = await open(`${root}/${name}`, "wx");
    await file.write(bytesOf(i), 0, 4096, 0);
    await file.datasync();
    await file.close();
  });
}

async function write(writer: SnapshotWriter, name: string, i: number): Promise<void> {
  const stream = writer.file(name).getWriter();
  await stream.write(bytesOf(i));
  await stream.close();
}

async function save(root: string, atATime: number): Promise<void> {
  const storage = await DirectoryStorage.open(root);
  const writer = await storage.create();
  await each(atATime, (name, i) => write(writer, name, i));
  await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
  await storage.close();
}

async function pullAll(url: string, root: string): Promise<void> {
  const storage = await DirectoryStorage.open(root);
  await pull(storage, [url]).result;
  await storage.close();
}

await inTemp(async (directory) => {
  await save(`${directory}/source`, AT_A_TIME);
  const server = startModule("pull_server", `${directory}/source`);
  const url = await firstLine(server);
  const target = `${directory}/target`;
  const rounds = new Rounds(() => rm(target, { recursive: true, force: true }));
  await rounds.run(3, {
    limit: () => plain(target),
    "saved one after another": () => save(target, 1),
    "saved sixteen at a time": () => save(target, AT_A_TIME),
    pulled: () => pullAll(url, target),
  });
  server.stdin!.end();
  report("files", "node:fs, sixteen at a time", rounds.median("limit"), "s");
  for (const name of ["saved one after another", "saved sixteen at a time", "pulled"]) {
    report("files", name, rounds.median(name), "s");
    report("files", `  cpu`, rounds.cpu(name), "s");
    report("files", `${name} / node:fs`, rounds.ratio(name, "limit"), "ratio", { atMost: 1.2 });
  }
  rounds.reportNoise("files");
});
