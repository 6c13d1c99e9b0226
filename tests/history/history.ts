// Several processes save to one bucket: what was acknowledged is there, once, and none is lost.

import { commandOf } from "../support/child.ts";
import type { Where } from "./buckets.ts";

/** What one process has to do. */
export interface Task {
  readonly where: Where;
  /** Its number. */
  readonly writer: number;
  /** The snapshots that all of them save. */
  readonly commits: number;
  readonly retain: number;
  /** In milliseconds. */
  readonly grace: number;
}

/** What one process says. */
export type Line =
  | { readonly acknowledged: number; readonly digest: string }
  | { readonly saw: number; readonly digest: string }
  | { readonly failed: string }
  | { readonly errors: Readonly<Record<string, number>>; readonly indexWrites: number };

/** What came of it. */
export interface History {
  readonly commits: number;
  /** Snapshots that were acknowledged; of the others an acknowledgement was lost. */
  readonly acknowledged: number;
  readonly processes: number;
  readonly seconds: number;
  /** How many commits each process made. */
  readonly shares: readonly number[];
  /** Errors by their codes: `STALE` are races that were lost. */
  readonly errors: Readonly<Record<string, number>>;
  /** Writes of the index, those of leases and collections too. */
  readonly indexWrites: number;
  /** The first of other errors. */
  readonly failures: readonly string[];
  /** What must not be; none, if all is well. */
  readonly violations: readonly string[];
}

/** Options of {@linkcode playHistory}. */
export interface HistoryOptions {
  readonly commits: number;
  readonly processes: number;
  readonly retain?: number;
  readonly grace?: number;
}

/** Has processes save until there are so many snapshots, and checks what they say. */
export async function playHistory(where: Where, options: HistoryOptions): Promise<History> {
  const { commits, processes, retain = 5, grace = 60_000 } = options;
  const start = performance.now();
  const digests = new Map<number, string>();
  const acknowledged = new Set<number>();
  const shares = Array.from({ length: processes }, () => 0);
  const errors: Record<string, number> = {};
  let indexWrites = 0;
  const [failures, violations]: [string[], string[]] = [[], []];

  const take = (line: Line, writer: number) => {
    if ("failed" in line) {
      if (failures.length < 20) failures.push(line.failed);
      return;
    }
    if ("errors" in line) {
      for (const [code, count] of Object.entries(line.errors)) errors[code] = (errors[code] ?? 0) + count;
      indexWrites += line.indexWrites;
      return;
    }
    const index = "saw" in line ? line.saw : line.acknowledged;
    const other = digests.get(index) ?? line.digest;
    if (other !== line.digest) violations.push(`Snapshot ${index} was two: ${other} and ${line.digest}`);
    digests.set(index, line.digest);
    if ("saw" in line) return;
    if (acknowledged.has(index)) violations.push(`Snapshot ${index} was acknowledged twice`);
    acknowledged.add(index);
    shares[writer]!++;
  };
  await Promise.all(shares.map(async (_, writer) => {
    const task: Task = { where, writer, commits, retain, grace };
    const [program, ...args] = commandOf("tests/history/child.ts", JSON.stringify(task));
    const child = new Deno.Command(program, { args, stdout: "piped", stderr: "piped" }).spawn();
    const stderr = new Response(child.stderr).text();
    let rest = "";
    for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      for (const line of lines) take(JSON.parse(line), writer);
    }
    if (!(await child.status).success) violations.push(`Process ${writer} failed: ${(await stderr).slice(-2000)}`);
    else await stderr;
  }));
  for (let index = 1; index <= commits; index++) {
    if (!digests.has(index)) violations.push(`Snapshot ${index} was never seen`);
  }
  const seconds = Math.round((performance.now() - start) / 100) / 10;
  const counted = { commits, acknowledged: acknowledged.size, processes, seconds, shares, errors, indexWrites };
  return { ...counted, failures, violations };
}
