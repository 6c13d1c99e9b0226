// The other runtimes, and what cannot be bundled: npm packages with the binaries inside, installed below the project when
// they are first used.

import { existsSync } from "node:fs";

/** The folder of all that is installed for the tests. */
export const RUNTIMES: string = new URL("../../.runtimes", import.meta.url).pathname;

/** What is installed, by the name that it gets. Pinned, so that a run means the same tomorrow. */
const PACKAGES = {
  node22: `node-${platform()}@22.23.3`,
  node24: `node-${platform()}@24.21.0`,
  bun: `@oven/bun-${platform("aarch64")}@1.4.5`,
  workerd: `@cloudflare/workerd-${Deno.build.os}-${Deno.build.arch === "aarch64" ? "arm64" : "64"}@1.20261117.1`,
  typescript: "typescript@5.9.3",
  "classic-level": "classic-level@3.0.0",
  "rocksdb-native": "rocksdb-native@3.18.1",
};

function platform(arm = "arm64"): string {
  return `${Deno.build.os}-${Deno.build.arch === "aarch64" ? arm : "x64"}`;
}

/** The packages that look for a binary beside themselves; installed here for Node and Bun, since no bundle has them. */
export const NATIVE_PACKAGES: readonly string[] = ["classic-level", "rocksdb-native"];

/** Lets programs in a directory find these packages. */
export async function linkNativePackages(directory: string): Promise<void> {
  await installRuntimes();
  const link = `${directory}/node_modules`;
  await Deno.remove(link).catch(() => {});
  await Deno.symlink(`${RUNTIMES}/node_modules`, link);
}

/** Where a runtime's program is; installs it if it is not there. */
export async function runtime(name: "node22" | "node24" | "bun" | "workerd" | "typescript"): Promise<string> {
  await installRuntimes();
  const program = { node22: "node", node24: "node", bun: "bun", workerd: "workerd", typescript: "tsc" }[name];
  return `${RUNTIMES}/node_modules/${name}/bin/${program}`;
}

let installing: Promise<void> | undefined;

function installRuntimes(): Promise<void> {
  return installing ??= installPackages("", "Node, Bun, workerd, TypeScript and databases", PACKAGES);
}

/**
 * Installs npm packages in a folder below {@linkcode RUNTIMES}, if they are not all there.
 *
 * @param folder its name; empty for the folder itself
 * @param what is installed, for a person
 * @param packages by the names that they get; pinned
 */
export async function installPackages(
  folder: string,
  what: string,
  packages: Readonly<Record<string, string>>,
): Promise<void> {
  if (packagesInstalled(folder, packages)) return;
  const directory = `${RUNTIMES}/${folder}`;
  console.error(`Installing ${what} into .runtimes/${folder} …`);
  await Deno.mkdir(directory, { recursive: true });
  await Deno.writeTextFile(`${directory}/package.json`, `{ "private": true }\n`);
  // Without their install scripts: the programs are in the packages, and nothing else needs to run.
  const { success } = await new Deno.Command("npm", {
    args: [
      ...["install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", directory],
      ...Object.entries(packages).map(([alias, it]) => `${alias}@npm:${it}`),
    ],
    stdout: "null",
  }).output();
  if (!success) throw new Error(`npm could not install ${what}`);
  await Deno.writeTextFile(`${directory}/installed.json`, JSON.stringify(packages));
}

/** Whether these packages are there, in these versions: a file that is written last says so. */
export function packagesInstalled(folder: string, packages: Readonly<Record<string, string>>): boolean {
  const path = `${RUNTIMES}/${folder}/installed.json`;
  return existsSync(path) && Deno.readTextFileSync(path) === JSON.stringify(packages);
}
