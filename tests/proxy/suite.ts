// Proxies in front of a handler, and clients that are not ours: programs of Debian's, unpacked beside the runtimes.

import { existsSync } from "node:fs";
import { serviceOf } from "../suites/files.ts";
import { unpackDebian } from "../suites/debian.ts";
import { onDeno, onNodeOrBun } from "../suites/runners.ts";
import { RUNTIMES } from "../suites/runtimes.ts";
import type { Group } from "../suites/suite.ts";
import { PACKAGES, programsInstalled } from "./programs.ts";

/** The tests that run on Node and Bun too: of what these send and take. */
const EVERYWHERE = ["tests/proxy/clients_test.ts", "tests/proxy/nginx_test.ts"];
/** Those for which Bun's server says too little. */
const WITH_LENGTHS = ["tests/proxy/lengths_test.ts"];

const DIRECTORY = `${RUNTIMES}/proxy`;
/** Where it is said why the programs cannot be had on this machine. */
const LACKING = `${DIRECTORY}/lacking`;

/** Why they cannot be had, if that was tried. */
function lacks(): string | undefined {
  return existsSync(LACKING) ? Deno.readTextFileSync(LACKING) : undefined;
}

/** The group. Its suites are skipped, and counted, where the programs cannot be had. */
export const suite: Group = {
  name: "proxy",
  waits: true,
  needs: "nginx, curl, wget and aria2 (Debian's packages)",
  installed: async () => lacks() !== undefined || await programsInstalled(),
  async install() {
    console.error("Unpacking nginx, curl, wget and aria2 into .runtimes/proxy …");
    try {
      await unpackDebian(DIRECTORY, PACKAGES);
      if (!await programsInstalled()) throw new Error(`The packages ${PACKAGES.join(", ")} do not run here`);
    } catch (error) {
      await Deno.mkdir(DIRECTORY, { recursive: true });
      await Deno.writeTextFile(LACKING, error instanceof Error ? error.message : String(error));
    }
  },
  suites: (files) =>
    [
      onDeno("Proxies and clients, Deno", files.filter((file) => serviceOf(file) === "proxy")),
      onNodeOrBun("Proxies and clients, Node 24", "node24", "proxy-node", [...EVERYWHERE, ...WITH_LENGTHS]),
      onNodeOrBun("Proxies and clients, Bun", "bun", "proxy", EVERYWHERE),
    ].map((suite) => ({ ...suite, lacks })),
};
