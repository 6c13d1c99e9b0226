// Runs the program as its users do: a process with arguments, standard input and output, and an exit code.

import { Buffer } from "node:buffer";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import process from "node:process";
import { runCli } from "../../src/cli/mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { projectFlags } from "../support/child.ts";
import { noise, pieces } from "../support/harness.ts";

/** How a run ended. */
export interface Outcome {
  readonly code: number | null;
  readonly stdout: Uint8Array;
  readonly stderr: string;
}

/** The command that starts the program. On Node and Bun the bundled one, which the test runner puts beside the suites. */
export function command(...args: string[]): string[] {
  const program = "Deno" in globalThis
    ? ["run", "--allow-all", "--quiet", ...projectFlags(), `${process.cwd()}/src/cli/main.ts`]
    : [`${process.cwd()}/.build/cli.mjs`];
  return [process.execPath, ...program, ...args];
}

/** Starts the program. */
export function start(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): ChildProcessWithoutNullStreams {
  const [path, ...rest] = command(...args);
  return spawn(path!, rest, { stdio: "pipe", env: { ...process.env, ...env } });
}

/** Runs the program to its end. */
export async function run(
  args: readonly string[],
  options: { readonly input?: Uint8Array; readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Outcome> {
  const child = start(args, options.env);
  child.stdin.on("error", () => {}); // who reads only the beginning
  child.stdin.end(options.input);
  const stdout: Uint8Array[] = [];
  let stderr = "";
  child.stdout.on("data", (part: Uint8Array) => stdout.push(part));
  child.stderr.on("data", (part: Uint8Array) => stderr += new TextDecoder().decode(part));
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { code, stdout: new Uint8Array(await new Blob(stdout as Uint8Array<ArrayBuffer>[]).arrayBuffer()), stderr };
}

/**
 * Runs a command in this process, where only its code and what it says are looked at: a process takes a third of a
 * second to start. One at a time, and none that reads standard input.
 */
export async function runHere(
  args: readonly string[],
  { env = {} }: { readonly env?: Readonly<Record<string, string>> } = {},
): Promise<Outcome> {
  const before = Object.keys(env).map((name) => [name, process.env[name]] as const);
  Object.assign(process.env, env);
  const [stdout, restoreStdout] = captured(process.stdout);
  const [stderr, restoreStderr] = captured(process.stderr);
  try {
    const code = await runCli(args);
    return { code, stdout: new Uint8Array(Buffer.concat(stdout)), stderr: Buffer.concat(stderr).toString() };
  } finally {
    restoreStdout();
    restoreStderr();
    for (const [name, value] of before) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}

/** Takes what is written to a stream, and its new listeners, until it is restored. */
function captured(stream: NodeJS.WriteStream): [pieces: Uint8Array[], restore: () => void] {
  const pieces: Uint8Array[] = [];
  const { write } = stream;
  const before = stream.listeners("error");
  stream.write = (piece: string | Uint8Array, ...rest: unknown[]) => {
    pieces.push(Buffer.from(piece as string)); // a copy: the buffer may be used again
    (rest.at(-1) as (() => void) | undefined)?.();
    return true;
  };
  return [pieces, () => {
    stream.write = write;
    for (const listener of stream.listeners("error")) {
      if (!before.includes(listener)) stream.off("error", listener as () => void);
    }
  }];
}

/** What a run printed. */
export function text({ stdout }: Outcome): string {
  return new TextDecoder().decode(stdout);
}

/** Starts a server of snapshots, and waits until it can be reached. */
export async function serving(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly url: string; stop(): Promise<number | null> }> {
  const server = start(["serve", ...args, "--port", "0", "--json"], env);
  const line = await new Promise<string>((resolve, reject) => {
    let failed = "";
    server.stderr.on("data", (part) => failed += part);
    server.stdout.once("data", (part) => resolve(String(part)));
    server.on("close", () => reject(new Error(`The server ended: ${failed}`)));
  });
  const { url } = JSON.parse(line) as { url: string };
  return {
    url,
    stop() {
      process.kill(server.pid!, "SIGINT"); // not server.kill(): then Deno says that it was killed, whatever it did
      return new Promise((resolve) => server.on("close", resolve));
    },
  };
}

/** Adds a snapshot to a directory: each part is 256 KiB that depend on its number only. */
export async function saveParts(root: string, index: bigint, parts: readonly number[], retain = 2): Promise<void> {
  const storage = await DirectoryStorage.open(root, { retain });
  const writer = await storage.create();
  const bytes = new Uint8Array(parts.length * 262_144);
  parts.forEach((seed, i) => bytes.set(noise(262_144, seed), i * 262_144));
  await pieces(bytes).pipeTo(writer.file("state"));
  await pieces(new TextEncoder().encode(`index ${index}\n`)).pipeTo(writer.file("info.txt"));
  await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 2n, peers: [] });
  await storage.close();
}
