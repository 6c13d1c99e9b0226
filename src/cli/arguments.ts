/**
 * Reading the arguments of a command, and saying what is wrong with them.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { messageOf } from "../errors.ts";
import { type Command, FLAG, type Invocation, UsageError } from "./command.ts";

/** What was given to a command. */
export type Given = Pick<Invocation, "positionals" | "options" | "flags" | "json">;

/**
 * Reads the arguments of a command.
 *
 * @returns `"help"` if that is asked for
 * @throws {UsageError} of an option that there is not, one that is there twice, and one without its value
 */
export function parseArguments(command: Command, args: readonly string[]): Given | "help" {
  const own = Object.entries(command.options).map(([name, [value]]) =>
    [name, { type: value === FLAG ? "boolean" : "string" }] as const
  );
  const options = { ...Object.fromEntries(own), help: { type: "boolean", short: "h" } as const };
  const config = { args: [...args], allowPositionals: true, options };
  const seen = new Set<string>();
  for (const token of parseArgs({ ...config, strict: false, tokens: true }).tokens ?? []) {
    if (token.kind !== "option") continue;
    const { name, rawName } = token;
    if (!Object.hasOwn(options, name)) {
      const known = Object.keys(options).map((one) => `--${one}`);
      throw new UsageError(`There is no option ${rawName}${meant(rawName, known)} (-- ends the options)`);
    }
    if (seen.has(name) && name !== "help") throw new UsageError(`${rawName} is there twice`);
    seen.add(name);
  }
  try {
    const { values, positionals } = parseArgs(config);
    if (values["help"] === true) return "help";
    // What an unset variable of a shell gives: as the name of a directory it would be the one that one is in.
    const empty = (positionals as string[]).indexOf("");
    if (empty >= 0) throw new UsageError(`Argument ${empty + 1} is empty`);
    const texts: Record<string, string> = {};
    const flags = new Set<string>();
    for (const [name, value] of Object.entries(values)) {
      if (typeof value === "string") texts[name] = value;
      else if (value === true) flags.add(name);
    }
    return { positionals, options: texts, flags, json: flags.has("json") };
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
}

/** Whether JSON is asked for, of arguments that may be wrong otherwise. */
export function wantsJson(args: readonly string[]): boolean {
  const end = args.indexOf("--");
  return args.slice(0, end < 0 ? args.length : end).includes("--json");
}

/** The end of a message about a word that there is not: the one that was probably meant. */
export function meant(word: string, known: readonly string[]): string {
  const distances = known.map((one) => [distance(word, one), one] as const).sort(([a], [b]) => a - b);
  const [nearest] = distances.filter(([edits, one]) => edits <= (one.length > 4 ? 2 : 1));
  return nearest === undefined ? "" : `: did you mean ${nearest[1]}?`;
}

/** The number of letters that are to be added, removed or replaced (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      next.push(Math.min(next[j]! + 1, row[j + 1]! + 1, row[j]! + (a[i] === b[j] ? 0 : 1)));
    }
    row = next;
  }
  return row[b.length]!;
}
