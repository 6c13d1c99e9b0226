// The other runtimes: npm packages with the binaries inside, installed below the project on first use.

import { existsSync } from "node:fs";

const DIRECTORY = `${import.meta.dirname}/../.runtimes`;

/** What is installed, by the name that it gets. Pinned, so that a run means the same tomorrow. */
const VERSIONS: Readonly<Record<string, readonly [name: string, version: string]>> = {
  node22: [`node-${platform()}`, "22.23.3"],
  node24: [`node-${platform()}`, "24.21.0"],
  bun: [`@oven/bun-${platform("aarch64")}`, "1.4.5"],
  workerd: [`@cloudflare/workerd-${Deno.build.os}-${Deno.build.arch === "aarch64" ? "arm64" : "64"}`, "1.20261117.1"],
  typescript: ["typescript", "5.9.3"],
};

function platform(arm = "arm64"): string {
  return `${Deno.build.os}-${Deno.build.arch === "aarch64" ? arm : "x64"}`;
}

/** Where a runtime's program is; installs it if it is not there. */
export async function runtime(name: "node22" | "node24" | "bun" | "workerd" | "typescript"): Promise<string> {
  const program = { node22: "node", node24: "node", bun: "bun", workerd: "workerd", typescript: "tsc" }[name];
  const path = `${DIRECTORY}/node_modules/${name}/bin/${program}`;
  if (!existsSync(path)) await install();
  return path;
}

async function install(): Promise<void> {
  console.error("Installing Node, Bun, workerd and TypeScript into .runtimes …");
  await Deno.mkdir(DIRECTORY, { recursive: true });
  await Deno.writeTextFile(`${DIRECTORY}/package.json`, `{ "private": true }\n`);
  const packages = Object.entries(VERSIONS).map(([alias, [name, version]]) => `${alias}@npm:${name}@${version}`);
  // Without their install scripts: the programs are in the packages, and nothing else needs to run.
  const npm = new Deno.Command("npm", {
    args: ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", DIRECTORY, ...packages],
    stdout: "null",
  });
  const { success } = await npm.output();
  if (!success) throw new Error("npm could not install the runtimes");
}
