/**
 * The file system that a browser keeps for an origin (OPFS), as far as storages and logs need it.
 *
 * @module
 */

import { cancelled, hasCode, messageOf, SnapshotError, type SnapshotErrorCode, throwIfCancelled } from "../errors.ts";

/** The part of `FileSystemHandle` that is used. */
export interface OpfsHandle {
  /** The kind of the entry. */
  readonly kind: "file" | "directory";
  /** The last part of its path. */
  readonly name: string;
  /** Reports whether another handle is of the same entry. */
  isSameEntry(other: OpfsHandle): Promise<boolean>;
}

/** The part of `FileSystemDirectoryHandle` that is used. */
export interface OpfsDirectory extends OpfsHandle {
  /** It is a directory. */
  readonly kind: "directory";
  /** Returns a directory in it. */
  getDirectoryHandle(name: string, options?: { create?: boolean }): Promise<OpfsDirectory>;
  /** Returns a file in it. */
  getFileHandle(name: string, options?: { create?: boolean }): Promise<OpfsFile>;
  /** Removes an entry of it. */
  removeEntry(name: string, options?: { recursive?: boolean }): Promise<void>;
  /** Returns the path from here to an entry below. */
  resolve(possibleDescendant: OpfsHandle): Promise<string[] | null>;
  /** The names in it. */
  keys(): AsyncIterable<string>;
}

/** The part of `FileSystemFileHandle` that is used. */
export interface OpfsFile extends OpfsHandle {
  /** It is a file. */
  readonly kind: "file";
  /** Returns the current content. */
  getFile(): Promise<Blob & { readonly lastModified: number }>;
  /** Opens a stream that replaces the file when it is closed, wholly or not at all. */
  createWritable(): Promise<OpfsWritable>;
  /** Opens the file itself, for one user at a time; in dedicated workers only. */
  createSyncAccessHandle?(): Promise<OpfsAccess>;
}

/** The part of `FileSystemSyncAccessHandle` that is used. */
export interface OpfsAccess {
  /** Returns the number of bytes in the file. */
  getSize(): number;
  /** Reads bytes at a position; returns how many. */
  read(buffer: Uint8Array, options: { at: number }): number;
  /** Writes bytes at a position; returns how many. */
  write(bytes: Uint8Array, options: { at: number }): number;
  /** Sets the number of bytes in the file. */
  truncate(size: number): void;
  /** Makes durable what was written. */
  flush(): void;
  /** Lets others open the file. */
  close(): void;
}

/** The part of `FileSystemWritableFileStream` that is used. */
export interface OpfsWritable {
  /** Appends bytes. */
  write(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Replaces the file with the bytes that were written. */
  close(): Promise<void>;
  /** Discards the bytes that were written. */
  abort(): Promise<void>;
}

/** The part of `navigator` that is used. */
interface Navigator {
  readonly storage?: { getDirectory?(): Promise<OpfsDirectory> };
  readonly locks?: {
    request(
      name: string,
      options: { ifAvailable: boolean } | { signal: AbortSignal },
      callback: (lock: unknown) => Promise<void> | undefined,
    ): Promise<unknown>;
  };
}

const CODES: Readonly<Record<string, SnapshotErrorCode>> = {
  QuotaExceededError: "NO_SPACE",
  NotFoundError: "NOT_FOUND",
  NoModificationAllowedError: "BUSY",
  InvalidModificationError: "BUSY",
  NotAllowedError: "FORBIDDEN",
  SecurityError: "FORBIDDEN",
  TypeMismatchError: "CORRUPT",
};

const ADVICE: Partial<Record<SnapshotErrorCode, string>> = {
  NO_SPACE: ": the origin's quota, or the disk, is full; free some space and retry",
  BUSY: ": something else has it open",
  FORBIDDEN: ": the browser does not let this page store anything; see to its settings, or a private window",
};

/**
 * Runs a verb on the file system; its error names the verb and the path.
 *
 * @param what `"write"`, `"open"` … for the message
 * @param path what it was done to
 * @param verb does it
 */
export async function inOpfs<T>(what: string, path: string, verb: () => Promise<T>): Promise<T> {
  try {
    return await verb();
  } catch (error) {
    throw opfsError(error, what, path);
  }
}

/** As {@linkcode inOpfs}, for a verb of an {@linkcode OpfsAccess}. */
export function inOpfsNow<T>(what: string, path: string, verb: () => T): T {
  try {
    return verb();
  } catch (error) {
    throw opfsError(error, what, path);
  }
}

function opfsError(error: unknown, what: string, path: string): SnapshotError {
  if (error instanceof SnapshotError) return error;
  const code = CODES[(error as { name?: string } | null)?.name ?? ""] ?? "UNAVAILABLE";
  return new SnapshotError(code, `Cannot ${what} ${path}: ${messageOf(error)}${ADVICE[code] ?? ""}`, {
    file: path,
    cause: error,
  });
}

/** Returns the root of the origin's file system. */
export function opfsRoot(): Promise<OpfsDirectory> {
  const { storage } = browser();
  if (storage?.getDirectory === undefined) {
    return Promise.reject(
      new SnapshotError("UNSUPPORTED", "There is no OPFS here: it takes a browser, and a page from https or localhost"),
    );
  }
  return inOpfs("open", "the origin's file system", () => storage.getDirectory!());
}

/** Returns the names in a directory. */
export function namesInOpfs(directory: OpfsDirectory, path: string): Promise<string[]> {
  return inOpfs("list", path, () => Array.fromAsync(directory.keys()));
}

/** Removes an entry of a directory, with everything in it; nothing happens if it is not there. */
export async function removeOpfsEntry(directory: OpfsDirectory, name: string, path: string): Promise<void> {
  try {
    await inOpfs("remove", path, () => directory.removeEntry(name, { recursive: true }));
  } catch (error) {
    if (!hasCode(error, "NOT_FOUND")) throw error;
  }
}

/**
 * Takes a lock that only one tab or worker of the origin can have at a time. The browser frees it when its owner ends,
 * in whatever way.
 *
 * @param path what is locked
 * @param wait waits for whoever has it, until this signal fires
 * @returns a function that releases it
 * @throws {SnapshotError} `BUSY` if somebody has it, and nobody waits; `CANCELLED`
 */
export async function lockOpfs(path: string, wait: AbortSignal | undefined): Promise<() => Promise<void>> {
  const { locks } = browser();
  if (locks === undefined) {
    throw new SnapshotError("UNSUPPORTED", "There are no locks here: it takes a browser, and a page from https");
  }
  throwIfCancelled(wait);
  let release!: () => void;
  const released = new Promise<void>((resolve) => release = resolve);
  return await inOpfs("lock", path, () =>
    new Promise((resolve, reject) => {
      const how = wait === undefined ? { ifAvailable: true } : { signal: wait };
      const ended = locks.request(`snapstream ${path}`, how, (lock) => {
        if (lock === null) {
          reject(
            new SnapshotError("BUSY", `${path} is locked: another tab or worker, or this one, has it open`, {
              file: path,
            }),
          );
          return undefined;
        }
        resolve(async () => {
          release();
          await ended;
        });
        return released;
      });
      ended.catch((error) => reject(wait?.aborted === true ? cancelled(wait) : error));
    }));
}

function browser(): Navigator {
  return (globalThis as { navigator?: Navigator }).navigator ?? {};
}
