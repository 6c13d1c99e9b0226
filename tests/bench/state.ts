// Keyed state: what a save costs those who apply meanwhile, what it costs by itself, in full and of what changed, and how
// fast it is loaded; beside what one would do without. Then the same in databases.

import { open, readFile, rm } from "node:fs/promises";
import process from "node:process";
import { serialize } from "node:v8";
import {
  KeyedState,
  KeyValueMachine,
  MemoryLog,
  Replica,
  type SnapshotInfo,
  stringKeys,
  utf8Codec,
} from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory.ts";
import { inTemp } from "../temp.ts";
import { applying, quantile } from "./applying.ts";
import { median, report, seconds } from "./report.ts";
import { benchDatabases } from "./state_databases.ts";

const SIZES = [1e6, 1e7];
/** Proposals that are under way at the same time. */
const WINDOW = 32;

const keyOf = (i: number) => `user:${i}`;
const valueOf = (i: number) => `value number ${i} of a map`;
const random = (size: number) => Math.floor(Math.random() * size);

for (const size of SIZES) {
  await inTemp(async (directory) => {
    await inMemory(size, directory);
    await whileApplying(size, directory);
  });
}
await inTemp(benchDatabases);

/** One save after the other, with nothing else going on. */
async function inMemory(size: number, directory: string): Promise<void> {
  const name = `${size.toExponential().replace("+", "")} entries`;
  const storage = await DirectoryStorage.open(`${directory}/snapshots`, { retain: 1 });
  const state = new KeyedState({ keys: stringKeys(), incremental: { maxShare: 0.5 } });
  const values = state.value("values", utf8Codec());
  for (let i = 0; i < size; i++) values.set(keyOf(i), valueOf(i));
  let index = 0n;
  const pauses: number[] = [];

  const save = async (from = state): Promise<{ readonly info: SnapshotInfo; readonly time: number }> => {
    let info: SnapshotInfo;
    const time = await seconds(async () => {
      const writer = await storage.create();
      const start = performance.now();
      const task = from.save();
      if (from === state) pauses.push(performance.now() - start);
      await task.write(writer, new AbortController().signal);
      info = await writer.commit({ lastIncludedIndex: ++index, lastIncludedTerm: 1n, peers: [] });
      task.committed!(info);
      task.release();
    });
    return { info: info!, time };
  };
  const rss = () => process.memoryUsage().rss / 2 ** 20;
  const first = await save();
  const before = rss();
  let peak = before;
  const watch = setInterval(() => peak = Math.max(peak, rss()), 5);
  const fulls = [first.time];
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < size * 0.51; i++) values.set(keyOf(i), valueOf(i)); // more than half: a full one
    fulls.push((await save()).time);
  }
  clearInterval(watch);
  const fullTime = median(fulls);
  report("state", `full save, ${name}`, size / fullTime / 1e6, "M entries/s");
  report("state", `full save, bytes, ${name}`, first.info.size, "bytes");
  report("state", `memory while saving, above before, ${name}`, peak - before, "MiB");

  for (const share of [0.01, 0.1]) {
    const times: number[] = [];
    let bytes = 0;
    for (let round = 0; round < 3; round++) {
      const { size: sizeBefore } = (await storage.list())[0]!;
      for (let i = 0; i < size * share; i++) values.set(keyOf(random(size)), valueOf(i));
      const { info, time } = await save();
      times.push(time);
      bytes = info.size - sizeBefore;
    }
    const goals = share === 0.01 ? [{ atMost: 0.02 }, { atMost: 0.05 }] : [undefined, undefined];
    report("state", `save after ${share * 100} %: bytes / full, ${name}`, bytes / first.info.size, "ratio", goals[0]);
    report("state", `save after ${share * 100} %: time / full, ${name}`, median(times) / fullTime, "ratio", goals[1]);
  }
  report("state", `synchronous part, median of ${pauses.length}, ${name}`, median(pauses), "ms", { atMost: 0.1 });
  report("state", `synchronous part, longest, ${name}`, Math.max(...pauses), "ms");

  // Beside it: what others do with the same entries.
  const path = `${directory}/state.json`;
  const map = new Map(values.entries());
  const json = await seconds(async () => {
    const text = JSON.stringify([...map]);
    const file = await open(path, "w");
    await file.writeFile(text);
    await file.datasync();
    await file.close();
  });
  report("state", `JSON.stringify + write + fdatasync / full save, ${name}`, json / fullTime, "ratio", { atLeast: 1 });
  report("state", `v8.serialize / full save, ${name}`, await timeOf(() => serialize(map)) / fullTime, "ratio");
  report("state", `structuredClone / full save, ${name}`, await timeOf(() => structuredClone(map)) / fullTime, "ratio");
  map.clear();

  const base = new KeyedState({ keys: stringKeys() });
  const baseValues = base.value("values", utf8Codec());
  for (const [key, value] of values.entries()) baseValues.set(key, value);
  state.clear();
  await save(base);
  base.clear();
  const loads: number[] = [];
  const parses: number[] = [];
  for (let round = 0; round < (size > 1e6 ? 1 : 3); round++) {
    const loaded = new KeyedState({ keys: stringKeys() });
    loaded.value("values", utf8Codec());
    const reader = await storage.open();
    loads.push(await seconds(() => loaded.load(reader)));
    await reader.close();
    if (loaded.size !== size) throw new Error(`${loaded.size} entries were loaded, not ${size}`);
    loaded.clear();
    parses.push(await seconds(async () => new Map(JSON.parse(await readFile(path, "utf8")))));
  }
  report("state", `load, ${name}`, size / median(loads) / 1e6, "M entries/s");
  report("state", `read + JSON.parse + new Map / load, ${name}`, median(parses) / median(loads), "ratio", {
    atLeast: 1,
  });
  await rm(path);
  await storage.close();
}

