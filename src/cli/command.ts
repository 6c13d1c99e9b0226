/**
 * The contract of commands.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import type { Io } from "./io.ts";

/** The exit codes. */
export const Exit = { DONE: 0, FAILED: 1, WRONG_USE: 2, DAMAGED: 3 } as const;

/** A command of the command line. */
export interface Command {
  /** Its arguments and options, as help texts show them behind its name. */
  readonly usage: string;
  /** Its purpose, in a line. */
  readonly summary: string;
  /** More about it. */
  readonly help: string;
  /** The least and the most arguments that it takes. */
  readonly positionals: readonly [least: number, most: number];
  /** Its options, beside `--json` and `--help`; all take a value. */
  readonly options: Readonly<Record<string, string>>;
  /** Runs it, and returns the exit code. */
  run(invocation: Invocation): Promise<number>;
}

/** A call of a command. */
export interface Invocation {
  /** The arguments. */
  readonly positionals: readonly string[];
  /** The options that were given. */
  readonly options: Readonly<Record<string, string | undefined>>;
  /** True if JSON is asked for. */
  readonly json: boolean;
  /** Fires on Ctrl-C. */
  readonly signal: AbortSignal;
  /** Where it writes to. */
  readonly io: Io;
}

/** A call that makes no sense. */
export class UsageError extends Error {}

/** Reads an index. */
export function parseIndex(text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9][0-9]{0,18}$/.test(text)) throw new UsageError(`${JSON.stringify(text)} is no index of a snapshot`);
  return BigInt(text);
}

/** The exit code of an error. */
export function exitCodeOf(error: unknown): number {
  return error instanceof SnapshotError && (error.code === "CORRUPT" || error.code === "MALFORMED")
    ? Exit.DAMAGED
    : Exit.FAILED;
}
