/**
 * The input and output of the command line, beside its arguments.
 *
 * @module
 */

import process from "node:process";
import type { Operation } from "../async/mod.ts";

/** Where a command writes to. */
export interface Io {
  /** A line of the result. */
  print(line: string): void;
  /** A line for the person at the terminal. */
  note(line: string): void;
  /** Standard input. */
  stdin(): ReadableStream<Uint8Array>;
  /** Standard output, for bytes. */
  stdout(): WritableStream<Uint8Array>;
  /** Waits for work, and shows how far it is if somebody is looking. */
  watch<T>(operation: Operation<T>): Promise<T>;
}

/** The input and output of the process. */
export function processIo(): Io {
  return {
    print: (line) => void process.stdout.write(`${escaped(line)}\n`),
    note: (line) => void process.stderr.write(`${escaped(line)}\n`),
    // Not by their numbers: a non-blocking one (a pipe that somebody else set so) would give EAGAIN.
    stdin: () => ReadableStream.from(process.stdin),
    stdout: stdoutSink,
    watch,
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
function stdoutSink(): WritableStream<Uint8Array> {
  const { stdout } = process;
  stdout.on("error", () => {}); // the reader has gone: the write that saw it says so
  return new WritableStream<Uint8Array>({
    write: (bytes) =>
      new Promise((resolve, reject) => void stdout.write(bytes, (error) => error ? reject(error) : resolve())),
  });
}

async function watch<T>(operation: Operation<T>): Promise<T> {
  if (!process.stderr.isTTY) return await operation;
  const { default: progress } = await import("cli-progress");
  const bar = new progress.SingleBar({
    stream: process.stderr,
    format: "{phase} [{bar}] {percentage} % | {done} of {all} MiB | {rate} MiB/s",
    hideCursor: true,
  }, progress.Presets.shades_classic);
  bar.start(1, 0, { phase: "", done: 0, all: "?", rate: 0 });
  try {
    for await (const { phase, bytes, total, rate } of operation) {
      bar.setTotal(Math.max(total ?? bytes, 1));
      bar.update(bytes, {
        phase,
        done: mebibytes(bytes),
        all: total === undefined ? "?" : mebibytes(total),
        rate: mebibytes(rate),
      });
    }
    return await operation;
  } finally {
    bar.stop();
  }
}

function mebibytes(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(1);
}
