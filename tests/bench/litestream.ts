// An SQLite database, synced, alone and beside Litestream, which copies its log to a directory; and what comes back.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdir } from "node:fs/promises";
import process from "node:process";
import { DatabaseSync } from "node:sqlite";
import { median, seconds } from "./report.ts";

/** A program on the path; another file by the environment variable `LITESTREAM`. */
const PROGRAM = process.env["LITESTREAM"] ?? "litestream";

/** What was measured. */
export interface LitestreamFigures {
  /** Rows a second, in transactions of as many as are in flight elsewhere. */
  readonly alone: number;
  /** The share of that beside Litestream. */
  readonly beside: number;
  /** Rows a second that a restore brings back. */
  readonly restored: number;
  /** The share of the rows that it brings back, after all was copied and the copying had ended. */
  readonly share: number;
}

/** Measures it; nothing if there is no Litestream on this machine. */
export async function measureLitestream(
  directory: string,
  { round, rounds, inFlight, value }: {
    readonly round: number;
    readonly rounds: number;
    readonly inFlight: number;
    readonly value: string;
  },
): Promise<LitestreamFigures | undefined> {
  await mkdir(directory, { recursive: true });
  const [path, copy] = [`${directory}/own.db`, `${directory}/copy`];
  const database = new DatabaseSync(path);
  database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000");
  database.exec("CREATE TABLE entries (idx INTEGER PRIMARY KEY, data TEXT NOT NULL)");
  const insert = database.prepare("INSERT INTO entries (data) VALUES (?)");
  const write = async () => {
    for (let at = 0; at < round; at += inFlight) {
      database.exec("BEGIN IMMEDIATE");
      for (let i = 0; i < inFlight; i++) insert.run(value);
      database.exec("COMMIT");
    }
  };
  try {
    const [alone, beside]: [number[], number[]] = [[], []];
    for (let i = 0; i <= rounds; i++) {
      const rate = round / await seconds(write);
      const once = await start("replicate", "-once", path, `file://${copy}`); // what was written without it
      if (once === undefined) return undefined;
      await ended(once);
      const running = (await start("replicate", path, `file://${copy}`))!;
      await new Promise((resolve) => running.stdout!.once("data", resolve)); // it says that it begins
      const share = round / await seconds(write) / rate;
      await ended(running, () => running.kill("SIGINT")); // it copies what is left first
      if (i === 0) continue;
      alone.push(rate);
      beside.push(share);
    }
    await ended((await start("replicate", "-once", path, `file://${copy}`))!);
    const { count } = database.prepare("SELECT count(*) AS count FROM entries").get() as { count: number };
    const taken = await seconds(async () =>
      await ended((await start("restore", "-o", `${directory}/back.db`, `file://${copy}`))!)
    );
    const back = new DatabaseSync(`${directory}/back.db`);
    const { found } = back.prepare("SELECT count(*) AS found FROM entries").get() as { found: number };
    back.close();
    return { alone: median(alone), beside: median(beside), restored: found / taken, share: found / count };
  } finally {
    database.close();
  }
}

/** Starts it; nothing if it is not here. */
function start(...args: string[]): Promise<ChildProcess | undefined> {
  const child: ChildProcess = spawn(PROGRAM, args, { stdio: ["ignore", "pipe", "ignore"] });
  child.stdout!.resume();
  return new Promise((resolve) => child.once("spawn", () => resolve(child)).once("error", () => resolve(undefined)));
}

async function ended(child: ChildProcess, then: () => void = () => {}): Promise<void> {
  const over = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  then();
  await over;
}
