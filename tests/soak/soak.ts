// A soak: the same things over and over in random order, and a look whether anything is left of them.

import { removeDirectory, tempDirectory } from "../support/temp.ts";
import { Random } from "../support/random.ts";
import { collectGarbage, Listeners, memory, openFiles, slope, Timers } from "./counts.ts";
import { CYCLES, write } from "./cycles.ts";
import { TRANSFERS } from "./transfers.ts";
import { World } from "./world.ts";

/** So many cycles are between two looks. */
const LOOK_EVERY = 200;
/** How long what goes on in the background after a cycle (a lease, a connection that is cut) may take, in milliseconds. */
const SETTLES_WITHIN = 10_000;
/** Sockets that may be open more than before: `fetch` keeps some to be used again. */
const SPARE_SOCKETS = 16;
/** Bytes of the heap that a cycle may leave, as far as can be told. */
const HEAP_NOISE = 100;
/** The same of the process's memory: allocators keep what is freed. */
const RSS_NOISE = 20_000;

/** How often one has to look to say that something rises. */
const ENOUGH_LOOKS = 15;

interface Sample {
  readonly at: number;
  readonly value: number;
}

/** What there is of everything that can be left. */
export interface Counts {
  readonly timers: number;
  readonly listeners: number;
  readonly files: number;
  readonly sockets: number;
  readonly pins: number;
  readonly views: number;
  /** What is in the roots beside the lock and the snapshots that are kept. */
  readonly litter: number;
}

/** What a soak gave. */
export interface Report {
  readonly seed: number;
  readonly cycles: number;
  readonly kinds: Readonly<Record<string, number>>;
  readonly before: Counts;
  readonly after: Counts;
  /** Bytes that each cycle adds to the heap; nothing where garbage cannot be collected. */
  readonly heapSlope: number | undefined;
  readonly rssSlope: number;
  /** Bytes, at each look. */
  readonly heap: readonly number[];
  /** What grew, and where it comes from as far as that is known. */
  readonly leaks: readonly string[];
}

/** Runs cycles until it is told to stop. */
export async function soak(seed: number, goesOn: (cycles: number) => boolean): Promise<Report> {
  const root = await tempDirectory();
  const [timers, listeners] = [new Timers(), new Listeners()];
  try {
    const world = await World.open(root, new Random(seed), listeners.signal);
    try {
      return await new Soak(world, timers, listeners).run(seed, goesOn);
    } finally {
      await world.close();
    }
  } finally {
    timers.restore();
    await removeDirectory(root);
  }
}

class Soak {
  readonly #world: World;
  readonly #timers: Timers;
  readonly #listeners: Listeners;

  constructor(world: World, timers: Timers, listeners: Listeners) {
    this.#world = world;
    this.#timers = timers;
    this.#listeners = listeners;
  }

  async run(seed: number, goesOn: (cycles: number) => boolean): Promise<Report> {
    const [local, transfers] = [Object.keys(CYCLES), Object.keys(TRANSFERS)];
    const first = await this.#count();
    for (const name of [...local, ...transfers]) await this.#cycle(name); // so that all is loaded, and opened once
    const kinds = Object.fromEntries([...local, ...transfers].map((name) => [name, 0]));
    const { random } = this.#world;
    const [heap, rss]: Sample[][] = [[], []];
    const before = { ...first, sockets: (await this.#settled(first)).sockets };
    let leaks: string[] = [];
    let cycles = 0;
    while (leaks.length === 0 && goesOn(cycles)) {
      const name = random.pick(random.chance(0.25) ? transfers : local);
      await this.#cycle(name);
      kinds[name]!++;
      if (++cycles % LOOK_EVERY > 0) continue;
      leaks = await this.#grown(before, await this.#settled(before));
      const used = memory();
      heap!.push({ at: cycles, value: used.heap });
      rss!.push({ at: cycles, value: used.rss });
    }
    const after = await this.#settled(before);
    if (leaks.length === 0) leaks = await this.#grown(before, after);
    // The first half is warming up: code is compiled, caches and pools are filled.
    const late = (samples: readonly Sample[]) => samples.slice(samples.length >> 1);
    const heapSlope = collectGarbage && slope(late(heap!));
    const rssSlope = slope(late(rss!));
    if (heap!.length >= ENOUGH_LOOKS) {
      if (heapSlope! > HEAP_NOISE) leaks.push(`The heap grows by ${heapSlope} bytes a cycle`);
      if (rssSlope > RSS_NOISE) leaks.push(`The process grows by ${rssSlope} bytes a cycle`);
    }
    return { seed, cycles, kinds, before, after, heapSlope, rssSlope, heap: heap!.map(({ value }) => value), leaks };
  }

  async #cycle(name: string): Promise<void> {
    try {
      await (CYCLES[name] ?? TRANSFERS[name]!)(this.#world);
    } catch (error) {
      throw new Error(`The cycle ${JSON.stringify(name)} went wrong`, { cause: error });
    }
  }

  async #count(): Promise<Counts> {
    const { leader, follower } = this.#world;
    return {
      timers: this.#timers.count,
      listeners: this.#listeners.count,
      files: this.#files().length,
      sockets: openFiles().filter((path) => path === "socket:").length,
      pins: await this.#world.pins(),
      views: leader.machine.views + follower.machine.views,
      litter: (await this.#world.litter()).length,
    };
  }

  #files(): string[] {
    return openFiles().filter((path) => path.startsWith(this.#world.root));
  }

  /** What is there once nothing goes on any more: no more than before, or, if that does not come about, what is there. */
  async #settled(before: Counts): Promise<Counts> {
    await this.#world.reopenFaulty();
    await write(this.#world.faulty, this.#world); // and what could not be removed is, with the next commit
    await this.#until(async () => (await this.#world.litter()).every((name) => name.includes("/install-")));
    if ((await this.#world.litter()).some((name) => !name.includes("/install-"))) return await this.#count();
    for (const name of ["save", "pull", "install"]) await this.#cycle(name); // which end what was interrupted
    await this.#until(async () => {
      const { timers, listeners, pins, views, litter, files } = await this.#count();
      return timers + listeners + pins + views + litter === 0 && files <= before.files;
    });
    return await this.#count();
  }

  /** Waits for something that comes about by itself, but not for ever. */
  async #until(isSo: () => Promise<boolean>): Promise<void> {
    const end = performance.now() + SETTLES_WITHIN;
    while (!await isSo() && performance.now() < end) await new Promise<void>((go) => this.#timers.unseen(go, 5));
  }

  async #grown(before: Counts, after: Counts): Promise<string[]> {
    const places: Partial<Record<keyof Counts, readonly string[]>> = {
      timers: this.#timers.origins(),
      listeners: this.#listeners.origins(),
      files: this.#files(),
      litter: await this.#world.litter(),
    };
    return (Object.keys(before) as (keyof Counts)[])
      .filter((name) => after[name] > before[name] + (name === "sockets" ? SPARE_SOCKETS : 0))
      .map((name) =>
        `${name}: ${before[name]} before, ${after[name]} after\n${places[name]?.slice(0, 8).join("\n") ?? ""}`
      );
  }
}
