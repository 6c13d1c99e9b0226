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
    print: (line) => void process.stdout.write(`${line}\n`),
    note: (line) => void process.stderr.write(`${line}\n`),
    // Not by their numbers: a non-blocking one (a pipe that somebody else set so) would give EAGAIN.
    stdin: () => ReadableStream.from(process.stdin),
    stdout: stdoutSink,
    watch,
  };
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
  if (!process.stderr.isTTY) return await operation.result;
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
    return await operation.result;
  } finally {
    bar.stop();
  }
}

function mebibytes(bytes: number): string {
  return (bytes / 1024 / 1024).toFixed(1);
}
