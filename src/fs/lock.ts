/**
 * Locks that end with their owner.
 *
 * @module
 */

import { closeSync, constants, lstatSync, openSync } from "node:fs";
import { lstat } from "node:fs/promises";
import type { DatabaseSync } from "node:sqlite";
import { messageOf, SnapshotError } from "../errors.ts";
import type { DiskLock } from "./disk.ts";
import { onDisk, systemCode } from "./errors.ts";
import { identityOf, isMissing, lookNow } from "./look.ts";

/** A lock that can also be looked at between two steps that nothing may come between. */
export interface FileLock extends DiskLock {
  /** As {@linkcode DiskLock.isHeld}, at once. */
  isHeldNow(): boolean;
}

/**
 * Takes a lock of the operating system by way of SQLite, the only module in all three runtimes that does so (`fcntl`,
 * also between connections of one process). So a Deno process and a Node process exclude each other.
 *
 * @param Database SQLite, which whoever needs no lock does not import
 * @param path the file of the lock
 * @throws {SnapshotError} `BUSY` if it is locked, `FORBIDDEN` if it cannot be made, `CORRUPT` if it is no lock
 */
export function lockFile(Database: typeof DatabaseSync, path: string): FileLock {
  let database: DatabaseSync;
  let locked: string;
  try {
    makeLockFile(path); // no await up to SQLite's open, which would follow a symbolic link
    locked = identityOf(lstatSync(path, { bigint: true }));
    database = new Database(path);
  } catch (error) {
    throw new SnapshotError("FORBIDDEN", `Cannot make ${path}: ${messageOf(error)}: see to its permissions`, {
      file: path,
      cause: error,
    });
  }
  try {
    // The journal is in memory, so no file is made beside the lock. Nothing is ever written.
    database.exec("PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (/not a database|malformed/i.test(messageOf(error))) {
      throw new SnapshotError("CORRUPT", `${path} is no lock, but something else: remove it`, {
        file: path,
        cause: error,
      });
    }
    if (!/locked|busy/i.test(messageOf(error))) throw error;
    throw new SnapshotError("BUSY", `${path} is locked: another process, or this one, has it open`, {
      file: path,
      cause: error,
    });
  }
  return {
    async isHeld() {
      try {
        return identityOf(await lstat(path, { bigint: true })) === locked;
      } catch (error) {
        if (isMissing(error)) return false;
        return await onDisk<boolean>("look at", path, () => Promise.reject(error));
      }
    },
    isHeldNow() {
      return lookNow(path)?.identity === locked;
    },
    release() {
      database.close();
      return Promise.resolve();
    },
  };
}

/**
 * Makes the file of a lock, if there is none, for its owner alone: any user who can read it could lock it too. An
 * existing file is not opened, since closing it would release the lock that this process may have on it.
 */
function makeLockFile(path: string): void {
  const { O_RDWR, O_CREAT, O_EXCL } = constants;
  try {
    closeSync(openSync(path, O_RDWR | O_CREAT | O_EXCL, 0o600));
  } catch (error) {
    if (systemCode(error) !== "EEXIST") throw error;
    if (!lstatSync(path).isFile()) throw new Error("It is no regular file", { cause: error });
  }
}
