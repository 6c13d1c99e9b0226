// A replica whose log fills a small disk, and how it gets out of that. full_log_child DIRECTORY: a mounted file system of
// some MiB. With one more argument it is the process that is killed.

import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import process from "node:process";
import { type ExecutorEvent, hasCode, KeyValueMachine, Replica, utf8Codec } from "../../mod.ts";
import { messageOf } from "../../src/errors.ts";
import { SqliteLog } from "../../src/sqlite.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { commandOf } from "../support/child.ts";
import { assert, noise } from "../support/harness.ts";

const [, , mounted, killed] = process.argv as [string, string, string, string?];
const filler = `${mounted}/filler`;
const acknowledged = `${mounted}.acknowledged`;
const KEYS = 40;
const triggers = { interval: 0, entries: 0 };

type Machine = KeyValueMachine<string>;

/** Where a world is. */
class World {
  readonly directory: string;
  readonly retain: number;
  /** What was acknowledged. */
  readonly expected: Map<string, string> = new Map();
  replica!: Replica<Machine>;
  onEvent: (event: ExecutorEvent) => void = () => {};
  count = 0;
  /** How long a save that has failed waits before it is tried again: for ever, if it is to be asked for. */
  retry = { initial: 1_000_000, max: 1_000_000 };

  constructor(directory: string, retain: number) {
    this.directory = directory;
    this.retain = retain;
  }

  async open(): Promise<void> {
    const storage = await DirectoryStorage.open(`${this.directory}/snapshots`, { retain: this.retain });
    const log = await SqliteLog.open(`${this.directory}/log.db`);
    this.replica = await Replica.open({
      machine: new KeyValueMachine(utf8Codec()),
      log,
      storage,
      triggers,
      retry: this.retry,
      purge: { gap: 1 },
      onEvent: (event) => this.onEvent(event),
    });
  }

  async reopen(): Promise<void> {
    await this.replica.close();
    await this.open();
    this.check();
  }

  check(): void {
    assert.deepEqual(new Map(this.replica.machine.entries()), this.expected);
  }

  /** Whether there was room for one more entry. */
  async put(): Promise<boolean> {
    const i = this.count++;
    const [key, value] = [`k${i % KEYS}`, `${i} `.repeat(200 + i % 7 * 500)];
    try {
      await this.replica.propose(this.replica.machine.put(key, value));
    } catch (error) {
      if (!hasCode(error, "NO_SPACE")) throw error;
      return false;
    }
    this.expected.set(key, value);
    return true;
  }

  /** Proposes until the disk is full. */
  async fill(): Promise<void> {
    while (await this.put());
    await this.idle(); // a save was begun, since the log has no room
    fillUp();
  }

  async idle(): Promise<void> {
    while (this.replica.status().state !== "idle") await turn();
  }

  /** Whether there is a snapshot of all that was applied. */
  async save(): Promise<boolean> {
    await this.idle();
    try {
      await this.replica.snapshot().result;
    } catch (error) {
      if (!hasCode(error, "NO_SPACE")) throw error;
      return false;
    }
    const { snapshot, appliedIndex } = this.replica.status();
    return snapshot?.meta.lastIncludedIndex === appliedIndex;
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 1));
}

/** Takes what is left. */
function fillUp(): void {
  for (let size = 1 << 20; size >= 1; size >>= 1) {
    for (;;) {
      const before = sizeOf(filler);
      try {
        writeFileSync(filler, noise(size, 1), { flag: "a" });
      } catch {
        truncateSync(filler, before);
        break;
      }
    }
  }
}

