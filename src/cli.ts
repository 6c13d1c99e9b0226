/**
 * The command line: `ls`, `inspect`, `verify`, `serve`, `pull`, `archive`, `unarchive`, `restore`.
 *
 * Exit codes: 0 done, 1 failed, 2 wrong use, 3 damaged.
 *
 * @example Running a command from a program
 * ```ts
 * import { runCli } from "@snapstream/snapstream/cli";
 *
 * const code = await runCli(["--help"]);
 * console.assert(code === 0);
 * ```
 *
 * @module
 */

export * from "./cli/mod.ts";
