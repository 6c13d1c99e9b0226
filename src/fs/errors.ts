/**
 * Errors of the operating system, turned into the library's own.
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
  NO_SPACE: ": the disk is full; free some space and retry",
  FORBIDDEN: ": see to its permissions, and that it is no symbolic link",
};

/** Returns the code of a system error, such as `ENOENT`; the errors of Deno have a name instead, which is mapped. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code } = error as { code?: unknown };
  if (typeof code === "string") return code;
  if (error.name === "NotFound") return "ENOENT";
  if (error.name === "AlreadyExists") return "EEXIST";
  return error.name === "PermissionDenied" || error.name === "NotCapable" ? "EACCES" : undefined;
}

/**
 * Runs a verb on the disk; its error names the verb and the path.
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
