/**
 * A look at a path between two steps that nothing may come between.
 *
 * @module
 */

import { lstatSync } from "node:fs";
import { systemCode } from "./errors.ts";

/** The thing at a path. */
export interface Look {
  /** The identity of a file, whatever its name. While the file is open, no other has the same. */
  readonly identity: string;
  /** The size of the file in bytes. */
  readonly size: number;
}

/**
 * Looks at a path, without following a symbolic link at its end and without opening it: closing the file of an SQLite
 * database drops the locks that this process has on it.
 *
 * @param path the path
 * @returns nothing if there is nothing
 * @throws the error of the system if it cannot be looked at
 */
export function lookNow(path: string): Look | undefined {
  try {
    return look(path);
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Reports whether an error says that there is nothing at a path. */
export function isMissing(error: unknown): boolean {
  return ["ENOENT", "ENOTDIR"].includes(systemCode(error) ?? "");
}

/** The identity of a file that was looked at. */
export function identityOf({ dev, ino }: { readonly dev: bigint; readonly ino: bigint }): string {
  return `${dev} ${ino}`;
}

function look(path: string): Look {
  if ("Deno" in globalThis) { // its node:fs takes five times as long, and a log looks several times for each write
    const { dev, ino, size } = Deno.lstatSync(path);
    if (isExact(dev) && isExact(ino)) return { identity: identityOf({ dev: BigInt(dev), ino: BigInt(ino) }), size };
  }
  const found = lstatSync(path, { bigint: true });
  return { identity: identityOf(found), size: Number(found.size) };
}

/** Reports whether a number is that of one file only: a higher one was rounded, and may be that of others too. */
function isExact(value: number | null): value is number {
  return Number.isSafeInteger(value);
}
