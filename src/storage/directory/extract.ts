/**
 * The files of a snapshot as files of a disk.
 *
 * @module
 */

import { resolve } from "node:path";
import { dirname, join } from "@std/path";
import { raceAbort } from "../../async/mod.ts";
import { checkOptions, checkPath, checkSignal } from "../../checks.ts";
import { hasCode, SnapshotError, throwIfCancelled } from "../../errors.ts";
import { checkDisk, defaultDisk, type Disk, type DiskFile } from "../../fs/mod.ts";
import { checkName, checkReader, directoriesOf, type SnapshotReader } from "../../snapshot/mod.ts";
import { toHex } from "../../stream/mod.ts";
import { DirectorySync } from "./sync.ts";

/** Options of {@linkcode extract}. */
export interface ExtractOptions {
  /** Stops it; nothing of it stays. */
  readonly signal?: AbortSignal;
  /** The disk; by default that of the runtime. */
  readonly disk?: Disk;
}

/** The result of {@linkcode extract}. */
export interface Extracted {
  /** The number of files that were written. */
  readonly files: number;
  /** The bytes of all of them. */
  readonly bytes: number;
}

/**
 * Writes the files of a snapshot into a directory that is new, or empty: verified, durable when this resolves, and all
 * of them or none, also if the process is killed or the power fails. They are written beside it, into
 * `<directory>.extracting-<random>`, which becomes the directory when all is synced; what a killed process left under
 * such a name can be deleted.
 *
 * Each chunk is verified before it is written. A snapshot without chunk digests (one that braft wrote) is only as right
 * as what its disk returns: `reader.verified` says so.
 *
 * @param reader the snapshot; it stays open
 * @param directory where to; what is above it is made
 * @param options the signal
 * @throws {SnapshotError} `BUSY` if something is there that is no empty directory; `UNSUPPORTED` if the directory is on
 *   another device than what is above it (it is a mount point), or if the file system takes two of the names for one;
 *   `CORRUPT`, `NO_SPACE`, `CANCELLED` …
 * @see {@linkcode addFiles}
 */
export async function extract(
  reader: SnapshotReader,
  directory: string,
  options: ExtractOptions = {},
): Promise<Extracted> {
  checkReader(reader, "reader");
  checkPath(directory, "directory");
  const { disk = defaultDisk(), signal } = checkOptions(options, { signal: checkSignal, disk: checkDisk });
  const target = resolve(directory);
  await checkEmpty(disk, target);
  const sync = new DirectorySync(disk, "full", () => {});
  const above = dirname(target);
  await makeDurable(disk, sync, above);
  const temp = `${target}.extracting-${toHex(crypto.getRandomValues(new Uint8Array(6)))}`;
  try {
    const extracted = await writeFiles(disk, sync, reader, temp, signal);
    await checkEmpty(disk, target);
    throwIfCancelled(signal);
    await rename(disk, temp, target);
    try {
      await sync.sync(above);
    } catch (error) {
      await disk.rename(target, temp).catch(() => {}); // what is not known to be durable is not there
      throw error;
    }
    return extracted;
  } catch (error) {
    await disk.remove(temp).catch(() => {}); // its name says what it is
    throw error;
  }
}

async function checkEmpty(disk: Disk, target: string): Promise<void> {
  const stat = await disk.stat(target);
  if (stat === undefined || stat.kind === "directory" && (await disk.list(target)).length === 0) return;
  throw new SnapshotError(
    "BUSY",
    `${target} is there already, and ${stat.kind === "directory" ? "not empty" : "no directory"}: nothing is written ` +
      `over it; extract to another path`,
    { file: target },
  );
}

/** Makes a directory, and the names of those that were not there durable. */
async function makeDurable(disk: Disk, sync: DirectorySync, path: string): Promise<void> {
  const made: string[] = [];
  for (let at = path; await disk.stat(at) === undefined && dirname(at) !== at; at = dirname(at)) made.push(at);
  await disk.makeDirectory(path);
  for (const each of made.reverse()) await sync.sync(dirname(each));
}

async function writeFiles(
  disk: Disk,
  sync: DirectorySync,
  reader: SnapshotReader,
  temp: string,
  signal: AbortSignal | undefined,
): Promise<Extracted> {
  await disk.makeDirectory(temp);
  const directories = new Set<string>([""]);
  let bytes = 0;
  for (const { name } of reader.manifest.files) {
    throwIfCancelled(signal);
    const path = join(temp, checkName(name));
    for (const directory of directoriesOf(name)) directories.add(directory);
    if (name.includes("/")) await disk.makeDirectory(dirname(path));
    bytes += await writeFile(disk, reader, name, path, signal);
  }
  // The innermost first: a name is only durable when the directory that it leads to has its own names.
  for (const directory of [...directories].sort((a, b) => b.length - a.length)) await sync.sync(join(temp, directory));
  return { files: reader.manifest.files.length, bytes };
}

async function writeFile(
  disk: Disk,
  reader: SnapshotReader,
  name: string,
  path: string,
  signal: AbortSignal | undefined,
): Promise<number> {
  const size = await reader.size(name);
  const file = await make(disk, name, path);
  let at = 0;
  try {
    const source = reader.file(name).getReader();
    try {
      const read = () => raceAbort(source.read(), signal);
      for (let next = await read(); !next.done; next = await read()) {
        await file.write(next.value, at);
        at += next.value.length;
      }
    } catch (error) {
      await source.cancel(error).catch(() => {});
      throw error;
    }
    await file.sync();
    const written = await file.size();
    if (at === size && written === size) return at;
    throw new SnapshotError("CORRUPT", `${path} has ${written} bytes, of ${at} that were read, and not ${size}`, {
      file: name,
      expected: size,
      actual: written,
    });
  } finally {
    await file.close();
  }
}

async function make(disk: Disk, name: string, path: string): Promise<DiskFile> {
  try {
    return await disk.open(path, "create");
  } catch (error) {
    if (!hasCode(error, "BUSY")) throw error;
    throw new SnapshotError(
      "UNSUPPORTED",
      `${JSON.stringify(name)} and another file of the snapshot have the same name on the file system of ${path}, ` +
        `which does not tell them apart: extract to another one`,
      { file: name, cause: error },
    );
  }
}

async function rename(disk: Disk, temp: string, target: string): Promise<void> {
  try {
    await disk.rename(temp, target);
  } catch (error) {
    // A disk that reports an error may still have renamed it: then what is at the target is ours, and not acknowledged.
    if (await disk.stat(temp).catch(() => true) === undefined) await disk.rename(target, temp).catch(() => {});
    const code = ((error as Error).cause as { code?: unknown } | undefined)?.code;
    if (code !== "EXDEV" && code !== "EBUSY") throw error;
    throw new SnapshotError(
      "UNSUPPORTED",
      `${target} is on another device than ${temp}, so that the files cannot appear there all at once: extract to a ` +
        `directory below it`,
      { file: target, cause: error },
    );
  }
}
