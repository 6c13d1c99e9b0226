// The worker, and the program for Node that drives it, each as one module.

import { walk } from "../walk.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const BUILD = `${ROOT}.build`;

/** Makes both. Returns the program. */
export async function bundleEdge(): Promise<string> {
  await Deno.mkdir(BUILD, { recursive: true });
  await bundleWorker();
  const tests = (await walk(`${ROOT}tests/edge`)).filter((path) => path.endsWith("_test.ts"));
  const only = Deno.env.get("ONLY");
  const entry = `${BUILD}/edge_suite.ts`;
  await Deno.writeTextFile(
    entry,
    [
      ...tests.filter((path) => only === undefined || path.includes(only)).map((path) => `import "${path}";`),
      `import process from "node:process";`,
      `import { runAll } from "${ROOT}tests/harness.ts";`,
      `import { stopTheWorker } from "${ROOT}tests/edge/miniflare.ts";`,
      "const failed = await runAll(console.log);",
      "await stopTheWorker();",
      "process.exit(failed > 0 ? 1 : 0);",
    ].join("\n"),
  );
  return await bundle(entry, `${BUILD}/edge_suite.mjs`, "deno");
}

/** Makes the worker. */
export async function bundleWorker(): Promise<string> {
  await Deno.mkdir(BUILD, { recursive: true });
  return await bundle(`${ROOT}tests/edge/worker.ts`, `${BUILD}/edge_worker.mjs`, "browser");
}

async function bundle(entry: string, output: string, platform: "deno" | "browser"): Promise<string> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["bundle", "--quiet", "--platform", platform, "--output", output, entry],
    cwd: ROOT,
  }).output();
  if (!success) throw new Error(`Cannot bundle ${entry}:\n${new TextDecoder().decode(stderr)}`);
  return output;
}
