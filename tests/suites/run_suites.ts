// Runs suites side by side: as many at a time as there are cores, and one that mostly waits beside them, each with its
// own output.

import { ROOT } from "./program.ts";
import type { Outcome, Planned } from "./suite.ts";

/** So many of the slowest tests are shown. */
const SLOWEST = 20;

/** How suites are run. */
export interface RunOptions {
  /** Only tests that have this in their name. */
  readonly filter?: string | undefined;
  /** Show the slowest tests at the end. */
  readonly slow?: boolean | undefined;
}

/** Runs suites, each with its files; shows what each printed when it ends, and failures once more at the end. */
export async function runSuites(
  suites: readonly Planned[],
  { filter, slow }: RunOptions,
): Promise<{ readonly passed: number; readonly failed: number }> {
  const outcomes: (readonly [title: string, outcome: Outcome])[] = [];
  const idle = suites.filter(({ waits }) => waits);
  const busy = suites.filter(({ waits }) => !waits);
  const start = performance.now();
  const work = async (...queues: Planned[][]) => {
    const next = () => queues.find((queue) => queue.length > 0)?.shift();
    for (let planned = next(); planned !== undefined; planned = next()) {
      const { suite, files } = planned;
      const begun = performance.now();
      if (suites.length > 1) console.log(`-- ${suite.title} begins`);
      const outcome = await suite.run({ files, filter, times: slow }, runProgram)
        .catch((error): Outcome => ({ passed: 0, failed: 1, output: String(error?.stack ?? error), times: [] }));
      const { passed, failed, output } = outcome;
      console.log(`\n== ${suite.title}\n${output.trim()}`);
      const seconds = ((performance.now() - begun) / 1000).toFixed(1);
      console.log(`== ${suite.title}: ${passed} passed, ${failed} failed in ${seconds} s\n`);
      outcomes.push([suite.title, outcome]);
    }
  };
  const cores = Array.from({ length: Math.max(navigator.hardwareConcurrency, 1) }, () => work(busy, idle));
  await Promise.all([work(idle), ...cores]);
  for (const [title, { failed, output }] of outcomes) {
    if (failed > 0 && suites.length > 1) {
      console.log(`\nFAILED, the end of ${title} once more:\n${output.trim().slice(-6000)}`);
    }
  }
  if (slow === true) showSlowest(outcomes);
  if (suites.length > 1) console.log(`\nAll suites: ${((performance.now() - start) / 1000).toFixed(1)} s`);
  return {
    passed: outcomes.reduce((sum, [, { passed }]) => sum + passed, 0),
    failed: outcomes.reduce((sum, [, { failed }]) => sum + failed, 0),
  };
}

function showSlowest(outcomes: readonly (readonly [title: string, outcome: Outcome])[]): void {
  const all = outcomes.flatMap(([title, { times }]) => times.map(([name, ms]) => ({ title, name, ms })));
  console.log("\nThe slowest:");
  for (const { title, name, ms } of all.sort((a, b) => b.ms - a.ms).slice(0, SLOWEST)) {
    console.log(`${(ms / 1000).toFixed(2).padStart(7)} s  ${title}: ${name}`);
  }
}

/** A line in which `runAll` says how long a test took. */
const TIME = /^TIME (\d+) (.+)$/;

async function runProgram(
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Outcome> {
  const child = new Deno.Command(program, {
    args: [...args],
    cwd: ROOT,
    env: { ...env, NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let output = "";
  const gather = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>) => {
    for await (const text of stream.pipeThrough(new TextDecoderStream())) output += text;
  };
  const [{ code }] = await Promise.all([child.status, gather(child.stdout), gather(child.stderr)]);
  const times: [string, number][] = [];
  const lines = output.split("\n").filter((line) => {
    const [, duration, name] = TIME.exec(line) ?? [];
    if (duration !== undefined) times.push([name!, Number(duration)]);
    return duration === undefined;
  });
  const shown = lines.join("\n").replaceAll(/^([.,!])\n/gm, "$1"); // Deno's dots, one a line where there is no terminal
  const counts = [...shown.matchAll(/(\d+) passed(?: \([^)]*\))?(?:,| \|) (\d+) failed/g)].at(-1);
  const [passed, failed] = counts === undefined ? [0, 0] : [Number(counts[1]), Number(counts[2])];
  if (code === 0 && counts !== undefined) return { passed, failed, output: shown, times };
  return { passed, failed: Math.max(failed, 1), output: `${shown}\n${program} ended with code ${code}`, times };
}
