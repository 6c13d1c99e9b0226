// `deno task fuzz [--long] [--seed N] [--target T] [--cases N] [--case K] [--json]`: hostile input for everything that
// takes input. Some 20,000 cases; with `--long` a million. With a target, that one alone, with so many cases as its share
// is or as are said; with a case, that one alone. The same seed, target and number are the same case each time. Ends with
// 1 if there is a finding, and says how to repeat it.

import { parseArgs } from "node:util";
import { diskTargets } from "./disk.ts";
import { edgeTargets } from "./edge.ts";
import { commandOf, fuzz, HANGS, type Report } from "./run.ts";
import type { Target } from "./target.ts";

const { values } = parseArgs({
  options: {
    long: { type: "boolean" },
    seed: { type: "string" },
    target: { type: "string" },
    cases: { type: "string" },
    case: { type: "string" },
    json: { type: "boolean" },
  },
});
/** Cases in all. */
const CASES = values.long ? 1_000_000 : 20_000;
/** Cases between two looks at the memory. */
const STEP = values.long ? 10_000 : 1000;
/** How much more memory may be in use after the cases of a target than after its first ones, when nothing is garbage. */
const GROWTH = 48 * 1024 * 1024;

const seed = values.seed === undefined ? Date.now() % 1_000_000 : Number(values.seed);
const all = [...edgeTargets, ...diskTargets];
const targets = all.filter(({ name }) => values.target === undefined || name === values.target);
if (targets.length === 0) {
  throw new Error(`There is no target ${values.target}, but ${all.map((it) => it.name).join(", ")}`);
}
const shares = all.reduce((sum, { share }) => sum + share, 0);

const running = new SharedArrayBuffer(4);
const current = new Int32Array(running);
const watchdog = new Worker(new URL("./watchdog.ts", import.meta.url).href, { type: "module" });
const loose: string[] = [];
let target = targets[0]!;
addEventListener("unhandledrejection", (event) => { // a case that has left something behind: this one, or one just before
  event.preventDefault();
  const { reason } = event as PromiseRejectionEvent;
  const error = reason instanceof Error ? reason.stack : String(reason);
  loose.push(`${commandOf(seed, target.name, current[0]!)}\nNobody handles: ${error}`);
});

/** Bytes in use, when nothing is garbage. */
async function used(): Promise<number> {
  for (let times = 0; times < 3; times++) {
    await new Promise((resolve) => setTimeout(resolve, 20)); // what a case has left behind comes to its end
    (globalThis as unknown as { gc?: () => void }).gc?.();
  }
  const { heapUsed, external } = Deno.memoryUsage();
  return heapUsed + external;
}

/** Runs the cases of a target, in steps between which the memory is looked at. */
async function run(target: Target, from: number, count: number): Promise<Report & { grown: number }> {
  const whole: Report & { grown: number } = {
    ...{ target: target.name, cases: 0, accepted: 0, errors: {}, findings: [], seconds: 0, mostBytes: 0, grown: 0 },
  };
  let baseline: number | undefined;
  for (let at = from; at < from + count && whole.findings.length < 10; at += STEP) {
    const part = { seed, from: at, count: Math.min(STEP, from + count - at) };
    const report = await fuzz(target, { ...part, onCase: (number) => Atomics.store(current, 0, number) });
    whole.cases += report.cases;
    whole.accepted += report.accepted;
    for (const [code, times] of Object.entries(report.errors)) whole.errors[code] = (whole.errors[code] ?? 0) + times;
    whole.findings.push(...report.findings);
    whole.seconds += report.seconds;
    whole.mostBytes = Math.max(whole.mostBytes, report.mostBytes);
    const now = await used();
    baseline ??= now;
    whole.grown = now - baseline;
    if (!values.json) console.error(`${target.name}: ${whole.cases} of ${count}`);
  }
  if (whole.grown > GROWTH) {
    const command = `deno task fuzz ${values.long ? "--long " : ""}--seed ${seed} --target ${target.name}`;
    whole.findings.push({ command, message: `It keeps ${whole.grown} bytes` });
  }
  return whole;
}

const reports: (Report & { grown: number })[] = [];
try {
  for (target of targets) {
    const command = commandOf(seed, target.name, 0).slice(0, -1);
    Atomics.store(current, 0, -1);
    watchdog.postMessage({ running, command, limit: 4 * HANGS });
    const share = Number(values.cases ?? Math.ceil(CASES * target.share / shares));
    reports.push(await run(target, Number(values.case ?? 0), values.case === undefined ? share : 1));
  }
} catch (error) { // not a case's: its target cannot be prepared
  console.error(`${target.name}:`, error);
  Deno.exit(1);
}
watchdog.terminate();

const sum = (of: (report: Report) => number) => reports.reduce((all, report) => all + of(report), 0);
const findings = reports.flatMap(({ findings }) => findings);
for (const { command, message } of findings) console.error(`\n${command}\n${message}`);
for (const message of loose.slice(0, 10)) console.error(`\n${message}`);
const errors: Record<string, number> = {};
for (const report of reports) {
  for (const [code, times] of Object.entries(report.errors)) errors[code] = (errors[code] ?? 0) + times;
}
const result = {
  seed,
  cases: sum(({ cases }) => cases),
  accepted: sum(({ accepted }) => accepted),
  errors,
  findings: findings.length + loose.length,
  seconds: Math.round(sum(({ seconds }) => seconds)),
  rss: Deno.memoryUsage().rss,
  targets: reports.map(({ findings, seconds, ...report }) => ({
    ...report,
    findings: findings.length,
    seconds: Math.round(seconds * 10) / 10,
  })),
};
console.log(JSON.stringify(result, undefined, values.json ? undefined : 2));
Deno.exit(result.findings > 0 ? 1 : 0);