/** Gives some of that back. */
function free(bytes: number): void {
  truncateSync(filler, Math.max(sizeOf(filler) - bytes, 0));
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

/** What a directory takes of the disk. */
function taken(directory: string): number {
  let bytes = 4096;
  for (const { name, parentPath } of readdirSync(directory, { withFileTypes: true, recursive: true })) {
    bytes += Math.ceil(sizeOf(`${parentPath}/${name}`) / 4096) * 4096;
  }
  return bytes;
}

/** What a snapshot of all that is there takes. */
function snapshotBytes(world: World): number {
  let bytes = 16 * 4096; // directories, manifest, and what is rounded up
  for (const [key, value] of world.expected) bytes += key.length + value.length + 16;
  return bytes;
}

/** Each does something to a world whose log has filled the disk; it is still full then. */
const orders: Record<string, (world: World) => void | Promise<void>> = {
  "full while it proposes"() {},
  async "full while it saves"(world) {
    for (const left of [0, 4096, 20_000, snapshotBytes(world) >> 1]) {
      free(left);
      assert.isFalse(await world.save());
      fillUp();
    }
  },
  "full while it purges"(world) {
    world.onEvent = ({ type }) => type === "saved" && fillUp();
  },
  async "full while it opens"(world) {
    await world.reopen();
    fillUp();
    await world.reopen();
    fillUp();
  },
};

async function scenario(name: string, retain: number, reopens: boolean): Promise<void> {
  const world = newWorld(retain);
  await world.open();
  for (let i = 0; i < 300; i++) assert.isTrue(await world.put());
  assert.isTrue(await world.save());
  await world.fill();
  await orders[name]!(world);
  await world.fill(); // a short entry may have had room where a longer one was refused
  if (reopens) await world.reopen();
  await recovers(world, reopens);
  await world.replica.close();
}

/** What one snapshot takes is freed: all goes on. */
async function recovers(world: World, reopens: boolean): Promise<void> {
  const full = taken(world.directory);
  free(snapshotBytes(world));
  const first = world.replica.status().firstIndex;
  assert.isTrue(await world.save(), "no snapshot could be taken");
  assert.isAbove(Number(world.replica.status().firstIndex), Number(first), "nothing was purged");
  if (reopens) await world.reopen();
  assert.isBelow(taken(world.directory), full, "nothing was given back");
  let proposed = 0;
  while (proposed < 100 && await world.put()) proposed++;
  assert.equal(proposed, 100, "there is no room to propose");
  world.check();
  assert.isTrue(await world.save(), "no second snapshot could be taken");
  assert.isTrue(await world.put());
  await world.reopen();
}

/** In a process of its own: fills the disk, says what was acknowledged, and is killed. */
async function victim(): Promise<void> {
  const world = new World(`${mounted}/world`, 1);
  await world.open();
  for (let i = 0; i < 300; i++) await world.put();
  await world.save();
  await world.fill();
  if (killed === "saving") world.replica.snapshot().result.catch(() => {});
  if (killed === "saved" || killed === "purging") {
    const { firstIndex } = world.replica.status();
    world.onEvent = ({ type }) => {
      if (type === "saved") fillUp();
      if (type === "saved" && killed === "saved") die(world); // before the purge
    };
    free(snapshotBytes(world));
    world.replica.snapshot().result.catch(() => {});
    while (world.replica.status().firstIndex === firstIndex) await turn();
  }
  die(world);
}

/** What it says last does not all come through a pipe on Node, and there is no room on the disk that is full. */
function die({ expected }: World): void {
  writeFileSync(acknowledged, JSON.stringify([...expected]));
  process.kill(process.pid, "SIGKILL");
}

/** Nobody does anything but free what a snapshot takes, and propose. */
async function alone(): Promise<void> {
  const world = newWorld(1);
  world.retry = { initial: 2, max: 20 };
  await world.open();
  for (let i = 0; i < 300; i++) await world.put();
  await world.save();
  for (let round = 0; round < 3; round++) {
    while (await world.put());
    for (let i = 0; i < 10; i++) {
      fillUp();
      await turn();
    }
    free(snapshotBytes(world));
    await putsAgain(world);
    world.check();
  }
  await world.replica.close();
}

/** Proposes until there is room again. */
async function putsAgain(world: World): Promise<void> {
  for (let i = 0; !await world.put(); i++) {
    assert.isBelow(i, 2000, "there is no room again");
    await turn();
  }
}

/** A new one, on a disk that has nothing else. */
function newWorld(retain: number): World {
  const directory = `${mounted}/world`;
  for (const path of [filler, directory]) rmSync(path, { recursive: true, force: true });
  mkdirSync(directory);
  writeFileSync(filler, noise(4 << 20, 1));
  return new World(directory, retain);
}

async function killedWorld(when: string): Promise<void> {
  const world = newWorld(1);
  const [command, ...args] = commandOf("tests/crash/full_log_child.ts", mounted, when);
  const { stderr } = spawnSync(command, args, { encoding: "utf8" });
  assert.isAbove(sizeOf(acknowledged), 0, stderr);
  for (const [key, value] of JSON.parse(readFileSync(acknowledged, "utf8"))) world.expected.set(key, value);
  rmSync(acknowledged);
  world.count = 100_000;
  fillUp();
  if (when === "saved") world.retry = { initial: 2, max: 20 };
  await world.open();
  world.check();
  if (when === "saved" || when === "purging") { // nothing is freed: what can be purged is
    await putsAgain(world);
  } else {
    fillUp();
    await recovers(world, true);
  }
  await world.replica.close();
}

if (killed !== undefined) await victim();
let count = 0;
async function tried(what: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    throw new Error(`${what}: ${messageOf(error)}`, { cause: error });
  }
  count++;
}
for (const name of Object.keys(orders)) {
  for (const retain of [1, 2]) {
    for (const reopens of [false, true]) {
      const where = reopens ? "opened again" : "in the same process";
      await tried(`${name}, ${retain} retained, ${where}`, () => scenario(name, retain, reopens));
    }
  }
}
for (const when of ["proposing", "saving", "saved", "purging"]) {
  await tried(`killed while ${when}`, () => killedWorld(when));
}
await tried("left alone", alone);
console.log(count);
process.exit(0);
