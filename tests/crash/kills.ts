// Real processes on a real disk, killed at any moment of what they do.

import { spawn } from "node:child_process";
import { Random } from "../support/random.ts";
import { commandOf } from "../support/child.ts";

/** A process that takes longer to begin hangs, in milliseconds. */
const HANGS = 60_000;

/** What became of a process: how far it was when it began, and what it acknowledged last. */
interface Life {
  readonly begun: bigint;
  readonly acknowledged: bigint;
}

/**
 * Kills a process that works in a directory, again and again; throws if what it acknowledged is not there the next time.
 *
 * @param directory where
 * @param seed of what it does
 * @param kills how often
 * @param program what it runs, and further arguments of that
 * @returns how many entries were acknowledged in all
 */
export async function killAgain(
  directory: string,
  seed: number,
  kills: number,
  program: readonly [file: string, ...args: string[]] = ["tests/crash/kill_child.ts"],
): Promise<bigint> {
  const random = new Random(seed);
  let acknowledged = 0n;
  for (let i = 0; i < kills; i++) {
    const life = await live(program, directory, seed * 10_000 + i, random.below(random.pick([10, 60, 250])));
    if (life.begun < acknowledged) {
      throw new Error(`Entry ${acknowledged} was acknowledged; it began with ${life.begun}`);
    }
    acknowledged = life.acknowledged;
  }
  return acknowledged;
}

/** Starts a process, and kills it so long after it has begun. */
async function live(
  [file, ...rest]: readonly [file: string, ...args: string[]],
  directory: string,
  seed: number,
  after: number,
): Promise<Life> {
  const [command, ...args] = commandOf(file, directory, String(seed), ...rest);
  const child = spawn(command, args);
  let output = "";
  const begun = new Promise<void>((resolve) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (text) => (output += text).includes("begun") && resolve());
    }
  });
  const closed = new Promise<number | null>((resolve) => child.once("close", resolve));
  const hanging = setTimeout(() => child.kill("SIGKILL"), HANGS);
  await Promise.race([begun, closed]);
  const timer = setTimeout(() => child.kill("SIGKILL"), after);
  await closed;
  clearTimeout(timer);
  clearTimeout(hanging);
  const first = /begun (\d+)/.exec(output);
  if (first === null || child.signalCode !== "SIGKILL") throw new Error(`It ended with ${child.exitCode}: ${output}`);
  const last = [...output.matchAll(/acknowledged (\d+)\n/g)].at(-1) ?? first;
  return { begun: BigInt(first[1]!), acknowledged: BigInt(last[1]!) };
}
