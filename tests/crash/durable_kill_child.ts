// A replica on a real disk whose state is in a database, which proposes, saves and installs without end, and may be killed at
// any moment. First the newest snapshot may go bad; then it looks whether it is what it was. It says what it acknowledges.
// durable_kill_child DIRECTORY SEED DATABASE

import { readdirSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import process from "node:process";
import { archive, MemoryStorage, Replica } from "../../mod.ts";
import { SqliteLog } from "../../src/sqlite.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { databases } from "../support/databases.ts";
import { Random } from "../support/random.ts";
import { saveTo } from "../support/states.ts";
import { command, contentAfter, openWords, stateAfter } from "../support/words.ts";

/** The word of an entry. */
const wordOf = (index: number) => `${"w".repeat(1 + index % 3)}${index * 5 % 31}`;
const wordsUpTo = (index: bigint) => Array.from({ length: Number(index) }, (_, i) => wordOf(i + 1));

function say(line: string): void {
  writeSync(1, `${line}\n`); // at once: what is said was done
}

const [, , directory, seed, name] = process.argv as [string, string, string, string, string];
const random = new Random(Number(seed));
const root = `${directory}/snapshots`;
if (random.chance(0.3)) rotNewest();
const words = await openWords((await databases[name]!(`${directory}/state`)).engine, {
  incremental: random.chance(0.5),
});
const replica = await Replica.open({
  machine: words.machine,
  log: await SqliteLog.open(`${directory}/log.db`),
  storage: await DirectoryStorage.open(root, { durability: "none" }),
  triggers: { interval: 0, entries: 0 },
  purge: { gap: 1 },
});
await check();
say(`begun ${replica.status().appliedIndex}`);
for (;;) {
  const { appliedIndex } = replica.status();
  if (random.chance(0.2)) {
    const index = appliedIndex + BigInt(1 + random.below(20));
    const elsewhere = new MemoryStorage();
    await saveTo(await stateAfter(wordsUpTo(index)), elsewhere, index);
    await replica.install(archive(await elsewhere.open())).result;
    say(`acknowledged ${index}`);
  } else {
    const saving = replica.snapshot().result;
    const proposed = Array.from(
      { length: 1 + random.below(30) },
      (_, i) => replica.propose(command(wordOf(Number(appliedIndex) + i + 1))),
    );
    for (const entry of proposed) say(`acknowledged ${(await entry).index}`);
    await saving;
  }
  if (random.chance(0.3)) await check();
}

/** Ends the process unless every entry was applied once. */
async function check(): Promise<void> {
  const { appliedIndex } = replica.status();
  const [found, expected] = [await words.content(), await contentAfter(wordsUpTo(appliedIndex))];
  if (found === expected) return;
  say(`WRONG at ${appliedIndex} it has ${found}, not ${expected}`);
  process.exit(3);
}

function rotNewest(): void {
  const snapshots = readdirSync(directory).includes("snapshots") ? readdirSync(root) : [];
  const newest = snapshots.filter((name) => /^snapshot_\d{20}$/.test(name)).sort().at(-1);
  if (newest === undefined) return;
  const file = `${root}/${newest}/state/0000`;
  const bytes = readFileSync(file);
  if (bytes.length === 0) return;
  bytes[bytes.length >> 1]! ^= 0xff;
  writeFileSync(file, bytes);
}
