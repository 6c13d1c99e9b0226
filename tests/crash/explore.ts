// Crashes in a flow at every operation, in every state that the disk may be in then, and once more in the recovery.

import { Random } from "../support/random.ts";
import { type Bounds, type CrashState, crashStates } from "./crash_states.ts";
import type { Flow } from "./flows.ts";
import { EMPTY, type Image } from "./image.ts";
import { SimulatedDisk, type SimulatedDiskOptions } from "./simulated_disk.ts";

/** How much is explored. */
export interface Extent {
  readonly seed: number;
  /** See {@linkcode Bounds}. */
  readonly bounds: Bounds;
  /** The share of the states that is looked at. */
  readonly share: number;
  /** The share of those in whose recovery it crashes again. */
  readonly again: number;
}

/** What was explored. */
export interface Explored {
  /** Operations of the flows: before and after each it crashed. */
  operations: number;
  /** Disks that a crash left, each different or with more that was promised. */
  states: number;
  /** Of these, those that a crash in the recovery left. */
  secondCrashes: number;
}

/** What is looked at of the second crashes: there are as many after each first one. */
const AGAIN: Bounds = { all: 2, random: 2 };
const AGAIN_SHARE = 0.02;

/** The disk as a flow finds it. */
export async function prepared<M>(flow: Flow<M>): Promise<Image> {
  const disk = new SimulatedDisk<M>(EMPTY);
  await flow.prepare(disk);
  return disk.image;
}

/** A pace at which operations overtake each other, as they do on a disk that is slow now and then. */
export function uneven(seed: number): NonNullable<SimulatedDiskOptions["pace"]> {
  const random = new Random(seed);
  return async () => {
    for (let turns = random.below(6); turns > 0; turns--) await Promise.resolve();
    if (random.chance(0.05)) await new Promise((resolve) => setTimeout(resolve));
  };
}

/** Explores a flow; throws at the first state in which a promise is broken, and says which that is. */
export async function explore<M>(flow: Flow<M>, extent: Extent, counts: Explored): Promise<void> {
  const image = await prepared(flow);
  const disk = new SimulatedDisk<M>(image, { pace: uneven(extent.seed) });
  await flow.run(disk);
  counts.operations += disk.counts.operations;
  const random = new Random(extent.seed);
  for (const state of crashStates(image, disk.journal, random, extent.bounds)) {
    if (!random.chance(extent.share)) continue;
    await crash(flow, state, random.chance(extent.again) ? random : undefined, counts, `seed ${extent.seed}`);
  }
}

/** Recovers from a crash; and crashes in that too, if there is something to choose by. */
export async function crash<M>(
  flow: Flow<M>,
  { at, chosen, marks, image }: CrashState<M>,
  again: Random | undefined,
  counts: Explored,
  where: string,
): Promise<void> {
  const here = `${where}, crash before entry ${at} with ${chosen || "all"}`;
  const disk = new SimulatedDisk<M>(image);
  try {
    await flow.recover(disk, marks);
  } catch (error) {
    throw new Error(`${flow.name}: ${here}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
  counts.states++;
  if (again === undefined) return;
  for (const state of crashStates(image, disk.journal, again, AGAIN)) {
    if (!again.chance(AGAIN_SHARE)) continue;
    counts.secondCrashes++;
    const { at, chosen, image } = state;
    await crash(flow, { at, chosen, image, marks: [...marks, ...state.marks] }, undefined, counts, here);
  }
}
