// The programs that run in processes of their own. Only Deno can run them without a bundle.

import process from "node:process";
import { fileURLToPath } from "node:url";

/** The command that runs a program of this folder. */
export function commandOf(program: string, ...args: string[]): [command: string, ...args: string[]] {
  const module = fileURLToPath(new URL(program, import.meta.url));
  return [process.execPath, "run", "--allow-all", "--quiet", "--no-check", module, ...args];
}
