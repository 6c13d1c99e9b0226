/**
 * A directory of OPFS, opened by one tab or worker at a time.
 *
 * @module
 */

import { able } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import { checkName } from "../snapshot/mod.ts";
import { inOpfs, lockOpfs, type OpfsDirectory, opfsRoot } from "./handles.ts";

/** A directory that is open. */
export interface OpenedOpfs {
  /** The directory. */
  readonly root: OpfsDirectory;
  /** Its path from the origin's root, for messages. */
  readonly path: string;
  /** Gives the lock back; absent if it was opened for reading only. */
  readonly unlock: (() => Promise<void>) | undefined;
}

/**
 * Opens a directory; makes it if there is none, unless it is only read.
 *
 * @param directory a directory of OPFS, or its path from the root of that
 * @param how only to read it, beside others; else it is locked, and `wait` waits for whoever has it, until it fires
 * @throws {SnapshotError} `BUSY`, `CANCELLED`, `UNSUPPORTED`, `MALFORMED`, `FORBIDDEN`, `NOT_FOUND`
 */
export async function openOpfs(
  directory: OpfsDirectory | string,
  how: "read" | { readonly wait: AbortSignal | undefined },
): Promise<OpenedOpfs> {
  if (typeof directory !== "string") {
    able("a directory of OPFS, or its path", "getDirectoryHandle", "getFileHandle", "removeEntry")(
      directory,
      "directory",
    );
  }
  const origin = await opfsRoot();
  const path = await pathOf(origin, directory);
  const unlock = how === "read" ? undefined : await lockOpfs(path, how.wait);
  try {
    let root = origin;
    for (const part of path.split("/").filter((part) => part !== "")) {
      root = await inOpfs("open", path, () => root.getDirectoryHandle(part, { create: how !== "read" }));
    }
    return { root, path, unlock };
  } catch (error) {
    await unlock?.();
    throw error;
  }
}

/** Returns the path of a directory from the origin's root. It names the lock, however the directory was given. */
async function pathOf(origin: OpfsDirectory, directory: OpfsDirectory | string): Promise<string> {
  if (typeof directory === "string") return checkName(directory);
  const parts = await inOpfs("find", directory.name, () => origin.resolve(directory));
  if (parts !== null) return parts.join("/");
  throw new SnapshotError("MALFORMED", `${JSON.stringify(directory.name)} is no directory of OPFS`);
}
