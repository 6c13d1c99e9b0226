// `deno task chaos [--seed N] [--minutes M] [--json]`: installs without end through a bad network, and by processes that
// are killed. With a seed, that round alone, as often as there are minutes. Ends with 1 at the first that goes wrong.

import { parseArgs } from "node:util";
import { inTemp } from "../support/temp.ts";
import { playKills } from "./kills.ts";
import { noTotals, playRound } from "./round.ts";

const { values } = parseArgs({
  options: { seed: { type: "string" }, minutes: { type: "string", default: "1" }, json: { type: "boolean" } },
});
/** Every so many rounds one is on the disk, with kills. */
const KILL_EVERY = 10;
/** A round that takes longer hangs, in milliseconds. */
const HANGS = 120_000;

const totals = noTotals();
const first = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
const end = performance.now() + Number(values.minutes) * 60_000;
let seed = first;
try {
  do {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const hanging = new Promise<never>((_, reject) => timer = setTimeout(() => reject(new Error("It hangs")), HANGS));
    const round = seed % KILL_EVERY === 0
      ? inTemp((directory) => playKills(`${directory}/round`, seed, totals))
      : playRound(seed, totals);
    await Promise.race([round, hanging]);
    clearTimeout(timer);
    if (values.seed === undefined) seed++;
    if (!values.json && totals.rounds % 50 === 0) console.log(JSON.stringify(totals));
  } while (performance.now() < end);
} catch (error) {
  console.error(error);
  console.error(`Seed ${seed} went wrong; again: deno task chaos --seed ${seed}`);
  Deno.exit(1);
}
console.log(JSON.stringify({ first, last: seed, ...totals }, undefined, values.json ? undefined : 2));
