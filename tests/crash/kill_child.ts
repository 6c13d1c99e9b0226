// A replica on a real disk that proposes, saves and installs without end, and may be killed at any moment. First it looks
// whether it is what it was. It says what it acknowledges. kill_child DIRECTORY SEED

import { readdirSync, writeSync } from "node:fs";
import process from "node:process";
import { archive, KeyValueMachine, MemoryStorage, Replica, utf8Codec } from "../../mod.ts";
import { SqliteLog } from "../../src/sqlite.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { Random } from "../support/random.ts";

const KEYS = 50;
type Machine = KeyValueMachine<string>;

const newMachine = (incremental: boolean): Machine => new KeyValueMachine(utf8Codec(), { incremental });

/** Entry `i` puts `i`, and some more. */
const command = (machine: Machine, i: bigint) => machine.put(`k${i % BigInt(KEYS)}`, `${i} `.repeat(100));

function say(line: string): void {
  writeSync(1, `${line}\n`); // at once: what is said was done
}

function fail(what: string): never {
  say(`WRONG ${what}`);
  process.exit(3);
}

/** Fails unless the state is that after an entry. */
function check(machine: Machine, index: bigint): void {
  for (let i = index; i > 0n && i > index - BigInt(KEYS); i--) {
    const value = machine.get(`k${i % BigInt(KEYS)}`);
    if (value !== `${i} `.repeat(100)) fail(`entry ${i} of ${index} is ${value?.slice(0, 10)}`);
  }
}

/** The state at an index, as another node sends it. */
async function sent(index: bigint): Promise<ReadableStream<Uint8Array>> {
  const machine = newMachine(false);
  for (let i = index - BigInt(KEYS) + 1n; i <= index; i++) {
    if (i > 0n) machine.apply({ index: i, term: 1n, data: command(machine, i) });
  }
  const storage = new MemoryStorage();
  const writer = await storage.create();
  const task = machine.save()!;
  await task.write(writer, new AbortController().signal);
  task.release();
  await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [] });
  return archive(await storage.open());
}

const [, , directory, seed] = process.argv as [string, string, string, string];
const random = new Random(Number(seed));
const root = `${directory}/snapshots`;
const storage = await DirectoryStorage.open(root);
const litter = readdirSync(root).filter((name) => !/^(\.lock|snapshot_\d{20}|install-\d+-[0-9a-f]{8})$/.test(name));
if (litter.length > 0) fail(`there is ${litter}`);
if (storage.damaged.length > 0) fail(`damaged: ${storage.damaged[0]!.error.message}`);
for (const { meta } of await storage.list()) {
  const reader = await storage.open(meta.lastIncludedIndex);
  const { ok, bad } = await reader.verify().result;
  if (!ok) fail(`snapshot ${meta.lastIncludedIndex}: ${bad[0]!.message}`);
  await reader.close();
}
const log = await SqliteLog.open(`${directory}/log.db`);
const machine = newMachine(random.chance(0.5));
const triggers = { interval: 0, entries: 0 };
const replica = await Replica.open({ machine, log, storage, triggers, purge: { gap: 1 } });
check(machine, replica.status().appliedIndex);
say(`begun ${replica.status().appliedIndex}`);
for (;;) {
  const { appliedIndex } = replica.status();
  if (random.chance(0.25)) {
    const index = appliedIndex + BigInt(1 + random.below(100));
    await replica.install(await sent(index)).result;
    say(`acknowledged ${index}`);
  } else {
    const saving = replica.snapshot().result;
    const count = 1 + random.below(30);
    const proposed = Array.from(
      { length: count },
      (_, i) => replica.propose(command(machine, appliedIndex + BigInt(i + 1))),
    );
    for (const entry of proposed) say(`acknowledged ${(await entry).index}`);
    await saving;
  }
  check(machine, replica.status().appliedIndex);
}
