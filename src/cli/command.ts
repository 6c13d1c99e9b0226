/**
 * The contract of commands.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import type { Io } from "./io.ts";
import { UsageError } from "./usage_error.ts";

export { UsageError };

/** The exit codes. */
export const Exit = { DONE: 0, FAILED: 1, WRONG_USE: 2, DAMAGED: 3 } as const;

/** The value's name of an option that takes none. */
export const FLAG = "";

/** Options by their names: the names of their values, {@linkcode FLAG} if one takes none, and what they do. */
export type CommandOptions = Readonly<Record<string, readonly [value: string, help: string]>>;

/** The option of commands whose result can be JSON; others have bytes, or a script. */
export const JSON_OPTION: CommandOptions = { json: [FLAG, "prints JSON: exact numbers, and of a failure its code"] };

/** The option of commands that take one snapshot of a place. */
export const INDEX_OPTION: CommandOptions = { index: ["I", "the snapshot, by its index; the newest unless given"] };

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
  /** Its options, beside `--help`. */
  readonly options: CommandOptions;
  /** Runs it, and returns the exit code. */
  run(invocation: Invocation): Promise<number>;
}

/** A call of a command. */
export interface Invocation {
  /** The arguments. */
  readonly positionals: readonly string[];
  /** The options that were given. */
  readonly options: Readonly<Record<string, string | undefined>>;
  /** The options without a value that were given. */
  readonly flags: ReadonlySet<string>;
  /** True if JSON is asked for. */
  readonly json: boolean;
  /** Fires on Ctrl-C. */
  readonly signal: AbortSignal;
  /** Where it writes to. */
  readonly io: Io;
}

/** Reads an index. */
export function parseIndex(text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined;
  if (!/^[1-9][0-9]{0,18}$/.test(text)) throw new UsageError(`${JSON.stringify(text)} is no index of a snapshot`);
  return BigInt(text);
}

/** Reads a whole number of an option. */
export function parseNumber(text: string, name: string, least: number, most: number): number {
  const number = /^[0-9]{1,15}$/.test(text) ? Number(text) : NaN;
  if (number >= least && number <= most) return number;
  throw new UsageError(`--${name} takes a number from ${least} to ${most}, not ${JSON.stringify(text)}`);
}

/** The exit code of an error. */
export function exitCodeOf(error: unknown): number {
  return error instanceof SnapshotError && (error.code === "CORRUPT" || error.code === "MALFORMED")
    ? Exit.DAMAGED
    : Exit.FAILED;
}

/** JSON has no bigint. */
export function plain(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}
