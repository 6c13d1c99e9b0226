/**
 * The command line.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { checkSignal, checkString, listOf } from "../checks.ts";
import { hasCode, messageOf } from "../errors.ts";
import { type Command, Exit, exitCodeOf, UsageError } from "./command.ts";
import { convert } from "./convert.ts";
import { processIo } from "./io.ts";
import { inspect, ls, verify } from "./look.ts";
import { archive, pull, restore, serve, unarchive } from "./move.ts";

/** The name in help texts. */
const PROGRAM = "snapstream";

/**
 * Runs a command. Results go to standard output, everything else to standard error.
 *
 * @param args the arguments, without the program's name
 * @param signal stops it cleanly
 * @returns the exit code
 */
export async function runCli(
  args: readonly string[],
  signal: AbortSignal = new AbortController().signal,
): Promise<number> {
  listOf(checkString)(args, "args");
  checkSignal(signal, "signal");
  const commands: Readonly<Record<string, Command>> = {
    ls,
    inspect,
    verify,
    serve,
    pull,
    archive,
    convert,
    unarchive,
    restore,
  };
  const io = processIo();
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    (name === undefined ? io.note : io.print)(overview(commands));
    return name === undefined ? Exit.WRONG_USE : Exit.DONE;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  try {
    if (command === undefined) {
      throw new UsageError(`There is no command ${JSON.stringify(name)}: see ${PROGRAM} --help`);
    }
    const { values, positionals } = parse(command, rest);
    if (values.help === true) {
      io.print(`${PROGRAM} ${name} ${command.usage} [--json]\n\n${command.summary}\n\n${command.help}`);
      return Exit.DONE;
    }
    const [least, most] = command.positionals;
    if (positionals.length < least || positionals.length > most) {
      throw new UsageError(`Usage: ${PROGRAM} ${name} ${command.usage}`);
    }
    const options = Object.fromEntries(
      Object.keys(command.options).map((key) => [key, values[key] as string | undefined]),
    );
    return await command.run({ positionals, options, json: values.json === true, signal, io });
  } catch (error) {
    io.note(`${PROGRAM}: ${messageOf(error)}`);
    if (error instanceof UsageError) return Exit.WRONG_USE;
    return hasCode(error, "CANCELLED") ? Exit.FAILED : exitCodeOf(error);
  }
}

function parse(
  command: Command,
  args: readonly string[],
): { values: Record<string, string | boolean | undefined>; positionals: string[] } {
  const own = Object.keys(command.options).map((key) => [key, { type: "string" }] as const);
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        ...Object.fromEntries(own),
        json: { type: "boolean" },
        help: { type: "boolean", short: "h" },
      },
    });
  } catch (error) {
    throw new UsageError(messageOf(error));
  }
}

function overview(commands: Readonly<Record<string, Command>>): string {
  const lines = Object.entries(commands).map(([name, { usage, summary }]) =>
    `  ${PROGRAM} ${name} ${usage}\n      ${summary}`
  );
  return [
    "Snapshots of state machines: looks at them, checks them, moves them.",
    "",
    ...lines,
    "",
    `  --json prints JSON; ${PROGRAM} COMMAND --help says more.`,
    "  Exit codes: 0 done, 1 failed, 2 wrong use, 3 damaged.",
  ].join("\n");
}
