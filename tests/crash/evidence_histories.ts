// Histories of a replica: at random, and one after the other.

import { Random } from "../support/random.ts";
import { type Sent, type Version, World } from "./evidence_world.ts";

const SENT: readonly Sent[] = ["good", "newer", "not loadable", "bad at source"];
const STEPS = [
  "propose",
  "propose",
  "save",
  "save",
  "install",
  "install",
  "rot",
  "verify",
  "unreadable",
  "readable",
  "purge",
  "member",
  "jump",
  "restart",
  "another program",
] as const;

/** What was done. */
export interface Histories {
  histories: number;
  steps: number;
  cases: number;
}

/** Plays a random history; throws where something does not hold. */
export async function playHistory(seed: number, length: number, counts: Histories): Promise<void> {
  const random = new Random(seed);
  const world = new World(random.pick([1, 2] as const), random.chance(0.5));
  world.way.push(`seed ${seed}`);
  await world.start();
  for (let i = 0; i < length; i++) {
    await take(world, random);
    await world.settle();
    counts.steps++;
  }
  world.unreadable.clear();
  world.way.push("the last restart");
  await world.restart(2);
  await world.stop();
  counts.histories++;
}

async function take(world: World, random: Random): Promise<void> {
  const step = random.pick(STEPS);
  const { snapshots } = world;
  const some = snapshots.length === 0 ? undefined : random.pick(snapshots);
  const note = (what: string) => void world.way.push(what);
  if (step === "propose") {
    const count = 1 + random.below(3);
    note(`propose ${count}`);
    await world.propose(count);
  } else if (step === "save") {
    note(`save: ${await world.save()}`);
  } else if (step === "install") {
    const what = random.pick(SENT);
    const index = world.replica.status().appliedIndex + BigInt(random.below(4) - 1);
    if (index < 1n) return;
    note(`install ${index}, ${what}`);
    note(`: ${await world.install(index, what)}`);
  } else if (step === "rot") {
    if (some === undefined || !world.mayRot(some)) return;
    note(`rot ${some}`);
    await world.rot(some);
  } else if (step === "verify") {
    if (some === undefined) return;
    note(`verify ${some}`);
    await world.verify(some);
  } else if (step === "unreadable") {
    if (some === undefined) return;
    note(`unreadable ${some}`);
    world.unreadable.set(some, random.pick(["EIO", "EACCES"] as const));
  } else if (step === "readable") {
    note("readable");
    world.unreadable.clear();
  } else if (step === "purge") {
    note("purge");
    await world.replica.purge();
  } else if (step === "member") {
    world.alive = random.chance(0.7);
    if (random.chance(0.7)) world.match = world.acknowledged;
    note(`the other member: ${world.match}, ${world.alive ? "alive" : "silent"}`);
  } else if (step === "jump") {
    world.clock.jumped += random.pick([-1, 1]) * 24 * 3600_000;
    note(`the clock jumps`);
  } else {
    const version: Version = step === "restart" ? world.version : world.version === 1 ? 2 : 1;
    note(`restart, version ${version}`);
    await world.restart(version);
  }
}

const GRADES = ["EIO", "EACCES", "newer", "rot"] as const;
const TARGETS = ["newest", "older", "both"] as const;
const LOGS = ["all", "from the older", "from the newest"] as const;
const MOMENTS = [
  "restart",
  "restart, and a save",
  "verify",
  "save",
  "save twice, and a restart",
  "purge",
  "install higher",
  "install not loadable",
] as const;

/** Each grade, of each snapshot, with each log, at each moment, of each kind of machine: one after the other. */
export async function playCases(counts: Histories, share = 1): Promise<void> {
  let number = 0;
  for (const grade of GRADES) {
    for (const target of TARGETS) {
      for (const log of LOGS) {
        for (const moment of MOMENTS) {
          for (const checks of [true, false]) {
            if (number++ % Math.round(1 / share) !== 0) continue;
            await playCase(grade, target, log, moment, checks);
            counts.cases++;
          }
        }
      }
    }
  }
}

async function playCase(
  grade: typeof GRADES[number],
  target: typeof TARGETS[number],
  log: typeof LOGS[number],
  moment: typeof MOMENTS[number],
  checks: boolean,
): Promise<void> {
  const world = new World(1, checks);
  world.way.push(`${grade} ${target}, log ${log}, ${moment}`);
  const isNewer = (which: "newest" | "older") => grade === "newer" && (target === which || target === "both");
  await world.start(isNewer("older") ? 2 : 1);
  await world.propose(3);
  await world.save();
  if (isNewer("newest") !== isNewer("older")) await world.restart(isNewer("newest") ? 2 : 1);
  await world.propose(3);
  await world.save();
  await world.propose(2);
  await world.settle();
  if (log !== "all") await world.log.purge(log === "from the older" ? 3n : 6n);
  const hit = target === "both" ? [6n, 3n] : target === "newest" ? [6n] : [3n];
  for (const index of hit) {
    if (grade === "EIO" || grade === "EACCES") world.unreadable.set(index, grade);
    else if (grade === "rot" && world.mayRot(index)) await world.rot(index);
  }
  if (moment.startsWith("restart")) await world.restart(1);
  else if (grade === "newer") await world.restart(1); // the older program meets what the newer has left
  if (moment === "verify") { for (const index of hit) await world.verify(index); }
  if (moment === "purge") await world.replica.purge();
  if (moment === "install higher") await world.install(12n, "good");
  if (moment === "install not loadable") { for (const index of [12n, 13n]) await world.install(index, "not loadable"); }
  if (moment.includes("save")) await world.save();
  await world.settle();
  await world.propose(1);
  await world.save();
  await world.settle();
  await world.propose(1);
  await world.save();
  await world.settle();
  await world.restart(world.version);
  world.unreadable.clear();
  await world.restart(2);
  await world.stop();
}
