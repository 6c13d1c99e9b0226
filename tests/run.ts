// Runs the tests on every runtime, or on those that are named: deno, node, bun, workerd, pack, jsr; and edge, browser,
// jetstream, s3, which need more: asked for by name they install that, else they run where it is.
// Files called `*_test.ts` run everywhere; `*_disk_test.ts` where there is a disk.

import { walk } from "./walk.ts";
import { linkNativePackages, NATIVE_PACKAGES, runtime } from "./runtimes.ts";
import { runPack } from "./pack.ts";
import { service, SERVICES } from "./service.ts";
import { runWorkerd } from "./workerd.ts";

const ROOT = new URL("..", import.meta.url).pathname;
const BUILD = `${ROOT}.build`;

/** What a run gave. */
export interface Outcome {
  readonly passed: number;
  readonly failed: number;
  /** Tests that did not run, since what they need is not here. */
  readonly skipped?: number;
  /** What it printed last, if something failed: the failures. */
  readonly tail?: string;
}

/** So much of what a run that failed printed is shown again at the very end, where it is found. */
const TAIL = 6000;

/** Runs a program, shows what it prints, and takes the counts from its last line of them. */
async function run(
  name: string,
  program: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Outcome> {
  console.log(`\n== ${name}`);
  const child = new Deno.Command(program, { args: [...args], cwd: ROOT, env, stdout: "piped", stderr: "inherit" })
    .spawn();
  let output = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    output += text;
    await Deno.stdout.write(new TextEncoder().encode(text));
  }
  const { code } = await child.status;
  const plain = output.replaceAll(new RegExp(String.raw`\u001b\[[0-9;]*m`, "g"), ""); // no colours
  const counts = [
    ...plain.matchAll(/(\d+) passed(?: \([^)]*\))?(?:,| \|) (\d+) failed/g),
  ].at(-1);
  const [passed, failed] = counts === undefined ? [0, 0] : [Number(counts[1]), Number(counts[2])];
  if (code === 0 && counts !== undefined) return { passed, failed };
  console.log(`${name} ended with code ${code}`);
  return { passed, failed: Math.max(failed, 1), tail: `== ${name}\n${plain.slice(-TAIL)}` };
}

/** What the suites that need more have. */
const OF_SERVICES = SERVICES.map((name) => `${ROOT}tests/${name}/`);

/** One module of a program, for a runtime without TypeScript and import maps. */
async function bundleModule(entry: string, output: string, platform: "deno" | "browser"): Promise<string> {
  const external = NATIVE_PACKAGES.flatMap((name) => ["--external", name]);
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--platform", platform, ...external, "--output", output, entry],
    cwd: ROOT,
  }).output();
  if (!success) throw new Error(`Cannot bundle ${entry}:\n${new TextDecoder().decode(stderr)}`);
  return output;
}

/** One module of all tests that fit. */
async function bundle(name: string, withDisk: boolean, platform: "deno" | "browser", tail: string): Promise<string> {
  await Deno.mkdir(BUILD, { recursive: true });
  const files = (await walk(`${ROOT}tests`)).filter((path) =>
    path.endsWith("_test.ts") && (withDisk || !path.endsWith("_disk_test.ts")) &&
    !OF_SERVICES.some((directory) => path.startsWith(directory))
  );
  const entry = `${BUILD}/${name}.ts`;
  await Deno.writeTextFile(entry, [...files.map((path) => `import "${path}";`), tail].join("\n"));
  if (withDisk) await linkNativePackages(BUILD);
  if (withDisk) await bundleModule(`${ROOT}src/cli/main.ts`, `${BUILD}/cli.mjs`, platform);
  return await bundleModule(entry, `${BUILD}/${name}.mjs`, platform);
}

const ON_NODE = `
import { runAll } from "${ROOT}tests/harness.ts";
process.exitCode = await runAll(console.log) > 0 ? 1 : 0;
setTimeout(() => {
  console.log("FAILED: what was left keeps the process from ending: " + process.getActiveResourcesInfo?.());
  console.log("0 passed, 1 failed");
  process.exit(1);
}, 150_000).unref(); // a body that a client has left alone keeps its place for a minute
`;

const ON_WORKERD = `
import { runAll } from "${ROOT}tests/harness.ts";
export default { async test() { if (await runAll(console.log) > 0) throw new Error("There are failures"); } };
`;

