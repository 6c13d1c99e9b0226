/**
 * The program: `deno run -A jsr:@snapstream/snapstream/cli/main`.
 *
 * @module
 */

import { constants } from "node:os";
import process from "node:process";
import { runCli } from "./mod.ts";

const stop = new AbortController();
let ended: "SIGINT" | "SIGTERM" | undefined;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    ended ??= signal;
    stop.abort(new Error(`${signal} was received`));
  });
}
// Node 22 warns that its SQLite is experimental: a failure is one line, and success none.
process.removeAllListeners("warning");
process.on("warning", (warning) => {
  if (warning.name !== "ExperimentalWarning") process.stderr.write(`${warning.name}: ${warning.message}\n`);
});
const code = await runCli(process.argv.slice(2), stop.signal);
process.exitCode = code === 1 && ended !== undefined ? 128 + constants.signals[ended] : code;
// All is done and written. Whoever has standard input open, and writes nothing to it, would keep the process alive.
if (ended !== undefined) process.exit();
