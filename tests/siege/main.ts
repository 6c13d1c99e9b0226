// `deno task siege [--runtime deno|node24|bun] [--seed N] [--minutes M] [--json]`: the honest among strangers, and in
// each fifth round alone, in a process of its own on the runtime, or on all three; before that alone for a sixth of the
// time, for the memory. Ends with 1 if anything is not as it should be.

import { parseArgs } from "node:util";
import { LOCK, program, ROOT } from "../suites/program.ts";
import { runtime } from "../suites/runtimes.ts";
import type { MeasuredReport } from "./child.ts";

/** The least share of their rate alone that the honest have among strangers. */
const LEAST_RATE = 0.5;
/** The longest time for which the event loop may be blocked, in milliseconds. */
const LONGEST_BLOCK = 100;
/** The memory that strangers may take, in MiB. */
const MEMORY_BUDGET = 256;
/** The longest save, in milliseconds. */
const LONGEST_SAVE = 5000;

const { values } = parseArgs({
  options: {
    runtime: { type: "string", multiple: true, default: ["deno", "node24", "bun"] },
    seed: { type: "string" },
    minutes: { type: "string", default: "1" },
    json: { type: "boolean" },
  },
});

const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
const milliseconds = Number(values.minutes) * 60_000;

async function besiege(name: string, ms: number, strangers: boolean): Promise<MeasuredReport> {
  const child = "tests/siege/child.ts";
  if (name !== "deno") await program("tests/siege/crowd_child.ts");
  const args = [String(seed), String(Math.round(ms)), String(strangers)];
  const [command, ...rest] = name === "deno"
    ? [Deno.execPath(), "run", "--allow-all", "--quiet", LOCK, "--no-check", "--v8-flags=--expose-gc", ROOT + child]
    : [await runtime(name as "node24" | "bun"), await program(child)];
  const { stdout } = await new Deno.Command(command!, { args: [...rest, ...args], cwd: ROOT, stderr: "inherit" })
    .output();
  return JSON.parse(new TextDecoder().decode(stdout));
}

let failed = false;
for (const name of values.runtime) {
  const alone = await besiege(name, milliseconds / 6, false);
  const report = await besiege(name, milliseconds * 5 / 6, true);
  const { violations, share } = report;
  const grown = Math.round(report.rss - alone.rss);
  if (share < LEAST_RATE) violations.push(`The honest have ${share.toFixed(2)} of their rate alone`);
  // What the honest do by themselves is theirs.
  if (report.longestBlock > Math.max(LONGEST_BLOCK, alone.longestBlock)) {
    violations.push(`The event loop was blocked for ${report.longestBlock} ms`);
  }
  if (grown > MEMORY_BUDGET) violations.push(`${grown} MiB more than without strangers`);
  for (const work of ["save", "followerSaves"] as const) {
    if (report.work[work].longest > LONGEST_SAVE) violations.push(`A save took ${report.work[work].longest} ms`);
  }
  failed ||= violations.length > 0;
  const summary = { runtime: name, share, grown, longestBlockAlone: alone.longestBlock };
  console.log(JSON.stringify({ ...summary, ...report }, undefined, values.json ? undefined : 2));
  if (violations.length > 0) console.error(`Again: deno task siege --runtime ${name} --seed ${seed}`);
}
Deno.exit(failed ? 1 : 0);
