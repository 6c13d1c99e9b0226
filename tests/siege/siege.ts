// A siege: strangers of every sort at once, while honest people go on with their work.

import { inspect } from "node:util";
import { removeDirectory, tempDirectory } from "../support/temp.ts";
import { Random } from "../support/random.ts";
import { turns } from "../support/harness.ts";
import { openFiles } from "../soak/counts.ts";
import { Crowd } from "./crowd.ts";
import { type Usage, World } from "./world.ts";

/** Strangers at a time. */
const STRANGERS = 24;
/** How many times what the honest leave on the disk strangers may add to it: an interrupted install, kept snapshots. */
const DISK_BUDGET = 4;
/** Files and directories that there may be. */
const INODE_BUDGET = 200;
/** Turns of the event loop that strangers have before the honest go on. */
const ENTRANCE = 50;
/** Entries of the logs that a snapshot being kept may hold. */
const LOG_BUDGET = 2000;
/** Each so many rounds all strangers go, and the honest do one alone: what else the machine does takes from both alike. */
const ALONE_EVERY = 5;
/** The longest time after which all is given back, in milliseconds. */
const SETTLES_WITHIN = 10_000;
/** Sockets that `fetch` keeps to be used again. */
const SPARE_SOCKETS = 32;

/** The work of the honest. */
const WORK = ["save", "pull", "readLog", "push", "followerSaves"] as const;

/** What a siege gave. */
export interface SiegeReport {
  readonly seed: number;
  rounds: number;
  /** The time that honest work took after the first of each, in milliseconds: in each round among strangers. */
  readonly among: number[];
  /** The same in each round without any. */
  readonly alone: number[];
  /** Strangers, by kind. */
  readonly strangers: Record<string, number>;
  /** Honest work that was done, and the longest that any took, in milliseconds. */
  readonly work: Record<(typeof WORK)[number], { done: number; longest: number }>;
  /** What is not as it should be. */
  readonly violations: string[];
}

/**
 * Besieges.
 *
 * @param seed chooses
 * @param goesOn whether there is another round, after so many
 * @param count how many strangers there are at a time; 0 for the rate of the honest alone
 */
export async function siege(
  seed: number,
  goesOn: (rounds: number) => boolean,
  count: number = STRANGERS,
): Promise<SiegeReport> {
  const root = await tempDirectory();
  const random = new Random(seed);
  try {
    const world = await World.open(root, random);
    try {
      const ports = [world.leader, world.follower].map(({ server }) => Number(new URL(server.url).port));
      const crowd = new Crowd(seed, count, ports);
      try {
        return await new Siege(world, random, crowd, seed, count === 0).run(goesOn);
      } finally {
        await crowd.close();
      }
    } finally {
      await world.close();
    }
  } finally {
    await removeDirectory(root);
  }
}

class Siege {
  readonly #world: World;
  readonly #random: Random;
  readonly #crowd: Crowd;
  readonly #isLonely: boolean;
  readonly #report: SiegeReport;

  constructor(world: World, random: Random, crowd: Crowd, seed: number, isLonely: boolean) {
    this.#world = world;
    this.#random = random;
    this.#crowd = crowd;
    this.#isLonely = isLonely;
    const work = Object.fromEntries(WORK.map((name) => [name, { done: 0, longest: 0 }])) as SiegeReport["work"];
    this.#report = { seed, rounds: 0, among: [], alone: [], strangers: {}, work, violations: [] };
  }

  async run(goesOn: (rounds: number) => boolean): Promise<SiegeReport> {
    for (const name of WORK) await this.#do(name);
    const sockets = socketsOpen();
    const usual = await this.#world.usage();
    while (this.#report.violations.length === 0 && goesOn(this.#report.rounds)) {
      const isAlone = ++this.#report.rounds % ALONE_EVERY === 0 || this.#isLonely;
      if (isAlone) {
        await this.#crowd.go();
        await this.#settle(sockets);
      }
      let spent = await this.#do("save");
      if (!isAlone) await this.#come();
      // The follower saves at any time: before, among and after uploads that go on.
      const rest = [...WORK.slice(1)].sort(() => this.#random.next() - 0.5);
      for (const name of rest) spent += await this.#do(name);
      (isAlone ? this.#report.alone : this.#report.among).push(Math.round(spent));
      await this.#look(usual);
    }
    await this.#crowd.go();
    await this.#settle(sockets);
    return this.#report;
  }

  /** Some strangers go, and others come. */
  async #come(): Promise<void> {
    // They know what is pushed next.
    for (const kind of await this.#crowd.come(await this.#world.loot())) {
      this.#report.strangers[kind] = (this.#report.strangers[kind] ?? 0) + 1;
    }
    await turns(ENTRANCE);
  }

  /** Does some work, and returns how long it took. */
  async #do(name: (typeof WORK)[number]): Promise<number> {
    const start = performance.now();
    const work = this.#report.work[name];
    try {
      await this.#world[name]();
      work.done++;
    } catch (error) {
      this.#report.violations.push(`${name}: ${inspect(error)}`);
    }
    const took = performance.now() - start;
    work.longest = Math.max(work.longest, Math.round(took));
    return took;
  }

  /** Looks whether all is within its budget, and nothing was taken in that is not trusted. */
  async #look(usual: Usage): Promise<void> {
    const { violations } = this.#report;
    const { bytes, inodes } = await this.#world.usage();
    if (bytes > usual.bytes * DISK_BUDGET) violations.push(`${bytes} bytes on the disk, and usually ${usual.bytes}`);
    if (inodes > INODE_BUDGET) violations.push(`${inodes} files and directories, and usually ${usual.inodes}`);
    if (this.#world.logged > LOG_BUDGET) violations.push(`The logs hold ${this.#world.logged} entries`);
    for (const digest of await this.#world.untrusted()) violations.push(`${digest} was taken in, and is not trusted`);
    for (const error of this.#world.errors) violations.push(`A server's own error: ${(error as Error).stack}`);
  }

  /** Waits until what strangers had is given back, or says what is not. */
  async #settle(sockets: number): Promise<void> {
    const left = async () => ({
      sockets: Math.max(socketsOpen() - sockets - SPARE_SOCKETS, 0),
      pins: await this.#world.pins(),
      installing: [this.#world.leader, this.#world.follower].filter(({ storage }) => storage.installing).length,
    });
    const end = performance.now() + SETTLES_WITHIN;
    let counts = await left();
    while (Object.values(counts).some((count) => count > 0) && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      counts = await left();
    }
    for (const [name, count] of Object.entries(counts)) {
      if (count > 0) this.#report.violations.push(`${name}: ${count} are not given back`);
    }
  }
}

function socketsOpen(): number {
  return openFiles().filter((path) => path === "socket:").length;
}
