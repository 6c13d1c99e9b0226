// Programs that tests start as processes of their own, on the runtime that they run on.

import process from "node:process";

/**
 * The flags by which Deno runs a program with the project's configuration: that of the test itself, if it has another
 * (see `tests/suites/jsr.ts`), or what a test starts would have stand-ins where the test has the real packages.
 */
export function projectFlags(): string[] {
  const config = process.env["SNAPSTREAM_CONFIG"];
  const root = process.cwd();
  return config === undefined
    ? ["--config", `${root}/deno.json`, `--lock=${root}/.deno.lock`]
    : ["--config", config, "--no-lock"];
}

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
      ...projectFlags(),
      "--no-check",
      `${root}/${file}`,
      ...args,
    ];
  }
  return [process.execPath, `${root}/.build/children/${file.replaceAll("/", "-").replace(/\.ts$/, "")}.mjs`, ...args];
}