const suites: Readonly<Record<string, () => Promise<Outcome[]>>> = {
  deno: async () => [
    await run("Deno", Deno.execPath(), [
      "test",
      "--allow-all",
      "--trace-leaks",
      ...OF_SERVICES.map((directory) => `--ignore=${directory}`),
      "tests/",
    ]),
  ],
  async node() {
    const suite = await bundle("disk", true, "deno", ON_NODE);
    return [
      await run("Node 22", await runtime("node22"), ["--disable-warning=ExperimentalWarning", suite]),
      await run("Node 24", await runtime("node24"), ["--disable-warning=ExperimentalWarning", suite]),
    ];
  },
  async bun() {
    return [await run("Bun", await runtime("bun"), [await bundle("disk", true, "deno", ON_NODE)])];
  },
  async workerd() {
    const suite = await bundle("edge", false, "browser", ON_WORKERD);
    const outcomes: Outcome[] = [];
    for (const compatible of [true, false]) {
      const [program, args] = await runWorkerd(suite, BUILD, compatible);
      outcomes.push(await run(`workerd ${compatible ? "with" : "without"} nodejs_compat`, program, args));
    }
    return outcomes;
  },
  pack: async () => [await runPack(ROOT, BUILD, run)],
  async jsr() {
    const config = JSON.parse(await Deno.readTextFile(`${ROOT}deno.json`));
    delete config.links;
    await Deno.writeTextFile(`${ROOT}.deno.jsr.json`, JSON.stringify(config));
    try {
      return [
        await run("Deno, with the real @std", Deno.execPath(), [
          "test",
          "--config",
          ".deno.jsr.json",
          "--no-lock",
          "--allow-all",
          "--trace-leaks",
          ...OF_SERVICES.map((directory) => `--ignore=${directory}`),
          "tests/",
        ]),
      ];
    } finally {
      await Deno.remove(`${ROOT}.deno.jsr.json`);
    }
  },
};

/** Runs a suite that needs more than the runtimes. */
async function runService(name: string, mayInstall: boolean): Promise<Outcome[]> {
  const known = SERVICES.find((service) => service === name);
  if (known === undefined) {
    throw new Error(`There is no suite ${name}, but ${[...Object.keys(suites), ...SERVICES].join(", ")}`);
  }
  const suite = await service(known);
  if (!await suite.installed()) {
    if (!mayInstall) {
      const skipped = await countTests(`${ROOT}tests/${name}`);
      console.log(`\n== ${name}: ${skipped} tests not run. They need ${suite.needs}; deno task test:${name} gets it`);
      return [{ passed: 0, failed: 0, skipped }];
    }
    await suite.install();
  }
  return await suite.run(run);
}

/** How many tests there are in a directory, without running one. */
async function countTests(directory: string): Promise<number> {
  const files = (await walk(directory)).filter((path) => path.endsWith("_test.ts"));
  const program = `let count = 0;
Deno.test = () => count++;
${files.map((path) => `await import(${JSON.stringify(path)});`).join("\n")}
console.log(count);
Deno.exit(0);`;
  const entry = `${BUILD}/count.ts`;
  await Deno.mkdir(BUILD, { recursive: true });
  await Deno.writeTextFile(entry, program);
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--allow-all", "--no-check", "--config", `${ROOT}deno.json`, entry],
    cwd: ROOT,
    stderr: "inherit",
  }).output();
  return Number(new TextDecoder().decode(stdout).trim().split("\n").at(-1));
}

if (import.meta.main) {
  const everything = Deno.args.length === 0;
  const asked = everything ? ["deno", "node", "bun", "workerd", "pack", ...SERVICES] : Deno.args;
  const outcomes: Outcome[] = [];
  for (const name of asked) outcomes.push(...await (suites[name]?.() ?? runService(name, !everything)));
  const passed = outcomes.reduce((sum, outcome) => sum + outcome.passed, 0);
  const failed = outcomes.reduce((sum, outcome) => sum + outcome.failed, 0);
  for (const { tail } of outcomes) if (tail !== undefined) console.log(`\nFAILED, the end of it once more: ${tail}`);
  const skipped = outcomes.reduce((sum, { skipped = 0 }) => sum + skipped, 0);
  console.log(`\n${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`);
  Deno.exit(failed > 0 || passed === 0 ? 1 : 0);
}
