/**
 * The names of files in a snapshot.
 *
 * @module
 */

import { checkString } from "../checks.ts";
import { SnapshotError } from "../errors.ts";

/** The longest name, in bytes of UTF-8. */
export const MAX_NAME_BYTES: number = 1024;
/** The longest part of a name between slashes, in bytes of UTF-8: usual file systems take no more. */
export const MAX_NAME_PART_BYTES: number = 255;
/** The name of the manifest in a directory, which no file may have. */
export const MANIFEST_NAME: string = "__raft_snapshot_meta";
/** The name that the manifest has while it is being written. */
export const MANIFEST_TEMP_NAME: string = `${MANIFEST_NAME}.tmp`;

/**
 * Checks the name of a file in a snapshot: a relative POSIX path without an empty, `.` or `..` part, without backslash
 * or NUL, at most 1024 bytes of UTF-8, of which each part has at most 255, and the first is not the manifest's own.
 *
 * @param name what to check
 * @returns the name
 * @throws {SnapshotError} `MALFORMED`, saying what is wrong with it
 */
export function checkName(name: string): string {
  checkString(name, "The name of a file");
  const wrong = wrongWith(name);
  if (wrong === undefined) return name;
  const shown = JSON.stringify(name.length > 100 ? `${name.slice(0, 100)}…` : name);
  throw new SnapshotError("MALFORMED", `A file of a snapshot cannot be called ${shown}: ${wrong}`, { file: name });
}

function wrongWith(name: string): string | undefined {
  if (name === "") return "it is empty";
  const length = name.length > MAX_NAME_BYTES ? Infinity : new TextEncoder().encode(name).length;
  if (length > MAX_NAME_BYTES) return `it is longer than ${MAX_NAME_BYTES} bytes`;
  if (length > MAX_NAME_PART_BYTES && name.split("/").some(isLongPart)) {
    return `a part of it is longer than ${MAX_NAME_PART_BYTES} bytes`;
  }
  if (!name.isWellFormed()) return "it has half of a surrogate pair, which UTF-8 cannot hold";
  if (name.includes("\0")) return "it has a NUL";
  if (name.includes("\\")) return "it has a backslash";
  if (name.startsWith("/")) return "it is absolute";
  const parts = name.split("/");
  if (parts.includes("..")) return "it leads out of the snapshot";
  if (parts.includes("") || parts.includes(".")) return "it is not in its shortest form"; // also a slash at the end
  const [top] = parts;
  if (top === MANIFEST_NAME || top === MANIFEST_TEMP_NAME) return "that is the manifest's name";
  return undefined;
}

function isLongPart(part: string): boolean {
  return new TextEncoder().encode(part).length > MAX_NAME_PART_BYTES;
}

/** The names of one snapshot: no two the same, and none a directory of another. */
export class NameSet {
  readonly #files = new Set<string>();
  readonly #directories = new Set<string>();

  /**
   * Adds the name of a file.
   *
   * @throws {SnapshotError} `MALFORMED` if the name is not allowed, there already, or in the way of another
   */
  add(name: string): void {
    checkName(name);
    const directories = directoriesOf(name);
    const clash = this.#files.has(name)
      ? "it is there twice"
      : this.#directories.has(name)
      ? "it is the directory of another file"
      : directories.some((directory) => this.#files.has(directory))
      ? "a directory in it is a file"
      : undefined;
    if (clash !== undefined) throw clashing(name, clash);
    this.#files.add(name);
    for (const directory of directories) this.#directories.add(directory);
  }

  /** Removes the name of a file that did not come about. */
  delete(name: string): void {
    this.#files.delete(name);
  }
}

/**
 * Checks all names of a snapshot, as a {@linkcode NameSet} does, but without holding the directories: a manifest can
 * have tens of millions of them.
 *
 * @throws {SnapshotError} `MALFORMED`
 */
export function checkNames(names: readonly string[]): void {
  // With the separator sorted before all else, the files in a directory directly follow a file of the same name.
  const sorted = names.map((name) => checkName(name).split("/").join("\0")).sort();
  for (let i = 1; i < sorted.length; i++) {
    const [before, name] = [sorted[i - 1]!, sorted[i]!];
    if (name === before) throw clashing(name.replaceAll("\0", "/"), "it is there twice");
    if (name.startsWith(`${before}\0`)) throw clashing(name.replaceAll("\0", "/"), "a directory in it is a file");
  }
}

function clashing(name: string, clash: string): SnapshotError {
  return new SnapshotError("MALFORMED", `${JSON.stringify(name)} cannot be in the snapshot: ${clash}`, { file: name });
}

/**
 * Pairs of names that some file system takes for one, since they differ only in case, in how accents are composed, or
 * in dots and spaces at the end of a part.
 */
export function* similarNames(names: Iterable<string>): Generator<[string, string], void, undefined> {
  const seen = new Map<string, string>();
  for (const name of names) {
    const key = name.normalize("NFKD").toUpperCase().toLowerCase().normalize("NFKD").replace(/[. ]+(?=\/|$)/g, "");
    const other = seen.get(key);
    if (other === undefined) seen.set(key, name);
    else yield [other, name];
  }
}

/** The directories in which a file lies, outermost first: `a/b/c` has `a` and `a/b`. */
export function directoriesOf(name: string): string[] {
  const directories: string[] = [];
  for (let at = name.indexOf("/"); at >= 0; at = name.indexOf("/", at + 1)) directories.push(name.slice(0, at));
  return directories;
}
