/**
 * The input and output of the command line, beside its arguments.
 *
 * @module
 */

import process from "node:process";
import type { Operation } from "../async/mod.ts";
import { SnapshotError } from "../errors.ts";
import { sizeText } from "./text.ts";
import { UsageError } from "./usage_error.ts";

/** Where a command writes to. */
export interface Io {
  /** A line of the result. */
  print(line: string): void;
  /** A line for the person at the terminal. */
  note(line: string): void;
  /** Lines in the place of those that were shown last, on a terminal; elsewhere one more line, if it is another. */
  redraw(lines: readonly string[], plain: string): void;
  /** Standard input, unless somebody would have to type it. */
  stdin(): ReadableStream<Uint8Array>;
  /** Standard output, for bytes. To a terminal nothing goes but text, and that only if text is expected. */
  stdout(kind: "text" | "binary"): WritableStream<Uint8Array>;
  /** Waits for work, and shows how far it is if somebody is looking. */
  watch<T>(operation: Operation<T>): Promise<T>;
  /** Waits until all lines are written; throws if they could not be. */
  flushed(): Promise<void>;
}

/** Reports whether whoever read standard output has gone. */
export function isClosedPipe(error: unknown): boolean {
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++) {
    if ((at as { readonly code?: unknown }).code === "EPIPE") return true;
  }
  return false;
}

/** The bar that is shown: a message goes above it. */
let bar: { redraw(): void } | undefined;

/**
 * The input and output of the process.
 *
 * @param onLost told that standard output takes nothing more: a command that would go on until Ctrl-C can end
 */
export function processIo(onLost: (error: Error) => void = () => {}): Io {
  let lost: Error | undefined;
  const lose = (error: Error) => {
    if (lost === undefined) onLost(lost = error);
  };
  process.stdout.on("error", lose);
  let written: Promise<void> | undefined; // the last line: those before it are then, too
  const write = (text: string) => {
    if (lost !== undefined) return; // on Deno nothing is called back any more
    written = new Promise((resolve) => {
      const done = (error?: Error | null) => {
        if (error) lose(error);
        resolve();
      };
      try {
        process.stdout.write(text, done);
      } catch (error) {
        done(error as Error); // on Deno
      }
    });
  };
  process.stderr.on("error", () => {});
  let drawn = 0;
  let last = "";
  return {
    print: (line) => write(`${escaped(line)}\n`),
    note(line) {
      process.stderr.write(`${bar === undefined ? "" : "\r\x1b[K"}${escaped(line)}\n`);
      bar?.redraw();
    },
    redraw(lines, plain) {
      if (!process.stdout.isTTY) {
        if (plain !== last) write(`${escaped(plain)}\n`);
        last = plain;
        return;
      }
      const { columns = 80, rows = 24 } = process.stdout;
      const cut = lines.slice(0, Math.max(rows - 1, 1)).map((line) => escaped(line).slice(0, Math.max(columns - 1, 1)));
      const up = drawn > 0 ? `\x1b[${drawn}A` : "";
      write(`${up}\r\x1b[J${cut.join("\n")}\n`);
      drawn = cut.length;
    },
    stdin() {
      if (process.stdin.isTTY) throw new UsageError("Standard input is a terminal: give it a file (< FILE)");
      // Not by their numbers: a non-blocking one (a pipe that somebody else set so) would give EAGAIN.
      return ReadableStream.from(process.stdin);
    },
    stdout: (kind) => stdoutSink(kind, (error) => lost ??= error),
    watch,
    async flushed() {
      await written;
      // Whoever reads only the first lines (`| head`) has what he wants: that is no failure.
      if (lost === undefined || isClosedPipe(lost)) return;
      throw new SnapshotError("UNAVAILABLE", `Standard output cannot be written: ${lost.message}`, { cause: lost });
    },
  };
}

/**
 * Characters that a terminal obeys instead of showing them: controls but for tab and line feed, and those that change
 * the direction of text. Names and errors may come from strangers.
 */
// deno-lint-ignore no-control-regex
const OBEYED = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** Escapes them, as JSON does, so that it can also be JSON. */
function escaped(text: string): string {
  return text.replace(OBEYED, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Escapes a name for a line of its own: it may have tabs and line feeds, too. */
export function shown(name: string): string {
  return escaped(name).replaceAll("\t", "\\t").replaceAll("\n", "\\n");
}

/** Standard output as a sink: a write is done when all of it was taken. */
function stdoutSink(kind: "text" | "binary", onLost: (error: Error) => void): WritableStream<Uint8Array> {
  const { stdout } = process;
  if (stdout.isTTY && kind === "binary") {
    throw new UsageError("Standard output is a terminal: send it to a file (> FILE)");
  }
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const write = (bytes: Uint8Array | string) =>
    new Promise<void>((resolve, reject) => void stdout.write(bytes, (error) => error ? reject(error) : resolve()))
      .catch(
        (error) => {
          onLost(error);
          throw error;
        },
      );
  return new WritableStream<Uint8Array>({
    async write(bytes) {
      if (!stdout.isTTY) return await write(bytes);
      let text: string;
      try {
        text = decoder.decode(bytes, { stream: true });
      } catch {
        throw new UsageError("This is no text, and standard output is a terminal: send it to a file (> FILE)");
      }
      if (text.includes("\0")) {
        throw new UsageError("This is no text, and standard output is a terminal: send it to a file (> FILE)");
      }
      await write(escaped(text));
    },
  });
}

/**
 * A terminal without the sequences that save and restore the position of the cursor: the bar would return in the end to
 * where it began, over the messages that were written since.
 */
function withoutReturns(terminal: NodeJS.WriteStream): NodeJS.WriteStream {
  // deno-lint-ignore no-control-regex
  const returns = /\x1b[78]/g;
  return Object.create(terminal, {
    write: { value: (text: string) => terminal.write(text.replace(returns, "")) },
  });
}

async function watch<T>(operation: Operation<T>): Promise<T> {
  if (!process.stderr.isTTY) return await operation;
  const { default: progress } = await import("cli-progress");
  const shown = new progress.SingleBar({
    stream: withoutReturns(process.stderr),
    format: "{phase} [{bar}] {percentage} % | {done} of {all} | {rate}/s",
    hideCursor: true,
    clearOnComplete: true, // the result says what was done
    fps: 10,
  }, progress.Presets.shades_classic);
  const values = { phase: "", done: sizeText(0), all: "?", rate: sizeText(0) };
  shown.start(1, 0, values);
  let at = 0;
  bar = { redraw: () => shown.update(at) };
  try {
    for await (const { phase, bytes, total, rate } of operation) {
      shown.setTotal(Math.max(total ?? bytes, 1));
      at = bytes;
      shown.update(bytes, {
        phase,
        done: sizeText(bytes),
        all: total === undefined ? "?" : sizeText(total),
        rate: sizeText(rate),
      });
    }
    return await operation;
  } finally {
    bar = undefined;
    shown.stop();
  }
}
