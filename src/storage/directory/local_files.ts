/**
 * Files on a disk that become files of a snapshot.
 *
 * @module
 */

import { basename, resolve } from "node:path";
import { SnapshotError } from "../../errors.ts";
import type { Disk, DiskFile } from "../../fs/mod.ts";
import { MAX_FILES } from "../../snapshot/mod.ts";
import type { LocalFile, OpenLocalFile } from "../medium.ts";

/**
 * Lists a file, or the files of a directory and of those below it, by name.
 *
 * @param disk the disk
 * @param path the file or directory
 * @param name see `SnapshotWriter.add`
 * @throws {SnapshotError} `NOT_FOUND`; `MALFORMED` for anything else than files and directories
 */
export async function listLocal(
  disk: Disk,
  path: string,
  name: string = basename(resolve(path)),
): Promise<LocalFile[]> {
  const kind = (await disk.stat(path))?.kind;
  if (kind === undefined) throw new SnapshotError("NOT_FOUND", `There is nothing at ${path}`, { file: path });
  if (kind !== "directory") {
    checkRegular(path, kind);
    return [{ path, name }];
  }
  const found: LocalFile[] = [];
  const directories: LocalFile[] = [{ path, name: name === "" ? "" : `${name}/` }];
  for (let at = directories.pop(); at !== undefined; at = directories.pop()) {
    for (const entry of await disk.list(at.path)) {
      const file = { path: `${at.path}/${entry.name}`, name: `${at.name}${entry.name}` };
      if (entry.kind === "directory") directories.push({ path: file.path, name: `${file.name}/` });
      else {
        checkRegular(file.path, entry.kind);
        found.push(file);
      }
      if (found.length + directories.length > MAX_FILES) {
        throw new SnapshotError("MALFORMED", `${path} has more files than a snapshot may have: ${MAX_FILES}`, {
          file: path,
          expected: MAX_FILES,
        });
      }
    }
  }
  return found.sort((a, b) => a.name < b.name ? -1 : 1);
}

function checkRegular(path: string, kind: "file" | "directory" | "other"): void {
  if (kind === "file") return;
  throw new SnapshotError(
    "MALFORMED",
    `${path} is neither a file nor a directory: a symbolic link, a FIFO, a socket or a device is in no snapshot, and ` +
      `no link is followed`,
    { file: path },
  );
}

/**
 * Opens a file that is to be added.
 *
 * @throws {SnapshotError} `NOT_FOUND`; `MALFORMED` if it is no regular file, `FORBIDDEN`
 */
export async function openLocal(disk: Disk, path: string): Promise<OpenLocalFile> {
  const version = await versionOf(disk, path);
  const kind = (await disk.stat(path))?.kind;
  if (kind === undefined) throw new SnapshotError("NOT_FOUND", `There is no file ${path}`, { file: path });
  checkRegular(path, kind);
  const file = await disk.open(path, "read");
  try {
    return new OpenFile(disk, path, version, file, await file.size());
  } catch (error) {
    await file.close();
    throw error;
  }
}

class OpenFile implements OpenLocalFile {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #version: string | undefined;
  readonly #file: DiskFile;
  readonly size: number;

  constructor(disk: Disk, path: string, version: string | undefined, file: DiskFile, size: number) {
    this.#disk = disk;
    this.#path = path;
    this.#version = version;
    this.#file = file;
    this.size = size;
  }

  read(buffer: Uint8Array, position: number): Promise<number> {
    return this.#file.read(buffer, position);
  }

  async checkUnchanged(): Promise<void> {
    if (await versionOf(this.#disk, this.#path) === this.#version && await this.#file.size() === this.size) return;
    throw new SnapshotError(
      "BUSY",
      `${this.#path} was changed while it was added: add it when nobody writes to it, or a copy`,
      { file: this.#path },
    );
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

async function versionOf(disk: Disk, path: string): Promise<string | undefined> {
  if (disk.version !== undefined) return await disk.version(path);
  const stat = await disk.stat(path);
  return stat && `${stat.kind}:${stat.size}:${stat.changedAt}`;
}
