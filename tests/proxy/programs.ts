// The programs of other people that these tests use: a proxy, and clients.

import { execFile, type ExecFileException } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** Where each has its program, in Debian's packages. */
const PROGRAMS = {
  nginx: "usr/sbin/nginx",
  curl: "usr/bin/curl",
  wget: "usr/bin/wget",
  aria2c: "usr/bin/aria2c",
  openssl: "usr/bin/openssl",
} as const;

/** A program. */
export type Program = keyof typeof PROGRAMS;

/** Debian's packages that have them, with the libraries that not every machine has. */
export const PACKAGES: readonly string[] = [
  ...["nginx", "curl", "libcurl4", "wget", "aria2", "libaria2-0", "libc-ares2", "openssl"],
];

/** Where the packages are unpacked: from the source, or from a bundle in `.build`. */
const UNPACKED = ["../..", ".."].map((root) => fileURLToPath(new URL(`${root}/.runtimes/proxy/`, import.meta.url)));

/** Where a program is, if it is anywhere: unpacked, or installed on the machine. */
export function pathOf(program: Program): string | undefined {
  const path = PROGRAMS[program];
  return [...UNPACKED, "/"].map((root) => root + path).find((path) => existsSync(path));
}

/** The environment in which the unpacked ones find their libraries. */
export function environment(): NodeJS.ProcessEnv {
  const libraries = UNPACKED.map((root) =>
    `${root}usr/lib/${process.arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu`
  );
  return { ...process.env, LD_LIBRARY_PATH: libraries.join(":"), no_proxy: "*" };
}

/** The end of a program. */
export interface Ended {
  /** Its exit code. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program to its end. */
export function run(program: Program, args: readonly string[], cwd?: string): Promise<Ended> {
  const options = { env: environment(), maxBuffer: 64 * 1024 * 1024, ...(cwd !== undefined && { cwd }) };
  return new Promise((resolve) => {
    const child = execFile(pathOf(program)!, args, options, (error: ExecFileException | null, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? -1), stdout: String(stdout), stderr: String(stderr) });
    });
    child.stdin?.end();
  });
}

/** Whether all of them are here, and run. */
export async function programsInstalled(): Promise<boolean> {
  for (const program of Object.keys(PROGRAMS) as Program[]) {
    if (pathOf(program) === undefined) return false;
    const { code } = await run(program, [program === "nginx" ? "-v" : program === "openssl" ? "version" : "--version"]);
    if (code !== 0) return false;
  }
  return true;
}
