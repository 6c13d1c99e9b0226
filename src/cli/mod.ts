/**
 * The command line.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { checkSignal, checkString, listOf } from "../checks.ts";
import { hasCode, messageOf } from "../errors.ts";
import { WRITER } from "../snapshot/mod.ts";
import { type Command, Exit, exitCodeOf, FLAG, type Invocation, UsageError } from "./command.ts";
import { completionsOf } from "./completions.ts";
import { backup, follow, log } from "./continuous.ts";
import { convert } from "./convert.ts";
import { cat, diff, extract } from "./files.ts";
import { processIo } from "./io.ts";
import { prune, restore } from "./keep.ts";
import { inspect, ls, verify } from "./look.ts";
import { archive, copy, pull, push, unarchive } from "./move.ts";
import { status, take, watch } from "./remote.ts";
import { serve } from "./serve.ts";

/** The name in help texts. */
const PROGRAM = "snapstream";

const COMMANDS: Readonly<Record<string, Command>> = {
  ls,
  inspect,
  verify,
  cat,
  extract,
  diff,
  copy,
  pull,
  push,
  archive,
  unarchive,
  convert,
  restore,
  prune,
  serve,
  log,
  follow,
  backup,
  take,
  status,
  watch,
  completions: completionsOf(() => COMMANDS),
};

/**
 * Runs a command. Results go to standard output, everything else to standard error; a failure is one line there.
 *
 * @param args the arguments, without the program's name
 * @param signal stops it cleanly
 * @returns the exit code: 0 done, 1 failed, 2 wrong use, 3 damaged
 */
export async function runCli(
  args: readonly string[],
  signal: AbortSignal = new AbortController().signal,
): Promise<number> {
  listOf(checkString)(args, "args");
  checkSignal(signal, "signal");
  const io = processIo();
  const [name, ...rest] = args;
  if (name === "--version" || name === "-V") {
    io.print(WRITER.replace("/", " "));
    return Exit.DONE;
  }
  if (name === undefined || name === "--help" || name === "-h" || (name === "help" && rest.length === 0)) {
    (name === undefined ? io.note : io.print)(overview());
    return name === undefined ? Exit.WRONG_USE : Exit.DONE;
  }
  try {
    const [called, given] = name === "help" ? [rest[0]!, ["--help"]] : [name, rest];
    const command = Object.hasOwn(COMMANDS, called) ? COMMANDS[called] : undefined;
    if (command === undefined) {
      throw new UsageError(`There is no command ${JSON.stringify(called)}: see ${PROGRAM} --help`);
    }
    const parsed = parse(command, given);
    if (parsed === "help") {
      io.print(`${PROGRAM} ${called} ${usageOf(command)}\n\n${command.summary}\n\n${command.help}`);
      return Exit.DONE;
    }
    const [least, most] = command.positionals;
    if (parsed.positionals.length < least || parsed.positionals.length > most) {
      throw new UsageError(`Usage: ${PROGRAM} ${called} ${usageOf(command)}`);
    }
    return await command.run({ ...parsed, signal, io });
  } catch (error) {
    if (isClosedPipe(error)) return Exit.FAILED; // whoever read it has gone, and reads no message either
    io.note(`${PROGRAM}: ${messageOf(error).replaceAll(/\s*\n\s*/g, " ")}`);
    if (error instanceof UsageError) return Exit.WRONG_USE;
    return hasCode(error, "CANCELLED") ? Exit.FAILED : exitCodeOf(error);
  }
}

function isClosedPipe(error: unknown): boolean {
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++) {
    if ((at as { readonly code?: unknown }).code === "EPIPE") return true;
  }
  return false;
}

function usageOf({ usage, options }: Command): string {
  const shown = Object.entries(options).filter(([name]) => !usage.includes(`--${name}`));
  return [usage, ...shown.map(([name, value]) => `[--${name}${value === FLAG ? "" : ` ${value}`}]`), "[--json]"].join(
    " ",
  );
}

function parse(
  { options }: Command,
  args: readonly string[],
): Pick<Invocation, "positionals" | "options" | "flags" | "json"> | "help" {
  const own = Object.entries(options).map(([name, value]) =>
    [name, { type: value === FLAG ? "boolean" : "string" }] as const
  );
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        ...Object.fromEntries(own),
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
    if (values["help"] === true) return "help";
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

function overview(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length));
  return [
    "Snapshots of state machines: looks at them, checks them, moves them.",
    "",
    ...Object.entries(COMMANDS).map(([name, { summary }]) => `  ${PROGRAM} ${name.padEnd(width)}  ${summary}`),
    "",
    `  ${PROGRAM} COMMAND --help says more; --json prints JSON; ${PROGRAM} --version.`,
    "  Exit codes: 0 done, 1 failed, 2 wrong use, 3 damaged.",
  ].join("\n");
}
