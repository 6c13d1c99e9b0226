/**
 * Files of other systems on a disk.
 *
 * @module
 */

import { basename, resolve } from "node:path";
import { checkOptions, checkPath } from "../../checks.ts";
import { hasCode, SnapshotError } from "../../errors.ts";
import { checkDisk, defaultDisk, type Disk, type DiskEntry } from "../../fs/mod.ts";
import { MAX_SOURCE_FILES, type SourceEntry, type SourceFile, type SourceFiles } from "../files.ts";

/** Options of {@linkcode sourceFiles}. */
export interface SourceFilesOptions {
  /** The disk; by default that of the runtime. */
  readonly disk?: Disk;
}

/**
 * The files at a path, to be read by `@snapstream/snapstream/formats`. Nothing is changed, and no symbolic link
 * is followed.
 *
 * @param path a file or a directory
 * @param options the disk
 * @throws {SnapshotError} `NOT_FOUND`, `FORBIDDEN`, `UNAVAILABLE`; `UNSUPPORTED` if it has more than 250,000 files
 *
 * @example
 * ```ts
 * import { sourceFiles } from "@snapstream/snapstream/fs";
 *
 * const root = await Deno.makeTempDir();
 * await Deno.writeTextFile(`${root}/a`, "text");
 * const files = await sourceFiles(root);
 * console.assert(files.isDirectory && files.entries[0]!.name === "a");
 * ```
 */
export async function sourceFiles(path: string, options: SourceFilesOptions = {}): Promise<SourceFiles> {
  checkPath(path, "path");
  const { disk = defaultDisk() } = checkOptions(options, { disk: checkDisk });
  const name = basename(resolve(path));
  const found = await disk.stat(path);
  if (found === undefined) throw new SnapshotError("NOT_FOUND", `There is nothing at ${path}`, { file: path });
  if (found.kind === "other") {
    throw new SnapshotError("UNSUPPORTED", `${path} is neither a file nor a directory`, { file: path });
  }
  const isDirectory = found.kind === "directory";
  return {
    name,
    isDirectory,
    entries: isDirectory ? await entriesOf(disk, path) : [{ name, size: found.size }],
    open: (entry) => openFile(disk, isDirectory ? `${path}/${entry}` : path),
    ...(!isDirectory && {
      beside: async (suffix) =>
        (await disk.stat(path + suffix))?.kind === "file" ? await openFile(disk, path + suffix) : undefined,
    }),
  };
}

async function entriesOf(disk: Disk, root: string): Promise<SourceEntry[]> {
  const entries: SourceEntry[] = [];
  const directories = [""];
  for (let at = directories.pop(); at !== undefined; at = directories.pop()) {
    for (const { name, kind } of await listOf(disk, `${root}/${at}`, at === "")) {
      const path = `${at}${name}`;
      if (kind === "directory") directories.push(`${path}/`);
      if (kind !== "file") continue;
      const found = await disk.stat(`${root}/${path}`);
      if (found?.kind === "file") entries.push({ name: path, size: found.size });
      if (entries.length + directories.length > MAX_SOURCE_FILES) {
        throw new SnapshotError(
          "UNSUPPORTED",
          `${root} has more than ${MAX_SOURCE_FILES} files: name one of its parts`,
          {
            file: root,
            expected: MAX_SOURCE_FILES,
          },
        );
      }
    }
  }
  return entries.sort((a, b) => a.name < b.name ? -1 : 1);
}

/** Lists a directory. One below the root that was removed since it was listed has nothing. */
async function listOf(disk: Disk, path: string, isRoot: boolean): Promise<DiskEntry[]> {
  try {
    return await disk.list(path);
  } catch (error) {
    if (!isRoot && hasCode(error, "NOT_FOUND")) return [];
    throw error;
  }
}

async function openFile(disk: Disk, path: string): Promise<SourceFile> {
  const file = await disk.open(path, "read");
  let size: number;
  try {
    size = await file.size();
  } catch (error) {
    await file.close();
    throw error;
  }
  return {
    size,
    async read(start, end, room) {
      const length = Math.max(Math.min(end, size) - start, 0);
      const bytes = room !== undefined && room.length >= length ? room.subarray(0, length) : new Uint8Array(length);
      return bytes.subarray(0, await file.read(bytes, start));
    },
    close: () => file.close(),
  };
}

export { writeFiles } from "./write.ts";