/** What those who propose see of a save. */
async function whileApplying(size: number, directory: string): Promise<void> {
  const name = `${size.toExponential().replace("+", "")} entries`;
  const storage = await DirectoryStorage.open(`${directory}/replica`, { retain: 1 });
  const machine = new KeyValueMachine(utf8Codec());
  const triggers = { interval: 0, entries: 0 };
  const replica = await Replica.open({ machine, log: new MemoryLog(), storage, triggers, purge: { gap: 1 } });
  for (let i = 0; i < size; i++) {
    machine.apply({ index: 1n, term: 1n, data: machine.put(keyOf(i), valueOf(i)) });
  }
  const propose = () => replica.propose(machine.put(keyOf(random(size)), "changed"));
  await applying(propose, WINDOW, () => new Promise((resolve) => setTimeout(resolve, 1000))); // until it is compiled
  const ratios: number[] = [];
  const idle: number[] = [];
  const saving: number[] = [];
  for (let round = 0; round < 3; round++) {
    const snapshot = () => replica.snapshot().result;
    const during = await applying(propose, WINDOW, snapshot);
    const alone = await applying(propose, WINDOW, () => new Promise((resolve) => setTimeout(resolve, during.duration)));
    ratios.push(during.rate / alone.rate);
    idle.push(...alone.latencies);
    saving.push(...during.latencies);
  }
  report("state", `applied while saving / idle, ${name}`, median(ratios), "ratio", { atLeast: 0.7 });
  for (const [what, latencies] of [["idle", idle], ["saving", saving]] as const) {
    latencies.sort((a, b) => a - b);
    report("state", `p99 of propose, ${what}, ${name}`, quantile(latencies, 0.99), "ms");
    const goal = what === "saving" ? { atMost: 5 } : undefined;
    report("state", `p99.9 of propose, ${what}, ${name}`, quantile(latencies, 0.999), "ms", goal);
  }
  await replica.close();
}

function timeOf(work: () => unknown): Promise<number> {
  return seconds(() => Promise.resolve(work()));
}
