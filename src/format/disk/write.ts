/**
 * Writing files of another system to a disk: all of them, or nothing.
 *
 * @module
 */

import { dirname } from "node:path";
import { SnapshotError, throwIfCancelled } from "../../errors.ts";
import type { Disk } from "../../fs/mod.ts";
import type { WrittenFile } from "../write.ts";

/**
 * Writes files beside a path, makes them durable, and renames them to it.
 *
 * @param disk the disk
 * @param path a file or a directory, which must not exist
 * @param files what to write; a single one without a name is the path itself
 * @param signal stops it, and leaves nothing
 * @returns the bytes that were written
 * @throws {SnapshotError} `BUSY` if something is at the path, or is being written there; `NO_SPACE` …
 */
export async function writeFiles(
  disk: Disk,
  path: string,
  files: AsyncIterable<WrittenFile>,
  signal?: AbortSignal,
): Promise<number> {
  await checkFree(disk, path);
  const part = `${path}.part`;
  await checkFree(disk, part);
  const directories = new Set<string>();
  let written = 0;
  try {
    for await (const { name, content } of files) {
      const whole = name === "" ? part : `${part}/${name}`;
      for (let at = dirname(whole); at.length >= part.length; at = dirname(at)) directories.add(at);
      if (name !== "") await disk.makeDirectory(dirname(whole));
      written += await writeOne(disk, whole, content, signal);
    }
    for (const directory of directories) await disk.syncDirectory(directory);
    throwIfCancelled(signal);
    await checkFree(disk, path);
    await disk.rename(part, path);
    await disk.syncDirectory(dirname(path));
    return written;
  } catch (error) {
    await disk.remove(part);
    throw error;
  }
}

async function writeOne(
  disk: Disk,
  path: string,
  content: ReadableStream<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<number> {
  const file = await disk.open(path, "create");
  try {
    let at = 0;
    for await (const bytes of content) {
      throwIfCancelled(signal);
      await file.write(bytes, at);
      at += bytes.length;
    }
    await file.sync();
    return at;
  } finally {
    await file.close();
  }
}

async function checkFree(disk: Disk, path: string): Promise<void> {
  if (await disk.stat(path) === undefined) return;
  throw new SnapshotError("BUSY", `There is something at ${path}: remove it, or name another place`, { file: path });
}
