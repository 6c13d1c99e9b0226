// The other side of `follow`: followers with a log and a storage each on a disk. Each line that it reads is an index: once
// that is applied by all, it prints a line of what it saw since the line before. Ends with its input.

import process from "node:process";
import { createInterface } from "node:readline";
import { KeyValueMachine, Replica, utf8Codec } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { SqliteLog } from "../../src/log/sqlite.ts";

const [url, directory, count] = process.argv.slice(2) as [string, string, string];
let lags: number[] = [];

async function open(directory: string) {
  const machine = new KeyValueMachine(utf8Codec());
  const apply = machine.apply.bind(machine);
  machine.apply = (entry) => {
    if (entry.time !== undefined) lags.push(Date.now() - entry.time);
    return apply(entry);
  };
  const log = await SqliteLog.open(`${directory}/log.db`);
  const storage = await DirectoryStorage.open(`${directory}/snapshots`);
  const replica = await Replica.open({ machine, log, storage });
  return { replica, follower: replica.follow([url]) };
}

const all = await Promise.all(Array.from({ length: Number(count) }, (_, i) => open(`${directory}/${i}`)));
console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  await Promise.all(all.map(({ follower }) => follower.caughtUp(BigInt(line))));
  lags.sort((a, b) => a - b);
  console.log(JSON.stringify({ p50: lags[Math.floor(lags.length / 2)], p99: lags[Math.floor(lags.length * 0.99)] }));
  lags = [];
}
await Promise.all(all.map(({ replica }) => replica.close()));
process.exit(0);
