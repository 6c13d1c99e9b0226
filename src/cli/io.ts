/**
 * What the command line reads and writes: arguments are somewhere else.
 *
 * @module
 */

import { once } from "node:events";
import { createReadStream, createWriteStream } from "node:fs";
import process from "node:process";
import type { Writable } from "node:stream";
import type { Operation } from "../stream/mod.ts";

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

/** The process's. */
export function processIo(): Io {
  return {
    print: (line) => void process.stdout.write(`${line}\n`),
    note: (line) => void process.stderr.write(`${line}\n`),
    stdin: () => ReadableStream.from(createReadStream("", { fd: 0, highWaterMark: 256 * 1024 })),
    stdout: () => sinkOf(createWriteStream("", { fd: 1, autoClose: false })),
    watch,
  };
}

/** A sink that is no faster than what it writes to. */
function sinkOf(output: Writable): WritableStream<Uint8Array> {
  let failure: unknown;
  output.on("error", (error) => failure ??= error);
  return new WritableStream<Uint8Array>({
    async write(bytes, controller) {
      if (failure !== undefined) throw failure;
      if (!output.write(bytes)) await once(output, "drain", { signal: controller.signal });
    },
    close: () =>
      new Promise((resolve, reject) => output.end(() => failure === undefined ? resolve() : reject(failure))),
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
