// The suite of S3: moto's server, out of PyPI, in a Python environment of its own.

import { existsSync } from "node:fs";
import { runtime } from "../runtimes.ts";
import type { Service } from "../service.ts";
import { startServer, VENV } from "./server.ts";

const ROOT = new URL("../..", import.meta.url).pathname;
const BUILD = `${ROOT}.build/s3`;

/** What the server consists of, without what it needs for all else that it can be. Pinned, as in runtimes.ts. */
const PACKAGES = [
  "moto==5.2.5",
  "Flask==3.1.3",
  "flask-cors==6.0.5",
  "Jinja2==3.1.6",
  "MarkupSafe==3.0.4",
  "PyYAML==6.0.3",
  "Werkzeug==3.1.9",
  "blinker==1.9.0",
  "boto3==1.44.5",
  "botocore==1.44.5",
  "certifi==2026.10.18",
  "cffi==2.1.1",
  "charset-normalizer==3.5.2",
  "click==8.5.1",
  "cryptography==50.0.2",
  "idna==3.20",
  "itsdangerous==2.2.0",
  "jmespath==1.1.0",
  "py-partiql-parser==0.6.3",
  "pycparser==3.12",
  "python-dateutil==2.9.0.post0",
  "requests==2.34.2",
  "responses==0.26.3",
  "s3transfer==0.19.3",
  "six==1.17.0",
  "urllib3==2.8.0",
  "xmltodict==1.0.4",
];

/** Is written last: the environment is whole. */
const WHOLE = `${VENV}/whole`;

async function command(program: string, ...args: string[]): Promise<boolean> {
  try {
    return (await new Deno.Command(program, { args, stdout: "null", stderr: "inherit" }).output()).success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function install(): Promise<void> {
  console.error("Installing moto's S3 server into .runtimes/s3 …");
  await Deno.remove(VENV, { recursive: true }).catch(() => {});
  const venv = () => command("python3", "-m", "venv", VENV);
  if (!await venv()) {
    await command("apt-get", "update", "-qq");
    await command("apt-get", "install", "-y", "-qq", "--no-install-recommends", "python3", "python3-venv");
    if (!await venv()) throw new Error("There is no python3 with venv, and apt-get could not install it");
  }
  const pip = ["install", "--quiet", "--no-deps", "--disable-pip-version-check", ...PACKAGES];
  if (!await command(`${VENV}/bin/pip`, ...pip)) throw new Error("pip could not install moto");
  await Deno.writeTextFile(WHOLE, PACKAGES.join("\n"));
}

/** The suite of S3. */
export const suite: Service = {
  needs: "moto's S3 server (pip install moto)",
  // deno-lint-ignore require-await -- the interface's
  installed: async () => existsSync(WHOLE) && Deno.readTextFileSync(WHOLE) === PACKAGES.join("\n"),
  install,
  async run(run) {
    const { stop, ...server } = await startServer();
    try {
      const config = JSON.stringify(server);
      const test = ["test", "--allow-all", "--trace-leaks", "tests/s3/"];
      const node = await bundle(config, "node", "deno");
      const edge = await bundle(config, "edge", "browser");
      return [
        await run("S3, Deno", Deno.execPath(), test, { S3_SERVER: config }),
        await run("S3, Node 24", await runtime("node24"), [node]),
        await run("S3, Bun", await runtime("bun"), [node]),
        await run("S3, workerd", await runtime("workerd"), ["test", await workerdConfig(edge)]),
      ];
    } finally {
      await stop();
    }
  },
};

const TAILS = {
  node: "process.exitCode = await runAll(console.log) > 0 ? 1 : 0;",
  edge:
    `export default { async test() { if (await runAll(console.log) > 0) throw new Error("There are failures"); } };`,
};

/** One module of what every bucket must do, done with S3, and where that is. */
async function bundle(config: string, kind: keyof typeof TAILS, platform: "deno" | "browser"): Promise<string> {
  await Deno.mkdir(BUILD, { recursive: true });
  const entry = `${BUILD}/${kind}.ts`;
  await Deno.writeTextFile(`${BUILD}/where.ts`, `Object.assign(globalThis, { S3_SERVER: ${config} });`);
  await Deno.writeTextFile(
    entry,
    `import "./where.ts";
import "${ROOT}tests/s3/s3_test.ts";
import { runAll } from "${ROOT}tests/harness.ts";
${TAILS[kind]}
`,
  );
  const output = `${BUILD}/${kind}.mjs`;
  const args = ["bundle", "--quiet", "--config", `${ROOT}deno.json`, "--platform", platform, "--output", output, entry];
  if (!await command(Deno.execPath(), ...args)) throw new Error(`Cannot bundle ${entry}`);
  return output;
}

/** As in workerd.ts, with this machine as the network. */
async function workerdConfig(suite: string): Promise<string> {
  const config = `${BUILD}/workerd.capnp`;
  await Deno.writeTextFile(
    config,
    `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    ( name = "main", worker = (
      modules = [( name = "suite", esModule = embed "${suite.slice(BUILD.length + 1)}" )],
      compatibilityDate = "2026-08-03"
    )),
    ( name = "internet", network = ( allow = ["private", "local"] ) )
  ]
);
`,
  );
  return config;
}
