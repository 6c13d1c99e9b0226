// The suite of S3: moto's server, out of PyPI, in a Python environment of its own.

import { serviceOf } from "../suites/files.ts";
import { onDeno } from "../suites/runners.ts";
import { BUILD, bundle, imports, onNode, onWorkerd } from "../suites/program.ts";
import { installPython, pythonInstalled } from "../suites/python.ts";
import { runtime } from "../suites/runtimes.ts";
import type { Group, Selection, Suite } from "../suites/suite.ts";
import { workerdCommand } from "../suites/workerd.ts";
import { startServer, VENV } from "../support/s3_server.ts";

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

/** The tests that run on each runtime: every bucket's. */
const EVERYWHERE = ["tests/s3/s3_test.ts"];

/** The group. Each of its suites has a server of its own. */
export const suite: Group = {
  name: "s3",
  needs: "moto's S3 server (pip install moto)",
  installed: () => Promise.resolve(pythonInstalled(VENV, PACKAGES)),
  async install() {
    console.error("Installing moto's S3 server into .runtimes/s3 …");
    await installPython(VENV, PACKAGES);
  },
  suites: (files) => [
    {
      ...onDeno("S3, Deno", files.filter((file) => serviceOf(file) === "s3")),
      run: (selection, run) =>
        withServer((server) => onDeno("S3, Deno", selection.files, { env: { S3_SERVER: server } }).run(selection, run)),
    },
    ...(["node24", "bun"] as const).map((name): Suite => ({
      title: `S3, ${name === "bun" ? "Bun" : "Node 24"}`,
      runtime: name,
      files: EVERYWHERE,
      run: (selection, run) =>
        withServer(async (server) =>
          await run(await runtime(name), [await program(name, "deno", server, selection, onNode(selection))])
        ),
    })),
    {
      title: "S3, workerd",
      runtime: "workerd",
      files: EVERYWHERE,
      run: (selection, run) =>
        withServer(async (server) => {
          const path = await program("workerd", "browser", server, selection, onWorkerd(selection));
          return await run(...await workerdCommand(path, { network: true }));
        }),
    },
  ],
};

/** Runs something with a server, which it is told of as JSON. */
async function withServer<T>(work: (server: string) => Promise<T>): Promise<T> {
  const { stop, ...server } = await startServer();
  try {
    return await work(JSON.stringify(server));
  } finally {
    await stop();
  }
}

/** One module of tests, which know where the server is. */
async function program(
  name: string,
  platform: "deno" | "browser",
  server: string,
  { files }: Selection,
  end: readonly string[],
): Promise<string> {
  const where = `${BUILD}/s3-${name}-server.ts`;
  await Deno.mkdir(BUILD, { recursive: true });
  await Deno.writeTextFile(where, `Object.assign(globalThis, { S3_SERVER: ${server} });`);
  return await bundle(`s3-${name}`, platform, [`import "${where}";`, ...imports(files), ...end]);
}
