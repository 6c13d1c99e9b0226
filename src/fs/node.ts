/**
 * The disk of Node and Bun, on `node:fs/promises`; and file handles and locks for every runtime. Deno uses these too,
 * since they read and write at positions, while `Deno.FsFile` can only seek and then write.
 *
 * @module
 */

import { constants } from "node:fs";
import process from "node:process";
import {
  copyFile,
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
import { dirname } from "@std/path";
import { SnapshotError } from "../errors.ts";
import type { Disk, DiskEntry, DiskFile, DiskLock, DiskStat } from "./disk.ts";
import { onDisk, systemCode } from "./errors.ts";
import { lockFile } from "./lock.ts";
import { isMissing } from "./look.ts";

/** What systems say that cannot clone a file, or not to there. */
const CANNOT_CLONE = ["ENOTSUP", "EOPNOTSUPP", "EXDEV", "EINVAL", "ENOSYS", "ENOTTY", "EPERM"];

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
        if (isMissing(error)) return undefined;
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

  clone(from: string, to: string): Promise<boolean> {
    const { COPYFILE_EXCL, COPYFILE_FICLONE_FORCE } = constants;
    return onDisk("clone", from, async () => {
      try {
        await copyFile(from, to, COPYFILE_EXCL | COPYFILE_FICLONE_FORCE);
        return true;
      } catch (error) {
        if (CANNOT_CLONE.includes(systemCode(error) ?? "")) return false;
        throw error;
      }
    });
  }

  version(path: string): Promise<string | undefined> {
    return onDisk("look at", path, async () => {
      try {
        const { dev, ino, size, mtimeNs } = await lstat(path, { bigint: true });
        return `${dev}:${ino}:${size}:${mtimeNs}`; // the time of the inode's change is not: a new link changes it too
      } catch (error) {
        if (isMissing(error)) return undefined;
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
    return onDisk("lock", path, async () => lockFile((await quietSqlite()).DatabaseSync, path));
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

/**
 * SQLite without the warning of Node 22 that it is experimental: whoever opens a directory has not asked for SQLite,
 * and the lock uses nothing that has changed. Nothing else can warn meanwhile, since it is loaded in one turn.
 */
async function quietSqlite(): Promise<typeof import("node:sqlite")> {
  const { emitWarning, getBuiltinModule } = process;
  if (getBuiltinModule === undefined) return await import("node:sqlite");
  process.emitWarning = () => {};
  try {
    return getBuiltinModule("node:sqlite");
  } finally {
    process.emitWarning = emitWarning;
  }
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
