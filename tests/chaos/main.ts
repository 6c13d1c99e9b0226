// `deno task chaos [--seed N] [--minutes M] [--only TEXT] [--json]`: rounds without end of installs through a bad
// network, of installs by processes that are killed, and of clusters: a leader, followers, promotions and a backup.
// With a seed, that round alone, as often as there are minutes; `--only` plays the rounds whose kind has that text.
// Ends with 1 at the first that goes wrong.

import { parseArgs } from "node:util";
import { inFakeTime } from "../support/fake_clock.ts";
import { inTemp } from "../support/temp.ts";
import { playKills } from "./kills.ts";
import { noClusterTotals, playCluster } from "./cluster_round.ts";
import { noTotals, playRound } from "./round.ts";

const { values } = parseArgs({
  options: {
    seed: { type: "string" },
    minutes: { type: "string", default: "1" },
    only: { type: "string", default: "" },
    json: { type: "boolean" },
  },
});
/** Every so many rounds one is on the disk, with kills. */
const KILL_EVERY = 10;
/** A round that takes longer hangs, in milliseconds. */
const HANGS = 120_000;

const [totals, clusters] = [noTotals(), noClusterTotals()];
const first = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
const end = performance.now() + Number(values.minutes) * 60_000;
let seed = first;
let played = 0;
try {
  do {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const hanging = new Promise<never>((_, reject) => timer = setTimeout(() => reject(new Error("It hangs")), HANGS));
    const kinds: readonly [name: string, play: () => Promise<void>][] = [
      seed % KILL_EVERY === 0
        ? ["kills", () => inTemp((directory) => playKills(`${directory}/round`, seed, totals))]
        : ["installs", () => inFakeTime(() => playRound(seed, totals))],
      ["cluster", () => inFakeTime(() => playCluster(seed, clusters))],
    ];
    for (const [name, play] of kinds) if (name.includes(values.only)) await Promise.race([play(), hanging]);
    clearTimeout(timer);
    if (values.seed === undefined) seed++;
    if (!values.json && ++played % 50 === 0) console.log(JSON.stringify({ ...totals, clusters }));
  } while (performance.now() < end);
} catch (error) {
  console.error(error);
  console.error(`Seed ${seed} went wrong; again: deno task chaos --seed ${seed}`);
  Deno.exit(1);
}
console.log(JSON.stringify({ first, last: seed, ...totals, clusters }, undefined, values.json ? undefined : 2));
