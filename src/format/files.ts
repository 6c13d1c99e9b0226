/**
 * The files of another system: a file, or a directory, that is read at positions and never written to.
 *
 * @module
 */

import { checkOptions, checkString, isOf, unfit } from "../checks.ts";
import { SnapshotError, throwIfCancelled } from "../errors.ts";

/** Bytes read at a time: as many as stay in the processor's cache until they are used. */
const BLOCK = 256 * 1024;
/** The blocks that are being read at a time. */
const AHEAD = 4;
/** The most files of a directory that are looked at. */
export const MAX_SOURCE_FILES: number = 250_000;

/** An open file that is read at positions, several at once. */
export interface SourceFile {
  /** Its size in bytes. */
  readonly size: number;
  /** The bytes from `start` up to `end`, or to the end of the file; in `room`, if it is given, and they fit. */
  read(start: number, end: number, room?: Uint8Array): Promise<Uint8Array>;
  /** Closes it. */
  close(): Promise<void>;
}

/** A file in {@linkcode SourceFiles}. */
export interface SourceEntry {
  /** Its path, with slashes, relative to the directory; the name of a file that stands alone. */
  readonly name: string;
  /** Its size in bytes. */
  readonly size: number;
}

/** A file, or a directory with all that is in it. */
export interface SourceFiles {
  /** Its name: the last part of its path. Some systems say the term and the index there. */
  readonly name: string;
  /** True for a directory, false for a file that stands alone. */
  readonly isDirectory: boolean;
  /** The files. */
  readonly entries: readonly SourceEntry[];
  /**
   * Opens a file.
   *
   * @throws {SnapshotError} `NOT_FOUND`, `UNAVAILABLE`, `FORBIDDEN`
   */
  open(name: string): Promise<SourceFile>;
  /**
   * Opens the file beside one that stands alone whose name is that of this one and `suffix`; nothing if there is none.
   * Absent where nobody can look beside it.
   */
  beside?(suffix: string): Promise<SourceFile | undefined>;
}

/**
 * Files that are in memory, or that a page was given.
 *
 * @param files one, or several by their paths
 * @param name the name of the file, or of the directory
 */
export function blobFiles(files: Blob | Readonly<Record<string, Blob>>, name: string = ""): SourceFiles {
  checkString(name, "name");
  const isDirectory = !isOf(files, Blob);
  if (isDirectory) checkOptions(files, {}, "files");
  const all = new Map(isDirectory ? Object.entries(files) : [[name, files as Blob]]);
  for (const [path, blob] of all) if (!isOf(blob, Blob)) throw unfit(`files[${JSON.stringify(path)}]`, "a Blob", blob);
  return {
    name,
    isDirectory,
    entries: [...all].map(([name, { size }]) => ({ name, size })),
    open(path) {
      const blob = all.get(path);
      if (blob === undefined) return Promise.reject(absent(path));
      return Promise.resolve({
        size: blob.size,
        read: async (start, end) => new Uint8Array(await blob.slice(start, end).arrayBuffer()),
        close: () => Promise.resolve(),
      });
    },
  };
}

/** The error for a file that is not there. */
export function absent(path: string): SnapshotError {
  return new SnapshotError("NOT_FOUND", `There is no file ${JSON.stringify(path)}`, { file: path });
}

/** Does something with an open file, which is closed afterwards. */
export async function withFile<T>(
  files: SourceFiles,
  name: string,
  use: (file: SourceFile) => Promise<T>,
): Promise<T> {
  const file = await files.open(name);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

/** Exactly these bytes of a file; in `room`, if it is given, where the file can do that. */
export async function readExactly(
  file: SourceFile,
  start: number,
  end: number,
  name: string,
  room?: Uint8Array,
): Promise<Uint8Array> {
  if (end > file.size || start > end) {
    throw new SnapshotError("CORRUPT", `${JSON.stringify(name)} ends at byte ${file.size}: it was cut short`, {
      file: name,
      expected: end,
      actual: file.size,
    });
  }
  const bytes = await file.read(start, end, room);
  if (bytes.length === end - start) return bytes;
  throw new SnapshotError("UNAVAILABLE", `${JSON.stringify(name)} became shorter while it was read`, { file: name });
}

/** All bytes of a small file. */
export async function readSmall(files: SourceFiles, name: string, most: number): Promise<Uint8Array> {
  return await withFile(files, name, async (file) => {
    if (file.size > most) {
      throw new SnapshotError("MALFORMED", `${JSON.stringify(name)} has ${file.size} bytes, over ${most}`, {
        file: name,
        expected: most,
        actual: file.size,
      });
    }
    return await readExactly(file, 0, file.size, name);
  });
}

/** The first bytes of a file, as many as there are. */
export async function readStart(files: SourceFiles, name: string, length: number): Promise<Uint8Array> {
  return await withFile(files, name, (file) => file.read(0, Math.min(length, file.size)));
}

/** Options of {@linkcode readBlocks}. */
export interface BlockOptions {
  /** Stops it. */
  readonly signal?: AbortSignal | undefined;
  /** Each block is used only until the next one is asked for: a few take turns, and memory is that of those. */
  readonly reuse?: boolean;
}

/** The bytes of a file from `start` up to `end`, block by block, the next ones being read while one is used. */
export async function* readBlocks(
  files: SourceFiles,
  name: string,
  start: number = 0,
  end: number = Infinity,
  { signal, reuse = false }: BlockOptions = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const file = await files.open(name);
  const reading: Promise<Uint8Array>[] = [];
  try {
    const stop = Math.min(end, file.size);
    const rooms = Array.from({ length: reuse ? AHEAD + 1 : 0 }, () => new Uint8Array(Math.min(BLOCK, stop - start)));
    let next = start;
    for (let at = start, count = 0; at < stop;) {
      for (; reading.length < AHEAD && next < stop; next += BLOCK) {
        const read = readExactly(file, next, Math.min(next + BLOCK, stop), name, rooms[count++ % rooms.length]);
        read.catch(() => {}); // it is awaited below, or nobody wants it any more
        reading.push(read);
      }
      const bytes: Uint8Array = await reading.shift()!;
      throwIfCancelled(signal);
      at += bytes.length;
      yield bytes;
    }
  } finally {
    await Promise.allSettled(reading);
    await file.close();
  }
}
