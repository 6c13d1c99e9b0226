// How time grows with what there is: bytes, files, snapshots, entries of a log. The exponent is that of the largest step:
// 1 is linear, 0 is constant.

import { rm } from "node:fs/promises";
import { jsonCodec, KeyValueMachine, MemoryStorage, Replica } from "../../mod.ts";
import { SqliteLog } from "../../src/log/sqlite.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { inTemp } from "../support/temp.ts";
import { median, randomBytes, repeated, report, seconds } from "./report.ts";

const MiB = 1024 * 1024;
const ROUNDS = 3;
const block = randomBytes(MiB);

/** Something whose time grows with a number. */
interface Growing {
  readonly what: string;
  readonly unit: string;
  readonly counts: readonly number[];
  /** Prepares for a count, in a directory of its own; returns what is measured, which leaves all as it was. */
  readonly prepare: (count: number, root: string) => Promise<() => Promise<unknown>>;
  readonly atMost: number;
  /** How many times as long the most may take as the fewest. */
  readonly ratio?: number;
}

async function save(root: string, files: number, bytes: number): Promise<void> {
  const storage = await DirectoryStorage.open(root);
  const writer = await storage.create();
  for (let i = 0; i < files; i++) await repeated(block, bytes).pipeTo(writer.file(`d${i % 100}/f${i}`));
  await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
  await storage.close();
}

/** Saves anew each time. */
function saving(files: (count: number) => number, bytes: (count: number) => number): Growing["prepare"] {
  return (count, root) =>
    Promise.resolve(async () => {
      await save(root, files(count), bytes(count));
      await rm(root, { recursive: true });
    });
}

async function manySnapshots(count: number, root: string): Promise<() => Promise<void>> {
  const storage = await DirectoryStorage.open(root, { durability: "none", retain: count });
  for (let i = 1; i <= count; i++) {
    const writer = await storage.create();
    await repeated(block, 100).pipeTo(writer.file("state"));
    await writer.commit({ lastIncludedIndex: BigInt(i), lastIncludedTerm: 1n, peers: [] });
  }
  await storage.close();
  return async () => {
    const opened = await DirectoryStorage.open(root, { retain: count });
    await (await opened.open()).close();
    await opened.close();
  };
}

async function longLog(count: number, root: string): Promise<() => Promise<void>> {
  const open = async () => {
    const machine = new KeyValueMachine(jsonCodec<number>());
    return await Replica.open({ machine, log: await SqliteLog.open(root), storage: new MemoryStorage() });
  };
  const replica = await open();
  for (let at = 0; at < count; at += 1000) {
    await Promise.all(
      Array.from({ length: Math.min(1000, count - at) }, (_, i) => {
        return replica.propose(replica.machine.put(`key${(at + i) % 1000}`, at + i));
      }),
    );
  }
  await replica.close();
  return async () => await (await open()).close();
}

const all: readonly Growing[] = [
  { what: "save", unit: "MiB", counts: [64, 256, 1024, 4096], prepare: saving(() => 1, (n) => n * MiB), atMost: 1.05 },
  { what: "save", unit: "files", counts: [10, 100, 1000, 10_000], prepare: saving((n) => n, () => 4096), atMost: 1.05 },
  { what: "open", unit: "snapshots", counts: [1, 10, 100, 1000], prepare: manySnapshots, atMost: 0.3, ratio: 2 },
  { what: "replay", unit: "entries", counts: [1e3, 1e4, 1e5, 1e6], prepare: longLog, atMost: 1.05 },
];

await inTemp(async (directory) => {
  for (const [i, { what, unit, counts, prepare, atMost, ratio }] of all.entries()) {
    const times: number[] = [];
    for (const count of counts) {
      const root = `${directory}/${i}-${count}`;
      const work = await prepare(count, root);
      const took: number[] = [];
      for (let round = 0; round < ROUNDS; round++) took.push(await seconds(work));
      times.push(median(took));
      report("growth", `${what}, ${count} ${unit}`, times.at(-1)!, "s");
      await rm(root, { recursive: true, force: true });
    }
    const [before, last] = times.slice(-2) as [number, number];
    const [fewer, most] = counts.slice(-2) as [number, number];
    const exponent = Math.log(last / before) / Math.log(most / fewer);
    report("growth", `${what}, by ${unit}: exponent`, exponent, "", { atMost });
    if (ratio === undefined) continue;
    report("growth", `${what}, ${most} ${unit} / ${counts[0]}`, last / times[0]!, "ratio", { atMost: ratio });
  }
});
