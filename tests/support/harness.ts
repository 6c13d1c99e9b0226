// The one way in which tests are written, so that the same file runs on every runtime: Deno's own runner (with its leak
// detection) on Deno, a plain loop on Node, Bun and workerd.

import { assert } from "chai";
import { SnapshotError, type SnapshotErrorCode } from "../../mod.ts";
import { threadsIdle, threadsSettled, watchThreads } from "./threads.ts";

export { assert };

// Chai asks for each byte whether the two are deeply equal: only what differs is for it, to say where.
const { deepEqual } = assert;
assert.deepEqual = (actual: unknown, expected: unknown, message?: string) => {
  if (!isSameBytes(actual, expected)) deepEqual(actual, expected, message);
};

function isSameBytes(a: unknown, b: unknown): boolean {
  if (!(a instanceof Uint8Array && b instanceof Uint8Array) || a.constructor !== b.constructor) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return a.length === b.length;
}

export interface Case {
  readonly name: string;
  readonly run: () => void | Promise<void>;
}

const cases: Case[] = [];

/** A test that takes so long hangs, in milliseconds. */
const HANGS = 240_000;

/** Says that there is a test. */
export function test(name: string, run: () => void | Promise<void>): void {
  const guarded = () => withinTime(run);
  if (!("Deno" in globalThis)) return void cases.push({ name, run: guarded });
  watchThreads();
  // A digest that nobody wants any more, since the rest has failed, is no leak.
  Deno.test(name, () => guarded().finally(threadsIdle));
}

/** What the running test has open. */
let opened: AsyncDisposable[] = [];

/** Closes something when the test ends: `await using`, which Node 22 cannot parse. */
export function closing<T extends AsyncDisposable>(it: T): T {
  opened.push(it);
  return it;
}

/** Runs a test, and fails if it hangs. */
async function withinTime(run: () => void | Promise<void>): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  opened = [];
  const hangs = new Promise<never>((_, reject) => timer = setTimeout(() => reject(new Error("It hangs")), HANGS));
  try {
    await Promise.race([(async () => await run())(), hangs]);
  } finally {
    clearTimeout(timer);
    for (const it of opened.reverse()) await Promise.resolve(it[Symbol.asyncDispose]()).catch(() => {});
  }
}

/** Says that there are the tests of a conformance suite. */
export function testAll(subject: string, suite: readonly Case[]): void {
  for (const { name, run } of suite) test(`${subject}: ${name}`, run);
}

/** Which tests are run, and what is said of them. */
export interface RunAllOptions {
  /** Only tests that have this in their name. */
  readonly filter?: string;
  /** Say how long each took, as `TIME milliseconds name`. */
  readonly times?: boolean;
}

/** Runs all tests one after the other; returns how many failed. */
export async function runAll(
  log: (line: string) => void,
  { filter = "", times = false }: RunAllOptions = {},
): Promise<number> {
  const chosen = cases.filter(({ name }) => name.includes(filter));
  const failed: string[] = [];
  for (const { name, run } of chosen) {
    const start = performance.now();
    try {
      await run();
    } catch (error) {
      failed.push(`FAILED ${name}\n${error instanceof Error ? error.stack ?? error.message : String(error)}`);
      log(failed.at(-1)!);
    }
    if (times) log(`TIME ${Math.round(performance.now() - start)} ${name}`);
  }
  for (const failure of failed) log(`\n${failure}`); // once more, where it is found
  log(`${chosen.length - failed.length} passed, ${failed.length} failed`);
  return failed.length;
}

/** Waits for a `SnapshotError` with a code, and returns it. */
export async function rejects(
  work: PromiseLike<unknown> | (() => unknown),
  code: SnapshotErrorCode,
): Promise<SnapshotError> {
  try {
    await (typeof work === "function" ? work() : work);
  } catch (error) {
    if (error instanceof SnapshotError && error.code === code) return error;
    throw new Error(`Expected ${code}, got ${error instanceof SnapshotError ? error.code : ""} ${error}`, {
      cause: error,
    });
  }
  throw new Error(`Expected ${code}, got no error`);
}

/** Bytes that look random and are the same each time: xorshift32, little-endian (as in the fixtures). */
export function noise(length: number, seed: number): Uint8Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(length / 4));
  let x = seed | 0 || 1;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  return new Uint8Array(words.buffer, 0, length);
}

/** A stream of some bytes, in pieces of a length. */
export function pieces(bytes: Uint8Array, length = 100_000): ReadableStream<Uint8Array> {
  return ReadableStream.from((function* () {
    for (let at = 0; at < bytes.length; at += length) yield bytes.slice(at, at + length);
  })());
}

/** All bytes of a stream. */
export async function bytesOf(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  return new Uint8Array(await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer());
}

/** A promise and what settles it. */
export function gate<T = void>(): { readonly promise: Promise<T>; open(value: T): void } {
  let open!: (value: T) => void;
  const promise = new Promise<T>((resolve) => open = resolve);
  return { promise, open };
}

/** The reasons of the promises that are rejected by some work and that nobody handles. */
export async function unhandled(work: () => unknown): Promise<unknown[]> {
  const reasons: unknown[] = [];
  const { process } = globalThis as { process?: { on?: Listen; off?: Listen } };
  const stop = typeof process?.on === "function"
    ? listening(process.on, process.off!, process, "unhandledRejection", (reason) => reasons.push(reason))
    : listening(
      addEventListener as Listen,
      removeEventListener as Listen,
      globalThis,
      "unhandledrejection",
      (event) => {
        (event as PromiseRejectionEvent).preventDefault();
        reasons.push((event as PromiseRejectionEvent).reason);
      },
    );
  try {
    await work();
    await turns(3);
    return reasons;
  } finally {
    stop();
  }
}

type Listen = (name: string, listener: (it: unknown) => void) => void;

function listening(on: Listen, off: Listen, self: unknown, name: string, listener: (it: unknown) => void): () => void {
  on.call(self, name, listener);
  return () => off.call(self, name, listener);
}

/** Lets everything run that needs no input or output; digests that were begun end, too, however busy the machine is. */
export async function turns(count = 20): Promise<void> {
  for (let i = 0; i < count; i++) {
    await new Promise((resolve) => setTimeout(resolve, 0));
    await threadsSettled();
  }
}
