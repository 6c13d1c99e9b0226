// Keyed state: what a save costs those who apply meanwhile, what it costs by itself, in full and of what changed, and how
// fast it is loaded; beside what one would do without. Then the same in databases.

import { open, readFile, rm } from "node:fs/promises";
import process from "node:process";
import { serialize } from "node:v8";
import { KeyedState, KeyValueMachine, Replica, type SnapshotInfo, stringKeys, utf8Codec } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { inTemp } from "../support/temp.ts";
import { applying, arriving, quantile } from "./applying.ts";
import { ForgetfulLog } from "./forgetful_log.ts";
import { median, report, seconds } from "./report.ts";
import { benchDatabases } from "./state_databases.ts";

const SIZES = [1e6, 1e7];
/** Proposals that are under way at the same time. */
const WINDOW = 32;
/** Commands that arrive in a millisecond where it is measured how long each waits. */
const ARRIVING = 5;

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
  let index = 0n;
  const pauses: number[] = [];
  const save = async (from: KeyedState<string>): Promise<{ readonly info: SnapshotInfo; readonly time: number }> => {
    let info: SnapshotInfo;
    const time = await seconds(async () => {
      const writer = await storage.create();
      const start = performance.now();
      const task = from.save()!;
      pauses.push(performance.now() - start);
      await task.write(writer, new AbortController().signal);
      info = await writer.commit({ lastIncludedIndex: ++index, lastIncludedTerm: 1n, peers: [] });
      task.committed!(info);
      task.release();
    });
    return { info: info!, time };
  };

  const filled = (incremental: boolean) => {
    const state = new KeyedState({ keys: stringKeys(), incremental });
    const values = state.value("values", utf8Codec());
    for (let i = 0; i < size; i++) values.set(keyOf(i), valueOf(i));
    return { state, values };
  };

  const plain = filled(false);
  await save(plain.state); // until it is compiled
  const rss = () => process.memoryUsage().rss / 2 ** 20;
  const before = rss();
  let peak = before;
  const watch = setInterval(() => peak = Math.max(peak, rss()), 5);
  const fulls: number[] = [];
  for (let round = 0; round < 3; round++) fulls.push((await save(plain.state)).time);
  clearInterval(watch);
  plain.state.clear();
  const fullTime = median(fulls);
  report("state", `full save, ${name}`, size / fullTime / 1e6, "M entries/s");
  report("state", `memory while saving, above before, ${name}`, peak - before, "MiB", { atMost: 64 });

  const { state, values } = filled(true);
  const { size: fullBytes } = (await save(state)).info;
  report("state", `full save, bytes, ${name}`, fullBytes, "bytes");
  for (const share of [0.01, 0.1]) {
    const times: number[] = [];
    let bytes = 0;
    for (let round = 0; round < 3; round++) {
      const { size: sizeBefore } = (await storage.list())[0]!;
      for (let i = 0; i < size * share; i++) values.set(keyOf(random(size)), valueOf(i));
      const { info, time } = await save(state);
      times.push(time);
      bytes = info.size - sizeBefore;
    }
    const goals = share === 0.01 ? [{ atMost: 0.02 }, { atMost: 0.05 }] : [undefined, undefined];
    report("state", `save after ${share * 100} %: bytes / full, ${name}`, bytes / fullBytes, "ratio", goals[0]);
    report("state", `save after ${share * 100} %: time / full, ${name}`, median(times) / fullTime, "ratio", goals[1]);
  }
  for (let round = 0; round < 100; round++) { // and of saves that come to nothing
    for (let i = 0; i < 1000; i++) values.set(keyOf(random(size)), valueOf(i));
    const start = performance.now();
    const task = state.save()!;
    pauses.push(performance.now() - start);
    task.release();
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

  state.clear();
  const whole = filled(false);
  await save(whole.state);
  whole.state.clear();
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
  const replica = await Replica.open({ machine, log: new ForgetfulLog(), storage, triggers });
  for (let i = 0; i < size; i++) {
    machine.apply({ index: 1n, term: 1n, data: machine.put(keyOf(i), valueOf(i)) });
  }
  const propose = () => replica.propose(machine.put(keyOf(random(size)), "changed"));
  await applying(propose, WINDOW, () => new Promise((resolve) => setTimeout(resolve, 1000))); // until it is compiled
  const ratios: number[] = [];
  for (let round = 0; round < 3; round++) {
    const during = await applying(propose, WINDOW, () => replica.snapshot().result);
    const alone = await applying(propose, WINDOW, () => new Promise((resolve) => setTimeout(resolve, during.duration)));
    ratios.push(during.rate / alone.rate);
  }
  report("state", `applied while saving / idle, ${name}`, median(ratios), "ratio", { atLeast: 0.7 });

  const apply = () => machine.apply({ index: 1n, term: 1n, data: machine.put(keyOf(random(size)), "changed") });
  for (const what of ["idle", "saving"]) {
    await propose(); // so that there is something to save
    const wait = () => new Promise((resolve) => setTimeout(resolve, 3000));
    const latencies = await arriving(apply, ARRIVING, what === "idle" ? wait : () => replica.snapshot().result);
    latencies.sort();
    report("state", `p99 of apply, ${what}, ${name}`, quantile(latencies, 0.99), "ms");
    const goal = what === "saving" ? { atMost: 5 } : undefined;
    report("state", `p99.9 of apply, ${what}, ${name}`, quantile(latencies, 0.999), "ms", goal);
  }
  await replica.close();
}

function timeOf(work: () => unknown): Promise<number> {
  return seconds(() => Promise.resolve(work()));
}
