/**
 * What the operating system says, as the library's errors.
 *
 * @module
 */

import { messageOf, SnapshotError, type SnapshotErrorCode } from "../errors.ts";

const CODES: Readonly<Record<string, SnapshotErrorCode>> = {
  ENOENT: "NOT_FOUND",
  EEXIST: "BUSY",
  ENOTEMPTY: "BUSY",
  ENOSPC: "NO_SPACE",
  EDQUOT: "NO_SPACE",
  EFBIG: "NO_SPACE",
  EACCES: "FORBIDDEN",
  EPERM: "FORBIDDEN",
  EROFS: "FORBIDDEN",
  ELOOP: "FORBIDDEN",
  ENAMETOOLONG: "MALFORMED",
  EISDIR: "CORRUPT",
};

const ADVICE: Partial<Record<SnapshotErrorCode, string>> = {
  NO_SPACE: ": the disk is full; free some room and try again",
  FORBIDDEN: ": see to its permissions, and that it is no symbolic link",
};

/** The code of an operating system's error, such as `ENOENT`; Deno's own errors have a name in its stead. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as { code?: unknown };
  if (typeof code === "string") return code;
  if (error.name === "NotFound") return "ENOENT";
  if (error.name === "AlreadyExists") return "EEXIST";
  return error.name === "PermissionDenied" || error.name === "NotCapable" ? "EACCES" : undefined;
}

/**
 * Does something with the disk, and says what and where if it fails.
 *
 * @param what `"write"`, `"rename"` … for the message
 * @param path what it was done to
 * @param verb does it
 */
export async function onDisk<T>(what: string, path: string, verb: () => Promise<T>): Promise<T> {
  try {
    return await verb();
  } catch (error) {
    if (error instanceof SnapshotError) throw error;
    const code = CODES[systemCode(error) ?? ""] ?? "UNAVAILABLE";
    throw new SnapshotError(code, `Cannot ${what} ${path}: ${messageOf(error)}${ADVICE[code] ?? ""}`, {
      file: path,
      cause: error,
    });
  }
}
