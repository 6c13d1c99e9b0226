// A process with its state in a database, killed at every step of a fixed course, and in the midst of random ones.

import { Random } from "../support/random.ts";
import { type Death, type MortalDatabase, Process, World } from "./durable_world.ts";

/** What was looked at. */
export interface DurableCounts {
  /** Processes that were killed at a step. */
  kills: number;
  /** Openings after which everything was there. */
  openings: number;
  /** Openings at which too much had been lost, which was said. */
  refused: number;
}

/** What happens to the disk while a process is dead. */
export interface Fate {
  /** The newest snapshot goes bad. */
  readonly rot: boolean;
  /** So many of the last writes are taken back. */
  readonly lostWrites: number;
}

/** Something that a process does. */
export type Action = (world: World) => Promise<unknown>;

/** A course with all that a replica does, each once. */
export const SHORT_COURSE: readonly Action[] = [
  (world) => world.propose(3),
  (world) => world.flush(),
  (world) => world.purge(),
  (world) => Promise.all([world.send(), world.propose(2)]),
  (world) => world.install(6),
  (world) => world.propose(2),
  (world) => world.stop(),
];

/** A course in which each comes upon what another has left. */
export const COURSE: readonly Action[] = [
  (world) => world.propose(3),
  (world) => world.propose(1),
  (world) => world.save(),
  (world) => world.flush(),
  (world) => world.propose(5),
  (world) => world.purge(),
  (world) => Promise.all([world.save(), world.propose(2)]),
  (world) => world.install(6),
  (world) => world.propose(2),
  (world) => world.flush(),
  (world) => world.save(),
  (world) => world.install(3),
  (world) => world.propose(4),
  (world) => world.purge(),
  (world) => world.send(),
];

/**
 * Lets a process begin, and work until it is through or dies. What dies in the background must not go on here.
 *
 * @returns how it ended: `refused` if it could not begin
 */
async function live(
  world: World,
  process: Process,
  actions: Iterable<Action>,
  incremental = false,
): Promise<"through" | "dead" | "refused"> {
  const living = async () => {
    if (!await world.start(process, incremental)) return "refused";
    for (const action of actions) {
      if (process.isDead) return "dead";
      await action(world);
    }
    return "through";
  };
  return await Promise.race([living(), process.died.then(() => "dead" as const)]);
}

/**
 * Kills a process at each step of the course, before it and after it; and once more while it recovers. Throws if anything
 * was applied twice, or lost.
 *
 * @param course what it does
 * @param make makes an empty database
 * @param fates what happens meanwhile
 * @param counts is told what was done
 * @param chosen which of these deaths it dies; all by default
 */
export async function killAtEachStep(
  course: readonly Action[],
  make: () => Promise<MortalDatabase>,
  fates: readonly Fate[],
  counts: DurableCounts,
  chosen: (death: Death) => boolean = () => true,
): Promise<void> {
  for (const fate of fates) {
    for (let step = 1, through = false; !through; step++) {
      for (const when of ["before", "after"] as const) {
        const death = { step, when };
        if (chosen(death)) through = !await killAt(death, course, make, fate, counts);
      }
    }
  }
}

/** Returns whether it came so far. */
async function killAt(
  death: Death,
  course: readonly Action[],
  make: () => Promise<MortalDatabase>,
  { rot, lostWrites }: Fate,
  counts: DurableCounts,
): Promise<boolean> {
  const world = new World(await make());
  try {
    const died = await live(world, new Process(death), course) === "dead";
    await world.kill(lostWrites);
    if (rot) await world.rot();
    counts.kills++;
    const again = new Process({ step: 1 + death.step % 3, when: death.when });
    if (await live(world, again, []) === "dead") counts.kills++;
    await world.kill(lostWrites > 0 ? 1 : 0);
    if (await world.start()) {
      await world.propose(3);
      await world.stop();
      await world.start();
      counts.openings++;
    }
    counts.refused += world.refused;
    await world.kill();
    return died;
  } catch (error) {
    throw new Error(
      `Killed ${death.when} step ${death.step}${rot ? ", rot" : ""}, ${lostWrites} writes lost: ${error}`,
      {
        cause: error,
      },
    );
  }
}

/**
 * A random history: commands, saves, installs, restarts, kills, rot. Throws if anything was applied twice, or lost.
 *
 * @param seed which
 * @param make makes an empty database
 * @param counts is told what was done
 */
export async function playHistory(
  seed: number,
  make: () => Promise<MortalDatabase>,
  counts: DurableCounts,
): Promise<void> {
  const random = new Random(seed);
  const world = new World(await make());
  const done: string[] = [];
  try {
    for (let life = 0; life < 6; life++) {
      const dies = random.chance(0.7);
      const process = new Process(
        dies ? { step: 1 + random.below(random.pick([4, 12, 40])), when: random.pick(["before", "after"]) } : undefined,
      );
      done.push(dies ? "dies" : "lives");
      const actions = Array.from({ length: random.below(12) }, () => actionOf(random, done));
      actions.push((world) => world.check());
      if (random.chance(0.5)) actions.push((world) => world.stop());
      const end = await live(world, process, actions, random.chance(0.5));
      if (end === "refused") break;
      if (end === "dead") counts.kills++;
      else counts.openings++;
      const lostWrites = random.chance(0.3) ? 1 + random.below(4) : 0;
      done.push(`${end}, ${lostWrites} lost`);
      await world.kill(lostWrites);
      if (random.chance(0.4)) {
        done.push("rot");
        await world.rot();
      }
    }
    counts.refused += world.refused;
    await world.kill();
  } catch (error) {
    throw new Error(`History ${seed}: ${done.join("; ")}: ${error}`, { cause: error });
  }
}

/** Something that is done, and noted then. */
function actionOf(random: Random, done: string[]): Action {
  const noted = (what: string, action: Action): Action => (world) => {
    done.push(what);
    return action(world);
  };
  const kind = random.below(12);
  const count = 1 + random.below(6);
  if (kind < 5) return noted(`propose ${count}`, (world) => world.propose(count));
  if (kind < 7) return noted(`save and ${count}`, (world) => Promise.all([world.save(), world.propose(count)]));
  if (kind < 8) return noted(`install ${count}`, (world) => world.install(count));
  if (kind < 9) return noted("flush", (world) => world.flush());
  if (kind < 10) return noted("purge", (world) => world.purge());
  return kind < 11 ? noted("send", (world) => world.send()) : noted("rot", (world) => world.rot());
}
