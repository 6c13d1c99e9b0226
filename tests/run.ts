// Runs tests: all of them, the groups that are named, or files. tests/README.md says what there is.

import process from "node:process";
import { parseArgs } from "node:util";
import { serviceOf, testFiles } from "./suites/files.ts";
import { allGroups, jsrGroup, ready } from "./suites/groups.ts";
import { ROOT } from "./suites/program.ts";
import { runSuites } from "./suites/run_suites.ts";
import type { Group, Planned } from "./suites/suite.ts";
import { countTests } from "./suites/table.ts";

const USAGE = `deno task test [GROUP or FILE …] [--runtime NAME] [--filter WORDS] [--slow]

  GROUP            deno, node, bun, workerd, pack, edge, browser, jetstream, s3, interop; none: all of them; or jsr
  FILE             a test file, or a folder of them: on Deno, or on --runtime
  --runtime NAME   deno, node22, node24, bun, workerd, workerd-nodejs, chromium, firefox
  --filter WORDS   only tests that have this in their name; on Deno, if neither group nor runtime is named
  --std DIR        for jsr: a checkout of the real packages of @std; else they come from JSR
  --slow           the twenty slowest tests, at the end`;

/** What was asked for. */
interface Request {
  /** The suites, with the files of each. */
  readonly suites: readonly Planned[];
  /** Tests that do not run, since what they need is not here. */
  readonly skipped: number;
}

const { values, positionals } = parseArgs({
  args: Deno.args,
  allowPositionals: true,
  options: {
    filter: { type: "string" },
    help: { type: "boolean", short: "h" },
    runtime: { type: "string" },
    slow: { type: "boolean" },
    std: { type: "string" },
  },
});
const groups = await allGroups();
const files = await testFiles();

/** Everything that is here, or the groups that are named: what these need is installed. */
async function suitesOf(names: readonly string[]): Promise<Request> {
  const suites: Planned[] = [];
  let skipped = 0;
  for (const group of names.length === 0 ? groups : names.map(groupOf)) {
    const { name, needs, installed, waits = false } = group;
    if (names.length > 0) await ready(group);
    if (await installed?.() === false) {
      const count = await sumOf(files.filter((file) => serviceOf(file) === name));
      console.log(`-- ${name}: ${count} tests not run. They need ${needs}; deno task test:${name} gets it`);
      skipped += count;
      continue;
    }
    for (const suite of group.suites(files)) {
      const lacks = suite.lacks?.();
      if (lacks === undefined) suites.push({ suite, files: suite.files, waits });
      else {
        const count = await sumOf(suite.files);
        console.log(`-- ${suite.title}: ${count} tests not run. ${lacks}`);
        skipped += count;
      }
    }
  }
  return { suites, skipped };
}

async function sumOf(files: readonly string[]): Promise<number> {
  return [...(await countTests(files)).values()].reduce((sum, count) => sum + count, 0);
}

/** The tests of some files, each by the suites of its group that run on a runtime. */
async function suitesWith(chosen: readonly string[], runtime: string): Promise<Request> {
  const suites: Planned[] = [];
  let skipped = 0;
  const byGroup = Map.groupBy(chosen, (file) => serviceOf(file));
  for (const [service, files] of byGroup) {
    const group = service === undefined
      ? groups.find((group) => group.suites([]).some((suite) => suite.runtime === runtime))
      : groupOf(service);
    const on = group?.suites(files).filter((suite) => suite.runtime === runtime) ?? [];
    const first = on[0] ?? (runtime === "deno" ? group?.suites(files)[0] : undefined);
    if (group === undefined || first === undefined) throw new Error(`Nothing runs ${files.join(", ")} on ${runtime}`);
    await ready(group);
    // Each suite runs its own files; what none of them has by itself the first one can run.
    const others = files.filter((file) => !on.some((suite) => suite.files.includes(file)));
    for (const suite of on.length === 0 ? [first] : on) {
      const own = files.filter((file) => suite.files.includes(file)).concat(suite === first ? others : []);
      const lacks = suite.lacks?.();
      if (lacks !== undefined && own.length > 0) {
        console.log(`-- ${suite.title}: not run. ${lacks}`);
        skipped += await sumOf(own);
      } else if (own.length > 0) suites.push({ suite, files: own, waits: false });
    }
  }
  return { suites, skipped };
}

function groupOf(name: string): Group {
  const found = [...groups, jsrGroup(values.std)].find((group) => group.name === name);
  if (found === undefined) throw new Error(`There is no ${name}: neither a group of tests nor a test file\n\n${USAGE}`);
  return found;
}

/** The test files that an argument names: itself, or all below it. */
function filesBelow(path: string): string[] {
  const below = new URL(path, `file://${Deno.cwd()}/`).pathname.replace(ROOT, "").replace(/\/$/, "");
  return files.filter((file) => file === below || file.startsWith(`${below}/`));
}

if (import.meta.main) {
  if (values.help === true) {
    console.log(USAGE);
    Deno.exit(0);
  }
  const { filter, runtime, slow } = values;
  const chosen = [...new Set(positionals.flatMap(filesBelow))];
  const named = positionals.filter((name) => filesBelow(name).length === 0);
  if (runtime !== undefined && chosen.length === 0) {
    chosen.push(
      ...files.filter((file) =>
        groups.some((group) =>
          group.suites(files).some((suite) => suite.runtime === runtime && suite.files.includes(file))
        )
      ),
    );
  }
  if (chosen.length > 0 && named.length > 0) groupOf(named[0]!);
  const { suites, skipped } = chosen.length > 0
    ? await suitesWith(chosen, runtime ?? "deno")
    : await suitesOf(named.length === 0 && filter !== undefined ? ["deno"] : named);
  const { passed, failed } = await runSuites(suites, { filter, slow });
  console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
}
