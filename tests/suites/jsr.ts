// The configuration of a run with the real packages of @std in the place of the stand-ins that deno.json links.

import { resolve } from "node:path";

/**
 * Writes a copy of deno.json that links the packages of a checkout of https://github.com/denoland/std in the place of
 * the stand-ins; or links nothing, so that they come from JSR. It goes with `--no-lock`, since the lock file has the
 * stand-ins, and with `SNAPSTREAM_CONFIG` set to it, for what tests start (`projectFlags` in support/child.ts).
 *
 * @param root the project's root: paths in a configuration are relative to where it lies, so the copy lies there too
 * @param std the checkout, relative to the working directory; it may have just the packages that are used, and those
 *   that they import
 * @returns where the copy is; the caller removes it
 */
export async function realStdConfig(root: string, std: string | undefined): Promise<string> {
  const { links: standIns = [], ...config } = await readJson(`${root}/deno.json`) as { links?: string[] };
  const links = std === undefined ? [] : await packagesIn(resolve(std));
  for (const standIn of std === undefined ? [] : standIns) {
    const { name } = await readJson(`${root}/${standIn}/deno.json`) as { name: string };
    if (!links.some((it) => it.name === name)) throw new Error(`There is no ${name} in ${std}`);
  }
  const path = await Deno.makeTempFile({ dir: root, prefix: ".deno.jsr-", suffix: ".json" });
  // All packages of the checkout, as they import each other; of those that nothing imports Deno reads deno.json alone.
  const real = { ...config, ...(links.length > 0 && { links: links.map(({ directory }) => directory) }) };
  await Deno.writeTextFile(path, JSON.stringify(real, undefined, 2));
  return path;
}

/** The packages in a checkout: the directories in it that have a deno.json with a name. */
async function packagesIn(checkout: string): Promise<{ readonly name: string; readonly directory: string }[]> {
  const packages = [];
  for await (const entry of Deno.readDir(checkout)) {
    const directory = `${checkout}/${entry.name}`;
    try {
      const { name } = await readJson(`${directory}/deno.json`) as { name?: string };
      if (name !== undefined) packages.push({ name, directory });
    } catch (error) {
      const isNone = error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory;
      if (!isNone) throw error;
    }
  }
  return packages;
}

async function readJson(path: string): Promise<unknown> {
  return JSON.parse(await Deno.readTextFile(path));
}
