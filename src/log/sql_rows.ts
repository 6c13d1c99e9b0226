/**
 * What a database has in the tables of a log, which need not be what the log has put there.
 *
 * @module
 */

import { messageOf, SnapshotError } from "../errors.ts";
import { checkGroup, MAX_INDEX } from "../snapshot/mod.ts";
import { type Configuration, Entry, type LogEntry } from "../state/mod.ts";
import { MAX_TIME } from "./log.ts";

/**
 * A row of the table of entries; in a file that was damaged, of any types. Its integers are of either kind: a database
 * takes longer to make a bigint.
 */
export type EntryRow = Readonly<Record<"idx" | "term" | "data" | "configuration" | "time", unknown>>;

/** Returns an index or a term out of a row; throws if anything else stands there. */
export function numberOf(value: unknown, what: string, path: string, least = 0n): bigint {
  if (isNumber(value, least)) return value;
  throw damaged(path, `${what} is ${String(value)}`);
}

function isNumber(value: unknown, least = 0n): value is bigint {
  return typeof value === "bigint" && value >= least && value <= MAX_INDEX;
}

/** Reports whether an integer of a row, of either kind, is this one. */
function isSame(value: unknown, expected: bigint): boolean {
  return typeof value === "number" ? value === Number(expected) && Number.isSafeInteger(value) : value === expected;
}

/** Makes a bigint of an integer of a row; anything else stays what it is. */
function exact(value: unknown): unknown {
  return typeof value === "number" && Number.isSafeInteger(value) ? BigInt(value) : value;
}

function isTime(value: unknown): boolean {
  const isWhole = typeof value === "number" ? Number.isInteger(value) && value >= 0 : isNumber(value);
  return isWhole && (value as number | bigint) <= MAX_TIME;
}

/**
 * An entry as a row has it.
 *
 * @param row the row
 * @param index the index that it must have
 * @param leastTerm the term of the entry before
 * @param path the file
 * @throws {SnapshotError} `CORRUPT`
 */
export function entryOf(row: EntryRow | undefined, index: bigint, leastTerm: bigint, path: string): LogEntry {
  if (row === undefined || !isSame(row.idx, index)) throw damaged(path, `entry ${index} is missing`, index);
  const { term: written, data, configuration, time } = row;
  // No words are made for what is right: an index as a text takes as long as all the rest. Nor is a term made anew.
  const term = isSame(written, leastTerm) ? leastTerm : exact(written);
  if (!isNumber(term, leastTerm)) throw damaged(path, `the term of entry ${index} is ${String(written)}`);
  if (!(data instanceof Uint8Array)) throw damaged(path, `entry ${index} has no bytes`, index);
  if (time !== null && !isTime(time)) throw damaged(path, `the time of entry ${index} is ${String(time)}`);
  const at = time === null ? undefined : Number(time);
  return new Entry(
    index,
    term,
    data,
    at,
    configuration === null ? undefined : configurationOf(configuration, index, path),
  );
}

/** The name of the group, if there is a row with one. */
export function groupOfRow(row: Readonly<Record<string, unknown>> | undefined, path: string): string | undefined {
  if (row === undefined) return undefined;
  try {
    return checkGroup(row["name"]);
  } catch (error) {
    throw damaged(path, `the name of its group is none: ${messageOf(error)}`);
  }
}

function configurationOf(text: unknown, index: bigint, path: string): Configuration {
  try {
    const value = JSON.parse(text as string) as Partial<Configuration> | null;
    if (value !== null && areNames(value.peers) && areNames(value.oldPeers ?? [])) return value as Configuration;
  } catch {
    // said below
  }
  throw damaged(path, `entry ${index} has a configuration that is none`, index);
}

function areNames(list: unknown): boolean {
  return Array.isArray(list) && list.every((name) => typeof name === "string");
}

/** The error for a log that is not as it was written. */
export function damaged(path: string, what: string, index?: bigint): SnapshotError {
  return new SnapshotError("CORRUPT", `The log ${path} is damaged: ${what}`, {
    file: path,
    ...(index !== undefined && { index }),
  });
}

/** Turns an error of SQLite into one of the library, by its words: Deno does not give its numbers. */
export function wrap(error: unknown, what: string, path: string): SnapshotError {
  if (error instanceof SnapshotError) return error;
  const message = messageOf(error);
  const code = /locked|busy/i.test(message)
    ? "BUSY"
    : /full/i.test(message)
    ? "NO_SPACE"
    : DAMAGED.test(message)
    ? "CORRUPT"
    : /unable to open|readonly|permission/i.test(message)
    ? "FORBIDDEN"
    : "UNAVAILABLE";
  return new SnapshotError(code, `Cannot ${what} the log ${path}: ${message}`, { file: path, cause: error });
}

/** SQLite says one of these of a file that is not its own, or whose tables are not those of a log. */
const DAMAGED = new RegExp(
  "malformed|not a database|corrupt|unsupported file format|no such|has no column|is a view|constraint|mismatch|" +
    "overflow",
  "i",
);
