// JetStream: needs the program of Debian's package nats-server. It is unpacked beside the other runtimes, not installed, so
// that no service of the system is started and no root is needed.

import { runtime } from "../runtimes.ts";
import type { Service } from "../service.ts";
import { PROGRAM, programPath } from "./nats.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const DIRECTORY = `${ROOT}.runtimes/jetstream`;
const BUILD = `${ROOT}.build`;

async function sh(program: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args, cwd: DIRECTORY, stdout: "null", stderr: "piped" })
    .output();
  if (!success) throw new Error(`${program} ${args.join(" ")} failed:\n${new TextDecoder().decode(stderr)}`);
}

/** The suite. */
export const suite: Service = {
  needs: "nats-server (Debian's package)",
  installed: () => Promise.resolve(programPath() !== undefined),
  async install() {
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
  async run(run) {
    const bundle = await bundled();
    return [
      await run("JetStream", Deno.execPath(), ["test", "--allow-all", "--trace-leaks", `${ROOT}tests/jetstream/`]),
      await run("JetStream, Node 24", await runtime("node24"), ["--disable-warning=ExperimentalWarning", bundle]),
      await run("JetStream, Bun", await runtime("bun"), [bundle]),
    ];
  },
};

/** What else runs on Node and Bun: one module of it. The example shows the rest. */
async function bundled(): Promise<string> {
  const names = ["log", "members", "replica"];
  const entry = `${BUILD}/jetstream.ts`;
  const output = `${BUILD}/jetstream.mjs`;
  await Deno.mkdir(BUILD, { recursive: true });
  await Deno.writeTextFile(
    entry,
    [
      ...names.map((name) => `import "${ROOT}tests/jetstream/${name}_test.ts";`),
      `import { runAll } from "${ROOT}tests/harness.ts";`,
      "process.exitCode = await runAll(console.log) > 0 ? 1 : 0;",
    ].join("\n"),
  );
  const args = ["bundle", "--quiet", "--platform", "deno", "--output", output, entry];
  const { success, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd: ROOT }).output();
  if (!success) throw new Error(`Cannot bundle the tests:\n${new TextDecoder().decode(stderr)}`);
  return output;
}
