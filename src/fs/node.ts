/**
 * The disk of Node and Bun, on `node:fs/promises`; and file handles and locks for every runtime. Deno uses these too,
 * since they read and write at positions, while `Deno.FsFile` can only seek and then write.
 *
 * @module
 */

import { closeSync, constants, lstatSync, openSync } from "node:fs";
import {
  type FileHandle,
  link,
  lstat,
  mkdir,
  open as openHandle,
  readdir,
  rename,
  rm,
  stat,
  statfs,
} from "node:fs/promises";
import type { DatabaseSync } from "node:sqlite";
import { dirname } from "@std/path";
import { messageOf, SnapshotError } from "../errors.ts";
import type { Disk, DiskEntry, DiskFile, DiskLock, DiskStat } from "./disk.ts";
import { onDisk, systemCode } from "./errors.ts";

/** The disk of Node and Bun. */
export class NodeDisk implements Disk {
  async open(path: string, mode: "read" | "create" | "update"): Promise<DiskFile> {
    const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants;
    // O_NONBLOCK: opening a FIFO without a writer must not block. No effect on files.
    const flags = mode === "read" ? O_RDONLY | O_NONBLOCK : mode === "update" ? O_RDWR : O_RDWR | O_CREAT | O_EXCL;
    return new NodeFile(
      path,
      await onDisk(mode === "read" ? "open" : mode, path, () => openHandle(path, flags | O_NOFOLLOW)),
    );
  }

  stat(path: string): Promise<DiskStat | undefined> {
    return onDisk("look at", path, async () => {
      try {
        const found = await lstat(path);
        return {
          kind: found.isFile() ? "file" : found.isDirectory() ? "directory" : "other",
          size: found.size,
          changedAt: found.mtimeMs,
        };
      } catch (error) {
        if (["ENOENT", "ENOTDIR"].includes(systemCode(error) ?? "")) return undefined;
        throw error;
      }
    });
  }

  list(path: string): Promise<DiskEntry[]> {
    return onDisk("list", path, async () => {
      const entries = await readdir(path, { withFileTypes: true });
      return entries.map((entry) => ({
        name: entry.name,
        kind: entry.isFile() ? "file" : entry.isDirectory() ? "directory" : "other",
      }));
    });
  }

  makeDirectory(path: string): Promise<void> {
    return onDisk("make", path, () => makeDirectories(path));
  }

  rename(from: string, to: string): Promise<void> {
    return onDisk("rename", from, () => rename(from, to));
  }

  link(from: string, to: string): Promise<boolean> {
    return onDisk("link", from, async () => {
      try {
        await link(from, to);
        return true;
      } catch (error) {
        if (["EPERM", "EXDEV", "ENOTSUP", "EOPNOTSUPP", "EMLINK", "ENOSYS"].includes(systemCode(error) ?? "")) {
          return false;
        }
        throw error;
      }
    });
  }

  remove(path: string): Promise<void> {
    return onDisk("remove", path, () => rm(path, { recursive: true, force: true }));
  }

  async freeSpace(path: string): Promise<number | undefined> {
    try {
      const { bavail, bsize } = await statfs(path);
      return bavail * bsize;
    } catch {
      return undefined; // not every system says
    }
  }

  syncDirectory(path: string): Promise<void> {
    return onDisk("sync", path, async () => {
      const handle = await openHandle(path, constants.O_RDONLY);
      try {
        await handle.sync();
      } catch (error) {
        if (!["EINVAL", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].includes(systemCode(error) ?? "")) throw error;
        throw new SnapshotError("UNSUPPORTED", `The file system of ${path} cannot sync a directory`, {
          file: path,
          cause: error,
        });
      } finally {
        await handle.close();
      }
    });
  }

  lock(path: string): Promise<DiskLock> {
    return onDisk("lock", path, () => lockFile(path));
  }
}

/**
 * Makes a directory and its parents one by one, with the outcomes of Deno's recursive call. The recursive calls of Node
 * and Bun differ if a link leads nowhere or a file is in the way, and Node's does not return where no directory can be
 * made, as in `/proc`.
 */
async function makeDirectories(path: string): Promise<void> {
  const missing: string[] = [];
  for (let at = path; !await makeUnlessThere(at, dirname(at) !== at); at = dirname(at)) missing.push(at);
  for (const below of missing.reverse()) await makeUnlessThere(below, false);
}

/** Makes a directory. Returns false if its parent is missing, and `mayBeMissing`; true if the directory is there. */
async function makeUnlessThere(path: string, mayBeMissing: boolean): Promise<boolean> {
  try {
    await mkdir(path);
  } catch (error) {
    if (mayBeMissing && systemCode(error) === "ENOENT") return false;
    // Checked after every error: for an existing directory, a system may report that it is read-only.
    const isThere = await stat(path).then((it) => it.isDirectory(), () => false);
    if (!isThere) throw error;
  }
  return true;
}

/** A file of `node:fs/promises`. */
class NodeFile implements DiskFile {
  readonly #path: string;
  readonly #handle: FileHandle;

  constructor(path: string, handle: FileHandle) {
    this.#path = path;
    this.#handle = handle;
  }

  read(buffer: Uint8Array, position: number): Promise<number> {
    return onDisk("read", this.#path, async () => {
      let done = 0;
      while (done < buffer.length) {
        const { bytesRead } = await this.#handle.read(buffer, done, buffer.length - done, position + done);
        if (bytesRead === 0) break;
        done += bytesRead;
      }
      return done;
    });
  }

  write(bytes: Uint8Array, position: number): Promise<void> {
    return onDisk("write", this.#path, async () => {
      let done = 0;
      while (done < bytes.length) {
        const { bytesWritten } = await this.#handle.write(bytes, done, bytes.length - done, position + done);
        done += bytesWritten;
      }
    });
  }

  sync(): Promise<void> {
    return onDisk("sync", this.#path, () => this.#handle.datasync());
  }

  size(): Promise<number> {
    return onDisk("look at", this.#path, async () => (await this.#handle.stat()).size);
  }

  close(): Promise<void> {
    return onDisk("close", this.#path, () => this.#handle.close());
  }
}

/**
 * Takes a lock of the operating system by way of SQLite, the only module in all three runtimes that does so (`fcntl`,
 * also between connections of one process). So a Deno process and a Node process exclude each other.
 */
async function lockFile(path: string): Promise<DiskLock> {
  const { DatabaseSync } = await import("node:sqlite");
  let database: DatabaseSync;
  let locked: string;
  try {
    makeLockFile(path); // no await up to SQLite's open, which would follow a symbolic link
    locked = identityOf(lstatSync(path, { bigint: true }));
    database = new DatabaseSync(path);
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
    throw new SnapshotError("BUSY", `${path} is locked: another process, or this one, has the storage open`, {
      file: path,
      cause: error,
    });
  }
  return {
    async isHeld() {
      try {
        return identityOf(await lstat(path, { bigint: true })) === locked;
      } catch (error) {
        if (["ENOENT", "ENOTDIR"].includes(systemCode(error) ?? "")) return false;
        return await onDisk<boolean>("look at", path, () => Promise.reject(error));
      }
    },
    release() {
      database.close();
      return Promise.resolve();
    },
  };
}

/** Returns the identity of a file, whatever its name. While the file is open, no other has the same. */
function identityOf({ dev, ino }: { readonly dev: bigint; readonly ino: bigint }): string {
  return `${dev} ${ino}`;
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
