// The suite of the real programs: they write what we read, and read, and start from, what we write.

import { serviceOf } from "../suites/files.ts";
import { onDeno } from "../suites/runners.ts";
import type { Group } from "../suites/suite.ts";
import { buildGoJudge, goJudgeInstalled } from "./judge.ts";

/** The group. It takes minutes to build, so that it is run where it is named, or was built. */
export const suite: Group = {
  name: "interop",
  needs: "the programs of other systems (Go)",
  onRequest: true,
  installed: goJudgeInstalled,
  async install() {
    console.error("Building hashicorp/raft, raft-snapshot and etcd into .runtimes/interop, for some minutes …");
    await buildGoJudge();
  },
  suites: (files) => [onDeno("Interop, Deno", files.filter((file) => serviceOf(file) === "interop"))],
};
