// The suite of the real programs: they write what we read, and read, and start from, what we write.

import { serviceOf } from "../suites/files.ts";
import { onDeno } from "../suites/runners.ts";
import type { Group } from "../suites/suite.ts";
import { buildJudges, judgesInstalled } from "./judge.ts";

/** The group. It takes minutes to build, so that it is run where it is named, or was built. */
export const suite: Group = {
  name: "interop",
  needs: "the programs of other systems (Go, Java, Maven)",
  onRequest: true,
  installed: judgesInstalled,
  async install() {
    console.error("Building the programs of other systems into .runtimes/interop, for some minutes …");
    await buildJudges();
  },
  suites: (files) => [onDeno("Interop, Deno", files.filter((file) => serviceOf(file) === "interop"))],
};
