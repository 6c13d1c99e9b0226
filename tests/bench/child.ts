// Starts another module of the benchmarks on the same runtime.

import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** Starts it, with what it prints to be read; it should end when its input does. */
export function startModule(name: string, ...args: string[]): ChildProcess {
  // Bundled (Node, Bun) it lies beside this one; else it is the source.
  const path = fileURLToPath(
    new URL(import.meta.url.endsWith(".mjs") ? `./bench-${name}.mjs` : `./${name}.ts`, import.meta.url),
  );
  const deno = "Deno" in globalThis ? ["run", "--allow-all", "--quiet"] : [];
  return spawn(process.execPath, [...deno, path, ...args], { stdio: ["pipe", "pipe", "inherit"] });
}

/** The first line that it prints. */
export async function firstLine(child: ChildProcess): Promise<string> {
  let text = "";
  for await (const part of child.stdout!) {
    text += part;
    if (text.includes("\n")) break;
  }
  return text.slice(0, text.indexOf("\n"));
}

/** All that it prints. */
export async function allOutput(child: ChildProcess): Promise<string> {
  let text = "";
  for await (const part of child.stdout!) text += part;
  return text;
}
