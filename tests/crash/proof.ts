// All of it, to some extent: what `deno task crash` runs at length, and the tests in short.

import { exploreModel, type Modelled } from "./model.ts";
import { COURSE, type DurableCounts, killAtEachStep, playHistory as playDurable } from "./durable_histories.ts";
import { KeptDatabase } from "./durable_kept.ts";
import { type Damage, damageAll, type DamageExtent, damageSeveral } from "./every_byte.ts";
import { type Histories, playCases, playHistory } from "./evidence_histories.ts";
import { type EvidenceCounts, proveStorages } from "./evidence_storages.ts";
import { explore, type Extent } from "./explore.ts";
import { type FaultExtent, inject, type Injected } from "./faults.ts";
import { type Flow, storageFlows } from "./flows.ts";
import { cutLog } from "./log_cuts.ts";
import { cutOpfsLog, type OpfsCuts } from "./opfs_log_cuts.ts";
import { playSchedule } from "./model_run.ts";
import { replicaFlows } from "./replica_flows.ts";
import { backupFlow, followerFlows } from "./continuous_flows.ts";
import { Random } from "../support/random.ts";
import { noSchemaCounts, playSchemas, type SchemaCounts, schemaMachines } from "./schema_histories.ts";

/** How much of it. */
export interface ProofExtent {
  /** So many passes over all flows, each with operations in another order. */
  readonly passes: number;
  readonly crashes: Omit<Extent, "seed">;
  readonly faults: Omit<FaultExtent, "seed">;
  readonly damage: DamageExtent;
  /** The share of the cuts of a log. */
  readonly cuts: number;
  /** Actions from the start to the farthest state of the model. */
  readonly depth: number;
  /** Schedules that a real replica plays, and how long they are. */
  readonly schedules: number;
  readonly length: number;
  /** Histories of upgrades and downgrades. */
  readonly histories: number;
  /** Random histories of doubts, how long they are, and what share of the enumerated cases. */
  readonly evidence: { readonly histories: number; readonly steps: number; readonly cases: number };
  /** Of processes with their state in a database: the share of the steps at which one is killed, and random histories. */
  readonly durable: { readonly kills: number; readonly histories: number };
  /** Of what a storage may see of its snapshots, the share of the cases with one thing wrong, and with two. */
  readonly seen: { readonly one: number; readonly two: number };
}

/** What `deno task crash` does without `--long`. */
export const SHORT: ProofExtent = {
  passes: 1,
  crashes: { bounds: { all: 5, random: 8 }, share: 0.02, again: 0.02 },
  faults: { share: 0.01, states: 1, ends: 1 },
  damage: { manifest: 0.2, served: 0.05 },
  cuts: 0.3,
  depth: 9,
  schedules: 100,
  length: 40,
  histories: 30,
  evidence: { histories: 60, steps: 25, cases: 0.25 },
  durable: { kills: 0.3, histories: 20 },
  seen: { one: 0.008, two: 0.0001 },
};

/** What it does with it. */
export const LONG: ProofExtent = {
  passes: 2,
  crashes: { bounds: { all: 10, random: 50 }, share: 1, again: 0.02 },
  faults: { share: 1, states: 1, ends: 6 },
  damage: { manifest: 1, served: 1 },
  cuts: 1,
  depth: 14,
  schedules: 10_000,
  length: 60,
  histories: 10_000,
  evidence: { histories: 10_000, steps: 60, cases: 1 },
  durable: { kills: 1, histories: 10_000 },
  seen: { one: 1, two: 0.04 },
};

/** What was looked at. */
export interface Counts extends Injected {
  readonly damage: Damage;
  readonly log: { cuts: number };
  readonly opfsLog: OpfsCuts;
  readonly model: Modelled;
  readonly schedules: { played: number; actions: number };
  readonly schemas: SchemaCounts;
  readonly evidence: Histories;
  readonly durable: DurableCounts;
  readonly seen: EvidenceCounts;
}

