// A project that has the package installed, beside the tools that look at it.

import { BUILD } from "../suites/program.ts";
import { installPackages, runtime, RUNTIMES } from "../suites/runtimes.ts";
import { command, makePackage } from "./npm_package.ts";

/** What looks at the package, by the names that it gets. */
export const TOOLS: Readonly<Record<string, string>> = {
  "@arethetypeswrong/cli": "@arethetypeswrong/cli@0.18.5",
  "@cloudflare/workers-types": "@cloudflare/workers-types@5.20261117.1",
  "@types/node": "@types/node@24.19.2",
  esbuild: "esbuild@0.28.2",
  publint: "publint@0.3.25",
  "ts5.7": "typescript@5.7.3",
  "ts5.8": "typescript@5.8.3",
  "ts5.9": "typescript@5.9.3",
  ts6: "typescript@6.0.3",
  vite: "vite@8.3.8",
  wrangler: "wrangler@4.164.0",
};

/** What the guides want beside the package, in the versions of deno.json. */
export const OF_GUIDES: Readonly<Record<string, string>> = {
  "@nats-io/jetstream": "@nats-io/jetstream@3.4.0",
  "@nats-io/kv": "@nats-io/kv@3.4.0",
  "@nats-io/nats-core": "@nats-io/nats-core@3.4.0",
  "@opentelemetry/api": "@opentelemetry/api@1.10.0",
  express: "express@5.3.0",
  hono: "hono@4.13.19",
  "memory-level": "memory-level@3.1.0",
};

/** Gets the tools. */
export async function installTools(): Promise<void> {
  await installPackages("pack", "bundlers, and what looks at packages", TOOLS);
  await installPackages("guides", "what the guides are about", OF_GUIDES);
}

/** A project that has the package installed. */
export interface Project {
  /** Its directory. */
  readonly directory: string;
  /** The tarball that was installed. */
  readonly tarball: string;
  /** The directory of the installed package. */
  readonly root: string;
}

let project: Promise<Project> | undefined;

/** Makes the project, once. */
export function packed(): Promise<Project> {
  return project ??= makeProject(`${BUILD}/project`);
}

async function makeProject(directory: string): Promise<Project> {
  await installTools();
  await Deno.remove(directory, { recursive: true }).catch(() => {});
  await Deno.mkdir(directory, { recursive: true });
  const tarball = await makePackage(directory);
  await Deno.writeTextFile(`${directory}/package.json`, JSON.stringify({ private: true, type: "module" }));
  // What npm has fetched before it does not fetch again. Without optional peers, as for a user who asks for none.
  const npm = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--omit=peer"];
  await command("npm", [...npm, tarball], directory);
  const modules = `${directory}/node_modules`;
  await link(Object.keys(TOOLS), `${RUNTIMES}/pack/node_modules`, modules);
  return { directory, tarball, root: `${modules}/@snapstream/snapstream` };
}

/** Runs a tool of the project on Node. */
export async function tool({ directory }: Project, script: string, ...args: string[]): Promise<string> {
  return await command(await runtime("node24"), [`${directory}/node_modules/${script}`, ...args], directory);
}

/** Has publint and attw look at the package; fails with what they say if they find anything. */
export async function checkPackage(): Promise<void> {
  const project = await packed();
  const said = await tool(project, "publint/src/cli.js", project.root, "--strict");
  if (!said.includes("All good!")) throw new Error(said);
  await tool(project, "@arethetypeswrong/cli/dist/index.js", project.tarball, "--profile", "esm-only", "--quiet");
}

/** Links packages into a `node_modules`, each by its name. */
async function link(names: readonly string[], from: string, modules: string): Promise<void> {
  for (const name of names) {
    const [scope] = name.includes("/") ? name.split("/") : [];
    if (scope !== undefined) await Deno.mkdir(`${modules}/${scope}`, { recursive: true });
    await Deno.symlink(`${from}/${name}`, `${modules}/${name}`);
  }
}

/** Makes a project that has what the guides want, too, below the other one. */
export async function projectOfGuides(): Promise<string> {
  const { directory, root } = await packed();
  const guides = `${directory}/guides`;
  const modules = `${guides}/node_modules`;
  await Deno.mkdir(modules, { recursive: true });
  await link(Object.keys(OF_GUIDES), `${RUNTIMES}/guides/node_modules`, modules);
  await Deno.mkdir(`${modules}/@snapstream`);
  await command("cp", ["-r", root, `${modules}/@snapstream/`], guides); // so that it finds its optional peers
  return guides;
}
