// Installs on a real disk, over real HTTP, by a process that is killed again and again.

import { spawn } from "node:child_process";
import { rm } from "node:fs/promises";
import process from "node:process";
import { snapshotHandler } from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { serve } from "../../src/transfer/server/serve.ts";
import { Network } from "./network.ts";
import { commandOf } from "../support/child.ts";
import { Random } from "../support/random.ts";
import { isSame, randomSnapshot, type Totals } from "./round.ts";

/** How often the process is killed at the most. */
const MOST_KILLS = 6;

/**
 * Plays a round on the disk.
 *
 * @throws if anything is not as it should be
 */
export async function playKills(directory: string, seed: number, totals: Totals): Promise<void> {
  const random = new Random(seed);
  const leader = await DirectoryStorage.open(`${directory}/leader`);
  const here = `${directory}/here`;
  await randomSnapshot(leader, 5n, random, 20_000_000);
  if (random.chance(0.5)) {
    const storage = await DirectoryStorage.open(here);
    await randomSnapshot(storage, 2n, random, 5_000_000);
    await storage.close();
  }
  const network = new Network(random, random.pick([0, 0.1, 0.3]), totals.faults);
  const handler = snapshotHandler(leader);
  const server = await serve(network.between(handler), { port: 0 });
  try {
    for (let kills = 0;; kills++) {
      totals.attempts++;
      const [command, ...args] = commandOf("tests/chaos/child.ts", here, server.url);
      const child = spawn(command, args);
      const ended = new Promise<number | null>((resolve) => child.once("exit", resolve));
      let output = "";
      const begun = new Promise<void>((resolve) => {
        child.stdout!.on("data", (text) => (output += text).includes("begun") && resolve());
      });
      if (kills < MOST_KILLS) {
        await Promise.race([begun, ended]);
        const timer = setTimeout(() => process.kill(child.pid!, "SIGKILL"), random.below(random.pick([20, 200, 600])));
        await ended;
        clearTimeout(timer);
      }
      const code = await ended;
      for (const [, name] of output.matchAll(/error (\w+)/g)) totals.errors[name!] = (totals.errors[name!] ?? 0) + 1;
      if (code === 0) break;
      if (child.signalCode !== "SIGKILL") throw new Error(`The process ended with ${code}: ${output}`);
      totals.kills++;
    }
    const storage = await DirectoryStorage.open(here);
    if (!await isSame(storage, leader, 5n)) throw new Error("It is not what was sent");
    totals.bytes += (await storage.list())[0]!.size;
    if ((await storage.unfinished()).length > 0) throw new Error("An install is left of what was installed");
    await storage.close();
    totals.installs++;
  } finally {
    await server.close();
    await handler.close();
    await leader.close();
    await rm(directory, { recursive: true, force: true });
    totals.rounds++;
  }
}
