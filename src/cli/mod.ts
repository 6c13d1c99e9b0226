/**
 * The command line.
 *
 * @module
 */

import { onAbort } from "../async/mod.ts";
import { checkSignal, checkString, listOf } from "../checks.ts";
import { hasCode, messageOf, SnapshotError } from "../errors.ts";
import { WRITER } from "../snapshot/mod.ts";
import { meant, parseArguments, wantsJson } from "./arguments.ts";
import { type Command, Exit, exitCodeOf, FLAG, UsageError } from "./command.ts";
import { completionsOf } from "./completions.ts";
import { backup, follow, log } from "./continuous.ts";
import { convert } from "./convert.ts";
import { cat, diff, extract } from "./files.ts";
import { isClosedPipe, processIo } from "./io.ts";
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
 * Runs a command. Results go to standard output, everything else to standard error; a failure is one line there, and
 * with `--json` an object with an `error` on standard output, too.
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
  const gone = new AbortController(); // of whoever read standard output
  const unlink = onAbort(signal, (reason) => gone.abort(reason));
  const io = processIo((error) => gone.abort(error));
  const [name, ...rest] = args;
  let json = false;
  try {
    if (name === "--version" || name === "-V") io.print(WRITER.replace("/", " "));
    else if (name === "--help" || name === "-h" || (name === "help" && rest.length === 0)) io.print(overview());
    else if (name === undefined) {
      io.note(overview());
      return Exit.WRONG_USE;
    } else {
      const [called, given] = name === "help" ? [rest[0]!, [...rest.slice(1), "--help"]] : [name, rest];
      const command = Object.hasOwn(COMMANDS, called) ? COMMANDS[called] : undefined;
      if (command === undefined) {
        const known = meant(called, Object.keys(COMMANDS));
        throw new UsageError(`There is no command ${JSON.stringify(called)}${known} (${PROGRAM} --help lists them)`);
      }
      json = Object.hasOwn(command.options, "json") && wantsJson(given);
      const parsed = parseArguments(command, given);
      if (parsed === "help") io.print(helpOf(called, command));
      else {
        const [least, most] = command.positionals;
        if (parsed.positionals.length < least || parsed.positionals.length > most) {
          throw new UsageError(`Usage: ${PROGRAM} ${called} ${usageOf(command)}`);
        }
        const code = await command.run({ ...parsed, signal: gone.signal, io });
        await io.flushed();
        return code;
      }
    }
    await io.flushed();
    return Exit.DONE;
  } catch (error) {
    if (isClosedPipe(error)) return Exit.FAILED; // whoever read it has gone, and reads no message either
    const message = messageOf(error).replaceAll(/\s*\n\s*/g, " ");
    io.note(`${PROGRAM}: ${message}`);
    if (json) {
      io.print(JSON.stringify({ error: error instanceof SnapshotError ? error : { code: codeOf(error), message } }));
    }
    await io.flushed().catch(() => {}); // it failed already
    if (error instanceof UsageError) return Exit.WRONG_USE;
    return hasCode(error, "CANCELLED") ? Exit.FAILED : exitCodeOf(error);
  } finally {
    unlink();
  }
}

/** The code of an error that is none of the library's. */
function codeOf(error: unknown): string {
  return error instanceof UsageError ? "WRONG_USE" : "FAILED";
}

function shownOption(name: string, value: string): string {
  return `--${name}${value === FLAG ? "" : ` ${value}`}`;
}

function usageOf({ usage, options }: Command): string {
  const shown = Object.entries(options).filter(([name]) => !usage.includes(`--${name}`));
  return [usage, ...shown.map(([name, [value]]) => `[${shownOption(name, value)}]`)].join(" ");
}

function helpOf(name: string, command: Command): string {
  const options = Object.entries(command.options).map(([name, [value, help]]) => [shownOption(name, value), help]);
  const width = Math.max(...[...options.map(([option]) => option!.length), 0]);
  return [
    ...[`${PROGRAM} ${name} ${usageOf(command)}`, "", command.summary, "", command.help],
    ...options.length === 0 ? [] : ["", ...options.map(([option, help]) => `  ${option!.padEnd(width)}  ${help}`)],
    ...["", EXIT_CODES],
  ].join("\n");
}

const EXIT_CODES = "Exit codes: 0 done, 1 failed, 2 wrong use, 3 damaged, 130 interrupted before it was done.";

function overview(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length));
  return [
    "Snapshots of state machines: looks at them, checks them, moves them.",
    "",
    ...Object.entries(COMMANDS).map(([name, { summary }]) => `  ${PROGRAM} ${name.padEnd(width)}  ${summary}`),
    "",
    `  ${PROGRAM} COMMAND --help says more; --json prints JSON; ${PROGRAM} --version.`,
    `  ${EXIT_CODES}`,
  ].join("\n");
}
