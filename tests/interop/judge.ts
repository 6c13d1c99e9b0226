// The real programs, as judges: built once, and asked what they make of a snapshot.

import { existsSync } from "node:fs";

/** Where they are built. */
export const JUDGES: string = new URL("../../.runtimes/interop", import.meta.url).pathname;
const GO = new URL("go/", import.meta.url).pathname;
const SOURCES = ["go.mod", "go.sum", "main.go"].map((name) => `${GO}${name}`);

/** The sources that a judge was built of. */
async function sourcesOf(): Promise<string> {
  return (await Promise.all(SOURCES.map((path) => Deno.readTextFile(path)))).join("\n");
}

/** Whether the judge of Go programs is there, built of these sources. */
export async function goJudgeInstalled(): Promise<boolean> {
  const whole = `${JUDGES}/go.whole`;
  return existsSync(whole) && await Deno.readTextFile(whole) === await sourcesOf();
}

/** Builds the judge of Go programs: hashicorp/raft, raft-snapshot, etcd. */
export async function buildGoJudge(): Promise<void> {
  await Deno.mkdir(JUDGES, { recursive: true });
  const build = new Deno.Command("go", {
    args: ["build", "-o", `${JUDGES}/judge`, "."],
    cwd: GO,
    env: { GOFLAGS: "-mod=readonly" },
    stderr: "inherit",
  });
  if (!(await build.output()).success) throw new Error("go could not build tests/interop/go");
  await Deno.writeTextFile(`${JUDGES}/go.whole`, await sourcesOf());
}

/** Runs a program, which says one line of JSON. */
async function ask(program: string, args: readonly string[]): Promise<Record<string, unknown>> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args: [...args] }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (!success) throw new Error(`${args.join(" ")}: ${text(stderr)}`);
  return JSON.parse(text(stdout).trim().split("\n").at(-1)!) as Record<string, unknown>;
}

/** Asks the judge of Go programs. */
export function askGo(...args: readonly (string | number)[]): Promise<Record<string, unknown>> {
  return ask(`${JUDGES}/judge`, args.map(String));
}

/** The state that every judge writes, a piece of it. */
export function statePart(start: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    const at = start + i;
    bytes[i] = Math.imul(at, at) + Math.floor(at / 251);
  }
  return bytes;
}
