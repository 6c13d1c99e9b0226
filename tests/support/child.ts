// Programs that tests start as processes of their own, on the runtime that they run on.

import process from "node:process";

/**
 * The command that runs a program of the tests.
 *
 * @param file its path from the project's root; `tests/suites/program.ts` names it, so that it is there for Node and Bun
 * @param args what it is given
 */
export function commandOf(file: string, ...args: string[]): [command: string, ...args: string[]] {
  const root = process.cwd();
  if ("Deno" in globalThis) {
    return [
      process.execPath,
      "run",
      "--allow-all",
      "--quiet",
      "--lock=.deno.lock",
      "--no-check",
      `${root}/${file}`,
      ...args,
    ];
  }
  return [process.execPath, `${root}/.build/children/${file.replaceAll("/", "-").replace(/\.ts$/, "")}.mjs`, ...args];
}
