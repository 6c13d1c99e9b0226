// Files of other systems for tests: fixtures, and copies of them that are cut short or changed.

import { readdirSync, readFileSync, statSync } from "node:fs";
import { blobFiles, type FormatVerifyResult, openFormat, type SourceFiles } from "../../src/formats.ts";
import { absent } from "../../src/format/files.ts";
import { SnapshotError } from "../../mod.ts";
import { bytesOf } from "./harness.ts";

/** Where the fixtures are, from where the project is run. */
export const FIXTURES = "tests/fixtures";

/** Files by their names, or one that stands alone. */
export type Contents = Uint8Array | Readonly<Record<string, Uint8Array>>;

/** The content of a fixture. */
export function fixture(path: string): Contents {
  const whole = `${FIXTURES}/${path}`;
  if (!statSync(whole).isDirectory()) return new Uint8Array(readFileSync(whole));
  const names = (readdirSync(whole, { recursive: true }) as string[]).sort();
  return Object.fromEntries(
    names.filter((name) => statSync(`${whole}/${name}`).isFile())
      .map((name) => [name, new Uint8Array(readFileSync(`${whole}/${name}`))]),
  );
}

/** The files of a content, under a name. */
export function filesOf(contents: Contents, name: string): SourceFiles {
  const blob = (bytes: Uint8Array) => new Blob([bytes as Uint8Array<ArrayBuffer>]);
  if (contents instanceof Uint8Array) return blobFiles(blob(contents), name);
  return blobFiles(Object.fromEntries(Object.entries(contents).map(([name, bytes]) => [name, blob(bytes)])), name);
}

/** As {@linkcode filesOf}, without a `Blob`, which costs more than most parsers do. */
export function inMemory(contents: Contents, name: string): SourceFiles {
  const isDirectory = !(contents instanceof Uint8Array);
  const all = new Map(isDirectory ? Object.entries(contents) : [[name, contents]]);
  return {
    name,
    isDirectory,
    entries: [...all].map(([name, { length }]) => ({ name, size: length })),
    open(path) {
      const bytes = all.get(path);
      if (bytes === undefined) return Promise.reject(absent(path));
      return Promise.resolve({
        size: bytes.length,
        read: (start, end) => Promise.resolve(bytes.slice(start, end)),
        close: () => Promise.resolve(),
      });
    },
  };
}

/** The last part of a path. */
export function nameOf(path: string): string {
  return path.split("/").at(-1)!;
}

/** All files of a snapshot. */
export async function readAll(files: SourceFiles, index?: bigint): Promise<Record<string, Uint8Array>> {
  const reader = await openFormat(files, index === undefined ? {} : { index });
  const all: Record<string, Uint8Array> = {};
  for (const { name } of reader.manifest.files) all[name] = await bytesOf(reader.file(name));
  await reader.close();
  return all;
}

/** Verifies; an error that says that something is damaged, or no snapshot, counts as a finding. */
export async function isFoundBad(files: SourceFiles): Promise<boolean> {
  try {
    const reader = await openFormat(files);
    const { ok } = await reader.verify().result;
    await reader.close();
    return !ok;
  } catch (error) {
    if (error instanceof SnapshotError && ["CORRUPT", "MALFORMED", "UNSUPPORTED", "NOT_FOUND"].includes(error.code)) {
      return true;
    }
    throw error;
  }
}

/** Verifies what is expected to be good. */
export async function verified(files: SourceFiles): Promise<FormatVerifyResult> {
  const reader = await openFormat(files);
  const result = await reader.verify().result;
  await reader.close();
  return result;
}

/**
 * Each place is tried on Deno, one of nine elsewhere: what finds the change is our code alone. An odd number, so that
 * each bit of a byte has its turn.
 */
const STRIDE = "Deno" in globalThis ? 1 : 9;

/** The lengths at which a file of a fixture, cut short there, passes. */
export async function cutsThatPass(contents: Contents, file: string | undefined, name: string): Promise<number[]> {
  const bytes = contents instanceof Uint8Array ? contents : contents[file!]!;
  const passed: number[] = [];
  for (let length = bytes.length - 1; length >= 0; length -= STRIDE) {
    const cut = bytes.slice(0, length);
    if (!await isFoundBad(filesOf(contents instanceof Uint8Array ? cut : { ...contents, [file!]: cut }, name))) {
      passed.unshift(length);
    }
  }
  return passed;
}

/** The places at which a byte of a file of a fixture, changed there, passes; every `step`th is tried. */
export async function flipsThatPass(
  contents: Contents,
  file: string | undefined,
  name: string,
  step = 1,
): Promise<number[]> {
  const bytes = contents instanceof Uint8Array ? contents : contents[file!]!;
  const passed: number[] = [];
  for (let at = 0; at < bytes.length; at += step * STRIDE) {
    const changed = bytes.slice();
    changed[at]! ^= 1 << at % 8;
    const all = contents instanceof Uint8Array ? changed : { ...contents, [file!]: changed };
    if (!await isFoundBad(filesOf(all, name))) passed.push(at);
  }
  return passed;
}
