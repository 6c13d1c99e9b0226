// Keyed state in LevelDB, RocksDB and SQLite, at 10^6 entries.

import { StoredState, stringKeys, utf8Codec } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { databases } from "../support/databases.ts";
import { applying, quantile } from "./applying.ts";
import { median, report, seconds } from "./report.ts";

const SIZE = 1e6;
/** Changes that are awaited together. */
const BATCH = 1000;

const keyOf = (i: number) => `user:${i}`;
const random = () => Math.floor(Math.random() * SIZE);

/** All that there are on this runtime. */
export async function benchDatabases(directory: string): Promise<void> {
  for (const [name, open] of Object.entries(databases)) {
    if (name === "memory-level") continue;
    const database = await open(`${directory}/${name}`);
    const state = await StoredState.open(database.engine, { keys: stringKeys(), incremental: true });
    const values = state.value("values", utf8Codec());
    const change = (count: number, key: (i: number) => string) =>
      batches(count, async (i) => await values.set(key(i), `value number ${i} of a map`));
    await change(SIZE, keyOf);

    const storage = await DirectoryStorage.open(`${directory}/${name}-snapshots`, { retain: 1 });
    let index = 0n;
    const pauses: number[] = [];
    const save = async () => {
      const writer = await storage.create();
      const start = performance.now();
      const task = state.save();
      pauses.push(performance.now() - start);
      await task.write(writer, new AbortController().signal);
      const info = await writer.commit({ lastIncludedIndex: ++index, lastIncludedTerm: 1n, peers: [] });
      task.committed!(info);
      task.release();
      return info;
    };
    const before = performance.now();
    const { size } = await save();
    const full = (performance.now() - before) / 1000;
    report("state", `${name}: full save`, SIZE / full / 1e6, "M entries/s");
    for (const share of [0.01, 0.1]) {
      const { size: sizeBefore } = (await storage.list())[0]!;
      await change(SIZE * share, () => keyOf(random()));
      let after = 0;
      const time = await seconds(async () => after = (await save()).size);
      report("state", `${name}: save after ${share * 100} %: bytes / full`, (after - sizeBefore) / size, "ratio");
      report("state", `${name}: save after ${share * 100} %: time / full`, time / full, "ratio");
    }

    for (let round = 0; round < 50; round++) { // and of saves that come to nothing
      await change(100, () => keyOf(random()));
      const start = performance.now();
      const task = state.save();
      pauses.push(performance.now() - start);
      task.release();
      await new Promise((resolve) => setTimeout(resolve, 5)); // until the view is given back
    }
    const set = () => values.set(keyOf(random()), "changed");
    const all = await StoredState.open(database.engine, { keys: stringKeys() });
    all.value("values", utf8Codec());
    const during = await applying(set, 32, async () => {
      const writer = await storage.create();
      const task = all.save();
      await task.write(writer, new AbortController().signal);
      await writer.abort();
      task.release();
    });
    const alone = await applying(set, 32, () => new Promise((resolve) => setTimeout(resolve, during.duration)));
    report("state", `${name}: set while saving / idle`, during.rate / alone.rate, "ratio");
    for (const [what, { latencies }] of [["idle", alone], ["saving", during]] as const) {
      const sorted = [...latencies].sort((a, b) => a - b);
      report("state", `${name}: p99 of set, ${what}`, quantile(sorted, 0.99), "ms");
      report("state", `${name}: p99.9 of set, ${what}`, quantile(sorted, 0.999), "ms");
    }
    await storage.open().then(async (reader) => {
      report("state", `${name}: load`, SIZE / await seconds(() => state.load(reader)) / 1e6, "M entries/s");
      await reader.close();
    });
    report("state", `${name}: synchronous part, median of ${pauses.length}`, median(pauses), "ms", { atMost: 0.1 });
    report("state", `${name}: synchronous part, longest`, Math.max(...pauses), "ms");
    await storage.close();
    await state.close();
    await database.close();
  }
}

async function batches(count: number, work: (i: number) => Promise<void>): Promise<void> {
  for (let at = 0; at < count; at += BATCH) {
    await Promise.all(Array.from({ length: Math.min(BATCH, count - at) }, (_, i) => work(at + i)));
  }
}
