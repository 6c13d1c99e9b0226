// Every operation of a flow goes wrong in every way that it can: once, or from then on. The flow tries again, as whoever
// uses it would; and after it the disk is looked at as it is, and as a crash may leave it.

import { SnapshotError } from "../../mod.ts";
import { Random } from "../support/random.ts";
import { type Bounds, crashStates } from "./crash_states.ts";
import { crash, type Explored, prepared } from "./explore.ts";
import type { Flow } from "./flows.ts";
import type { Image } from "./image.ts";
import { type DiskFault, type DiskOperation, SimulatedDisk } from "./simulated_disk.ts";

/** What was injected, and what came of it. */
export interface Injected extends Explored {
  faults: number;
  slow: number;
  /** How often what was being done failed, by the code of its error. */
  readonly errors: Record<string, number>;
}

type Verb = DiskOperation["verb"];

/** Which operations can fail with a code, before they are done, in the middle, or though they were done. */
const WAYS: readonly (DiskFault & { readonly verbs: readonly Verb[] })[] = [
  { code: "ENOSPC", when: "before", verbs: ["create", "write", "sync", "make", "rename", "link", "syncDirectory"] },
  { code: "ENOSPC", when: "half", verbs: ["write"] },
  {
    code: "EIO",
    when: "before",
    verbs: [
      ...["open", "create", "update", "read", "write", "sync", "size", "close", "stat", "list"] as const,
      ...["make", "rename", "link", "remove", "syncDirectory"] as const,
    ],
  },
  { code: "EIO", when: "half", verbs: ["write", "remove"] },
  {
    code: "EIO",
    when: "after",
    verbs: ["write", "sync", "close", "make", "rename", "link", "remove", "syncDirectory"],
  },
  {
    code: "EACCES",
    when: "before",
    verbs: ["open", "create", "update", "stat", "list", "make", "rename", "link", "remove", "lock"],
  },
  { code: "EMFILE", when: "before", verbs: ["open", "create", "update", "list", "syncDirectory", "lock"] },
];

/** What is chosen of the changes that were not durable. */
const FEW: Bounds = { all: 3, random: 3 };

/** How much is injected. */
export interface FaultExtent {
  readonly seed: number;
  /** The share of all faults. */
  readonly share: number;
  /** Of the states that a crash may leave, about so many are looked at: anywhere, and at the end. */
  readonly states: number;
  readonly ends: number;
}

/** Injects faults into a flow; throws at the first promise that is broken, and says after what. */
export async function inject<M>(flow: Flow<M>, extent: FaultExtent, counts: Injected): Promise<void> {
  const image = await prepared(flow);
  const operations: DiskOperation[] = [];
  await flow.run(new SimulatedDisk(image, { fault: (operation) => void operations.push(operation) }));
  const random = new Random(extent.seed);
  for (const operation of operations) {
    for (const way of WAYS.filter(({ verbs }) => verbs.includes(operation.verb))) {
      for (const lasting of [false, true]) {
        if (random.chance(extent.share)) await injectOne(flow, image, operation, way, lasting, extent, counts);
      }
    }
    if (random.chance(extent.share)) await slowDown(flow, image, operation, counts);
  }
}

async function injectOne<M>(
  flow: Flow<M>,
  image: Image,
  { number, verb, path }: DiskOperation,
  { verbs, ...fault }: typeof WAYS[number],
  lasting: boolean,
  extent: FaultExtent,
  counts: Injected,
): Promise<void> {
  const what = `${fault.code} ${fault.when} operation ${number} (${verb} ${path})${lasting ? " and from then on" : ""}`;
  const disk = new SimulatedDisk<M>(image, {
    fault: (operation) =>
      operation.number === number || lasting && operation.number > number && verbs.includes(operation.verb)
        ? fault
        : undefined,
  });
  counts.faults++;
  try {
    await flow.run(disk);
  } catch (error) {
    // What goes wrong once, nobody notices who tries again.
    if (!lasting || !(error instanceof SnapshotError)) {
      throw new Error(`${flow.name}: ${what}: ${error}`, { cause: error });
    }
    counts.errors[error.code] = (counts.errors[error.code] ?? 0) + 1;
  }
  // First as if only the process had ended, then also the power: with all that was promised in spite of the fault.
  await endProcess(flow, disk, counts, what);
  // What is wrong with what was promised after the fault is seen at the end; of what lies before it some is looked at.
  const random = new Random(extent.seed + number);
  const states = [...crashStates(image, disk.journal, random, FEW)];
  const end = [...crashStates(image, disk.journal, random, FEW, disk.journal.length)];
  for (const [some, count] of [[states, extent.states], [end, extent.ends]] as const) {
    for (const state of some) {
      if (random.chance(count / some.length)) await crash(flow, state, undefined, counts, what);
    }
  }
}

/** One operation takes so long that all others that need not wait for it have ended. */
async function slowDown<M>(flow: Flow<M>, image: Image, { number }: DiskOperation, counts: Injected): Promise<void> {
  const disk = new SimulatedDisk<M>(image, {
    pace: async (operation) => {
      if (operation.number !== number) return;
      for (let turns = 0; turns < 50; turns++) await new Promise((resolve) => setTimeout(resolve));
    },
  });
  await flow.run(disk);
  counts.slow++;
  await endProcess(flow, disk, counts, `operation ${number} was slow`);
}

/** Only the process ends: nothing on the disk is lost. */
async function endProcess<M>(flow: Flow<M>, disk: SimulatedDisk<M>, counts: Injected, what: string): Promise<void> {
  await crash(flow, { at: Infinity, chosen: "", marks: disk.marks, image: disk.image }, undefined, counts, what);
}
