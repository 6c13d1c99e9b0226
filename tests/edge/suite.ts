// Durable Objects and R2, in workerd, as miniflare has them on this machine.

import { serviceOf } from "../suites/files.ts";
import { bundle, choice, imports, ROOT } from "../suites/program.ts";
import { installPackages, packagesInstalled, runtime } from "../suites/runtimes.ts";
import type { Group, Selection } from "../suites/suite.ts";
import { bundleWorker } from "./bundle.ts";

const PACKAGES = { miniflare: "miniflare@4.20260730.0" };

/** The group. */
export const suite: Group = {
  name: "edge",
  needs: `${PACKAGES.miniflare} (npm)`,
  installed: () => Promise.resolve(packagesInstalled("edge", PACKAGES)),
  install: () => installPackages("edge", PACKAGES.miniflare, PACKAGES),
  suites: (files) => [{
    title: "Durable Objects and R2",
    runtime: "workerd",
    files: files.filter((file) => serviceOf(file) === "edge"),
    async run(selection, run) {
      await bundleWorker();
      return await run(await runtime("node24"), ["--disable-warning=ExperimentalWarning", await driver(selection)]);
    },
  }],
};

/** The program, for Node, that drives the worker. */
function driver(selection: Selection): Promise<string> {
  return bundle("edge", "deno", [
    ...imports(selection.files),
    `import process from "node:process";`,
    `import { runAll } from "${ROOT}tests/support/harness.ts";`,
    `import { stopTheWorker } from "${ROOT}tests/support/miniflare.ts";`,
    `const failed = await runAll(console.log, ${choice(selection)});`,
    "await stopTheWorker();",
    "process.exit(failed > 0 ? 1 : 0);",
  ]);
}
