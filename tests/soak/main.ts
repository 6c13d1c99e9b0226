// `deno task soak [--minutes M] [--seed N] [--json]`: looks for what grows. 10,000 cycles at least, and more if there are
// minutes. Ends with 1 if anything grew.

import { parseArgs } from "node:util";
import { soak } from "./soak.ts";

const { values } = parseArgs({
  options: { seed: { type: "string" }, minutes: { type: "string", default: "0" }, json: { type: "boolean" } },
});
/** So many cycles, if there are no minutes. */
const CYCLES = 10_000;

const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
const end = performance.now() + Number(values.minutes) * 60_000;
const again = `again: deno task soak --seed ${seed} --minutes ${values.minutes}`;
try {
  const report = await soak(seed, (cycles) => {
    if (!values.json && cycles % 1000 === 0) console.error(`${cycles} cycles`);
    return Number(values.minutes) > 0 ? performance.now() < end : cycles < CYCLES;
  });
  console.log(JSON.stringify(report, undefined, values.json ? undefined : 2));
  if (report.leaks.length > 0) {
    console.error(`${report.leaks.join("\n")}\nSomething grew; ${again}`);
    Deno.exit(1);
  }
} catch (error) {
  console.error(error);
  console.error(`Seed ${seed} went wrong; ${again}`);
  Deno.exit(1);
}
