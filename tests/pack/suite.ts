// The npm package: what `deno task pack` writes, installed in a project of its own as a user of npm would.

import { serviceOf } from "../suites/files.ts";
import { onDeno } from "../suites/runners.ts";
import { packagesInstalled } from "../suites/runtimes.ts";
import type { Group } from "../suites/suite.ts";
import { installTools, OF_GUIDES, TOOLS } from "./project.ts";

/** The group. */
export const suite: Group = {
  name: "pack",
  needs: "bundlers, TypeScript 5.7 to 6, publint and attw (npm)",
  installed: () => Promise.resolve(packagesInstalled("pack", TOOLS) && packagesInstalled("guides", OF_GUIDES)),
  install: installTools,
  suites: (files) => [onDeno("the npm package", files.filter((file) => serviceOf(file) === "pack"))],
};
