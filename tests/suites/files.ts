// Which test files there are, and of which kind each is: its name says so (tests/README.md).

const ROOT = new URL("../../", import.meta.url).pathname;

/** The suffixes of test files, and what they say. A longer one comes before the one that it ends with. */
const KINDS = [
  ["_disk_proof_test.ts", "disk proof"],
  ["_proof_test.ts", "proof"],
  ["_disk_test.ts", "disk"],
  ["_runtime_test.ts", "runtime"],
  ["_test.ts", "core"],
] as const;

/**
 * The kind of a test file.
 *
 * | kind | what it tests | where it can fail |
 * |---|---|---|
 * | `core` | pure computation and Web APIs that all engines have alike | in our code, or in an engine |
 * | `runtime` | streams, crypto, timers, HTTP's classes; conformance | on each runtime |
 * | `disk` | the same, with files, sockets, SQLite or processes | on each runtime that has a disk |
 * | `proof` | models, simulated disks, fuzz, chaos: long, and of our code alone | in our code |
 * | `disk proof` | kills, full disks, leaks: long, and of real disks and processes | on each runtime that has a disk |
 */
export type Kind = typeof KINDS[number][1];

/** The folders whose tests need a server, a browser or bundlers: each has a `suite.ts`, and no other suite runs them. */
export const SERVICES = ["pack", "edge", "browser", "jetstream", "s3", "proxy", "interop"] as const;

/** The kind of a file; `undefined` for one that has no tests. */
export function kindOf(file: string): Kind | undefined {
  return KINDS.find(([suffix]) => file.endsWith(suffix))?.[1];
}

/** The folder that says how a file's tests are run; `undefined` for those that need a runtime only. */
export function serviceOf(file: string): typeof SERVICES[number] | undefined {
  return SERVICES.find((name) => file.startsWith(`tests/${name}/`));
}

/** All test files, as paths from the project's root, in order. */
export async function testFiles(): Promise<string[]> {
  return (await walk("tests")).filter((file) => kindOf(file) !== undefined);
}

async function walk(directory: string): Promise<string[]> {
  const found: string[] = [];
  for await (const { name, isDirectory } of Deno.readDir(`${ROOT}${directory}`)) {
    const path = `${directory}/${name}`;
    if (isDirectory) found.push(...await walk(path));
    else found.push(path);
  }
  return found.sort();
}

/** Those of these kinds that need a runtime only. */
export function ofKinds(files: readonly string[], ...kinds: readonly Kind[]): string[] {
  return files.filter((file) => serviceOf(file) === undefined && kinds.includes(kindOf(file)!));
}
