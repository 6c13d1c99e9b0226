/**
 * The program: `deno run -A jsr:@snapstream/snapstream/cli/main`.
 *
 * @module
 */

import process from "node:process";
import { runCli } from "./mod.ts";

const stop = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => stop.abort(new Error(`${signal} was received`)));
}
// Node 22 warns that its SQLite is experimental: a failure is one line, and success none.
process.removeAllListeners("warning");
process.on("warning", (warning) => {
  if (warning.name !== "ExperimentalWarning") process.stderr.write(`${warning.name}: ${warning.message}\n`);
});
process.exitCode = await runCli(process.argv.slice(2), stop.signal);
