// `deno task bench [name] [--runtime deno|node|bun|all] [--size MIB] [--rounds N] [--json]`

import { parseArgs } from "node:util";
import { versitygw } from "../support/s3_kinds.ts";
import { newS3Bucket, type S3Server } from "../support/s3_where.ts";
import { bundle, LOCK } from "../suites/program.ts";
import { linkNativePackages, runtime } from "../suites/runtimes.ts";
import type { Finding } from "./report.ts";

const HERE = new URL(".", import.meta.url).pathname;
const ROOT = new URL("../..", import.meta.url).pathname;
const BENCHES =
  "save verify files pull transfer pause cow memory state propose growth object follow versitygw strangers peers formats"
    .split(
      " ",
    );
/** What is measured by several programs. */
const PARTS: Readonly<Record<string, readonly string[]>> = { object: ["object", "durable_object", "jetstream"] };
const CHILDREN = ["pull_server", "memory_child", "transfer_node", "follow_child", "formats_child", "strangers_server"];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    runtime: { type: "string", default: "deno" },
    size: { type: "string", default: "1024" },
    rounds: { type: "string", default: "3" },
    json: { type: "boolean", default: false },
  },
});
/** Those that start servers as Deno does. */
const ON_DENO: readonly string[] = PARTS["object"]!;
/** Those that are told how much, and how often. */
const SIZED: readonly string[] = ["peers", "formats", "versitygw"];
const asked = positionals.length > 0 ? positionals : BENCHES;
for (const name of asked) {
  if (!BENCHES.includes(name)) throw new Error(`There is no benchmark ${name}, but ${BENCHES.join(", ")}`);
}
const names = asked.flatMap((name) => PARTS[name] ?? [name]);

/** The server that a benchmark reads from, which is told where it is. */
async function serverFor(name: string): Promise<S3Server | undefined> {
  if (name !== "versitygw") return undefined;
  if (!versitygw.installed()) await versitygw.install();
  return await versitygw.start();
}

/** The command that runs a module on a runtime. */
async function commandFor(name: string, on: string): Promise<[program: string, args: string[]]> {
  if (on === "deno") {
    return [Deno.execPath(), [
      "run",
      "--allow-all",
      "--quiet",
      LOCK,
      "--v8-flags=--max-old-space-size=8192",
      `${HERE}${name}.ts`,
    ]];
  }
  await linkNativePackages(`${ROOT}.build`);
  for (const module of [name, ...CHILDREN]) await bundle(`bench-${module}`, "deno", [`import "${HERE}${module}.ts";`]);
  const path = `${ROOT}.build/bench-${name}.mjs`;
  if (on === "bun") return [await runtime("bun"), [path]];
  if (on === "node") {
    return [await runtime("node24"), ["--disable-warning=ExperimentalWarning", "--max-old-space-size=8192", path]];
  }
  throw new Error(`There is no runtime ${on}, but deno, node, bun, and all`);
}

await Deno.mkdir(`${ROOT}.build`, { recursive: true });
let failed = false;
const runtimes = values.runtime === "all" ? ["deno", "node", "bun"] : [values.runtime];
const runs = names.flatMap((name) => (ON_DENO.includes(name) ? ["deno"] : runtimes).map((on) => ({ name, on })));
for (const { name, on } of runs) {
  const [program, args] = await commandFor(name, on);
  if (SIZED.includes(name)) args.push(values.size, values.rounds);
  const server = await serverFor(name);
  if (server !== undefined) args.push(JSON.stringify(await newS3Bucket(server)));
  const child = new Deno.Command(program, { args, cwd: ROOT, stdout: "piped", stderr: "inherit" }).spawn();
  let rest = "";
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    for (const line of lines) {
      if (values.json) {
        console.log(line);
        continue;
      }
      const { bench, case: what, runtime: where, value, unit, goal, met } = JSON.parse(line) as Finding;
      const verdict = goal === undefined ? "" : `  ${met ? "✓" : "✗"} ${goal}`;
      console.log(
        `${where.padEnd(14)} ${bench.padEnd(8)} ${what.padEnd(52)} ${String(value).padStart(9)} ${unit}${verdict}`,
      );
    }
  }
  if (!(await child.status).success) failed = true;
  await server?.stop();
}
Deno.exit(failed ? 1 : 0);
