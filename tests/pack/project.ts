// A project that has the package installed, beside the tools that look at it.

import { BUILD } from "../suites/program.ts";
import { installPackages, RUNTIMES } from "../suites/runtimes.ts";
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

/** Gets the tools. */
export function installTools(): Promise<void> {
  return installPackages("pack", "bundlers, and what looks at packages", TOOLS);
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
  for (const name of Object.keys(TOOLS)) {
    const [scope] = name.includes("/") ? name.split("/") : [];
    if (scope !== undefined) await Deno.mkdir(`${modules}/${scope}`, { recursive: true });
    await Deno.symlink(`${RUNTIMES}/pack/node_modules/${name}`, `${modules}/${name}`);
  }
  return { directory, tarball, root: `${modules}/@snapstream/snapstream` };
}
