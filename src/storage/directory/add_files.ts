/**
 * Files of a disk in a snapshot that may be stored anywhere.
 *
 * @module
 */

import { able, checkBoolean, checkOptions, checkPath, checkString } from "../../checks.ts";
import { SnapshotError } from "../../errors.ts";
import { checkDisk, defaultDisk, type Disk } from "../../fs/mod.ts";
import type { AddOptions, FileInfo, FileWriter, SnapshotWriter } from "../../snapshot/mod.ts";
import { writeAll } from "../write_all.ts";
import { listLocal, openLocal } from "./local_files.ts";

/** Options of {@linkcode addFiles}. */
export interface AddFilesOptions extends AddOptions {
  /** The disk; by default that of the runtime. */
  readonly disk?: Disk;
}

/**
 * Puts a file of the disk, or the files of a directory and of those below it, into a snapshot that is stored anywhere:
 * as {@linkcode SnapshotWriter.add} does where the writer has it, else each file is read and written. What fails is
 * taken out again where the writer can do that (one of a storage can).
 *
 * @param writer of a storage, or the one that a task of a machine was given
 * @param path a file or a directory; no symbolic link is followed
 * @param name its name in the snapshot, a prefix for those of a directory; by default the last part of the path.
 *   Empty: the files of a directory have no prefix
 * @param options whether it may be linked
 * @returns the files, by name
 * @throws {SnapshotError} `NOT_FOUND`; `MALFORMED` for a FIFO, a device, a symbolic link, or a name that is not allowed
 *   or there already; `BUSY` if a file changes meanwhile
 *
 * @example
 * ```ts
 * import { MemoryStorage } from "@snapstream/snapstream";
 * import { addFiles, extract } from "@snapstream/snapstream/fs";
 *
 * const dump = await Deno.makeTempDir();
 * await Deno.writeTextFile(`${dump}/state`, "text");
 * const storage = new MemoryStorage();
 * const writer = await storage.create();
 * await addFiles(writer, dump, "dump");
 * await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
 *
 * const reader = await storage.open();
 * const restored = `${dump}-restored`;
 * await extract(reader, restored);
 * console.assert(await Deno.readTextFile(`${restored}/dump/state`) === "text");
 * await reader.close();
 * ```
 */
export async function addFiles(
  writer: Pick<FileWriter, "file" | "info" | "add">,
  path: string,
  name?: string,
  options: AddFilesOptions = {},
): Promise<FileInfo[]> {
  able("a SnapshotWriter", "file", "info")(writer, "writer");
  checkPath(path, "path");
  if (name !== undefined) checkString(name, "name");
  const { disk = defaultDisk(), immutable = false, reference = false } = checkOptions(options, {
    immutable: checkBoolean,
    reference: checkBoolean,
    disk: checkDisk,
  });
  if (writer.add !== undefined) return await writer.add(path, name, { immutable, reference });
  if (reference) {
    throw new SnapshotError("UNSUPPORTED", `${path} cannot be added as a reference: this writer takes in all bytes`, {
      file: path,
    });
  }
  const added: string[] = [];
  try {
    for (const file of await listLocal(disk, path, name)) {
      const source = await openLocal(disk, file.path);
      try {
        await writeAll(writer.file(file.name, { size: source.size }), () => source, source.size);
        added.push(file.name);
        await source.checkUnchanged();
      } finally {
        await source.close();
      }
    }
    return added.map((as) => writer.info(as));
  } catch (error) {
    // An archive that is sent cannot take files back; its save fails as a whole.
    const { remove } = writer as Partial<SnapshotWriter>;
    if (remove !== undefined) { for (const as of added) await remove.call(writer, as).catch(() => {}); }
    throw error;
  }
}