/** Nothing yet. */
export function noCounts(): Counts {
  return {
    operations: 0,
    states: 0,
    secondCrashes: 0,
    faults: 0,
    slow: 0,
    errors: {},
    damage: { cases: 0, atOpening: 0, whenRead: 0, served: 0 },
    log: { cuts: 0 },
    opfsLog: { cuts: 0, flips: 0 },
    model: { states: 0, transitions: 0 },
    schedules: { played: 0, actions: 0 },
    schemas: noSchemaCounts(),
    evidence: { histories: 0, steps: 0, cases: 0 },
    durable: { kills: 0, openings: 0, refused: 0 },
    seen: { cases: 0, restored: 0, errors: {} },
  };
}

/** A part of it: its name, and what runs it. */
export type Part = readonly [name: string, run: () => Promise<void>];

/** Everything, part by part; each throws at the first violation. */
export async function* parts(seed: number, extent: ProofExtent, counts: Counts): AsyncGenerator<Part> {
  const { crashes, faults, passes, damage, cuts, depth, schedules, length, histories, evidence, durable, seen } =
    extent;
  const of = <M>(flow: Flow<M>): Part[] => [
    ...Array.from({ length: passes }, (_, i): Part => [
      `crashes: ${flow.name}`,
      () => explore(flow, { seed: seed + i, ...crashes }, counts),
    ]),
    [`faults: ${flow.name}`, () => inject(flow, { seed, ...faults }, counts)],
  ];
  for (const flow of await storageFlows()) yield* of(flow);
  for (const flow of await replicaFlows()) yield* of(flow);
  for (const flow of await followerFlows()) yield* of(flow);
  yield* of(backupFlow());
  yield ["every byte", () => damageAll(seed, damage, counts.damage)];
  yield ["several chunks at once", () => damageSeveral(seed, 50)];
  yield ["the log, cut anywhere", () => cutLog(seed, cuts, counts.log)];
  yield ["the log in OPFS, cut anywhere", () => cutOpfsLog(seed, cuts, counts.opfsLog)];
  for (const whileSaving of ["wait", "cancel"] as const) {
    yield [`the model, where an install lets a save ${whileSaving === "wait" ? "end" : "go"}`, () => {
      const { states, transitions } = exploreModel(depth, 6, whileSaving);
      counts.model.states += states;
      counts.model.transitions += transitions;
      return Promise.resolve();
    }];
  }
  yield ["the model's schedules, played", async () => {
    for (let i = 0; i < schedules; i++) {
      counts.schedules.actions += await playSchedule(seed + i, length);
      counts.schedules.played++;
    }
  }];
  yield ["histories of upgrades and downgrades", async () => {
    const machines = Object.values(schemaMachines);
    for (let i = 0; i < histories; i++) await playSchemas(machines[i % machines.length]!, seed + i, 40, counts.schemas);
  }];
  const makeDatabase = () => Promise.resolve(new KeptDatabase());
  const makeOnDisk = () => Promise.resolve(new KeptDatabase(true));
  for (const [what, make] of [["in a database", makeDatabase], ["on a disk of its own", makeOnDisk]] as const) {
    yield [`applied once, ${what}, whatever rots and whichever writes a power failure takes back`, async () => {
      const random = new Random(seed);
      const fates = [0, 3].map((lostWrites) => ({ rot: true, lostWrites }));
      await killAtEachStep(COURSE, make, fates, counts.durable, () => random.chance(durable.kills));
    }];
  }
  yield ["applied once: commands, saves, installs, restarts, kills and rot, at random", async () => {
    for (let i = 0; i < durable.histories; i++) {
      await playDurable(seed + i, i % 2 === 0 ? makeDatabase : makeOnDisk, counts.durable);
    }
  }];
  yield ["evidence, case by case", () => playCases(counts.evidence, evidence.cases)];
  yield ["evidence, on each medium", () => proveStorages(seed, seen, counts.seen)];
  yield ["evidence, at random", async () => {
    for (let i = 0; i < evidence.histories; i++) await playHistory(seed + i, evidence.steps, counts.evidence);
  }];
}
