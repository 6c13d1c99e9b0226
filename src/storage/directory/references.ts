/**
 * Files of a snapshot that are elsewhere: braft's `FILE_SOURCE_REFERENCE`, layouts scattered over directories.
 *
 * @module
 */

import { dirname } from "@std/path";
import { able, checkInteger, required, withMembers } from "../../checks.ts";
import { messageOf, SnapshotError } from "../../errors.ts";
import type { Disk, DiskFile } from "../../fs/mod.ts";
import type { FileInfo, SnapshotMeta } from "../../snapshot/mod.ts";
import type { MediumFile } from "../medium.ts";
import type { DirectorySync } from "./sync.ts";

/** The bytes of a referenced file, wherever they are: what a {@linkcode ReferenceResolver} may give. */
export interface ReferencedFile {
  /** Its size in bytes. */
  readonly size: number;
  /**
   * Reads until the buffer is full or the file ends. Several reads may run at the same time.
   *
   * @param buffer where to
   * @param position where from, in bytes
   * @returns the number of bytes that were read
   */
  read(buffer: Uint8Array, position: number): Promise<number>;
  /** Is called once, when nobody reads it any more. */
  close(): Promise<void>;
}

/**
 * Says where the bytes of a referenced file are that is not in its snapshot's directory: the path of a regular file, or
 * the bytes themselves, open; nothing if it does not know. It is called each time such a file is opened, and when a
 * snapshot is looked at: at the opening of the storage, and before something depends on it.
 *
 * @param file its name, `userMeta`, `checksum`, and its chunks if the snapshot has digests
 * @param snapshot the metadata of the snapshot that it is of
 */
export type ReferenceResolver = (
  file: FileInfo,
  snapshot: SnapshotMeta,
) => string | ReferencedFile | undefined | Promise<string | ReferencedFile | undefined>;

/** Opens a file of the disk that stays where it is: it is read, and can be made durable, with its name. */
export async function openToRefer(disk: Disk, sync: DirectorySync, path: string): Promise<MediumFile> {
  const file = await disk.open(path, "read");
  return {
    read: (buffer, position) => file.read(buffer, position),
    write: () => Promise.resolve(), // its bytes are there
    async sync() {
      if (sync.durability !== "none") await file.sync();
      if (sync.durability === "full") await sync.sync(dirname(path));
    },
    size: () => file.size(),
    close: () => file.close(),
  };
}

/**
 * Opens a referenced file.
 *
 * @param disk the disk of its path
 * @param resolve knows where it is
 * @param file which file
 * @param snapshot of which snapshot
 * @throws {SnapshotError} `UNAVAILABLE` whatever the reason: it says which file, and nothing about the snapshot
 */
export async function openReference(
  disk: Disk,
  resolve: ReferenceResolver,
  file: FileInfo,
  snapshot: SnapshotMeta,
): Promise<MediumFile> {
  const open = () => naming(file, snapshot, () => openResolved(disk, resolve, file, snapshot));
  return new ResolvedFile(await open(), open, file, snapshot);
}

async function openResolved(
  disk: Disk,
  resolve: ReferenceResolver,
  file: FileInfo,
  snapshot: SnapshotMeta,
): Promise<ReferencedFile> {
  const found = await resolve(file, snapshot);
  if (found === undefined) throw new Error("the resolver does not know where it is");
  if (typeof found !== "string") {
    able("a path, or a ReferencedFile", "read", "close")(found, "what the resolver gives");
    withMembers<Pick<ReferencedFile, "size">>({ size: required(checkInteger) })(found, "what the resolver gives");
    return found;
  }
  const kind = (await disk.stat(found))?.kind;
  if (kind !== "file") throw new Error(kind === undefined ? `${found} is not there` : `${found} is not a regular file`);
  const opened = await disk.open(found, "read");
  try {
    return new OpenedPath(opened, await opened.size());
  } catch (error) {
    await opened.close();
    throw error;
  }
}

class OpenedPath implements ReferencedFile {
  readonly #file: DiskFile;
  readonly size: number;

  constructor(file: DiskFile, size: number) {
    this.#file = file;
    this.size = size;
  }

  read(buffer: Uint8Array, position: number): Promise<number> {
    return this.#file.read(buffer, position);
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

/** A referenced file as one of the storage. Wrong bytes in it prove nothing: the resolver may have erred. */
class ResolvedFile implements MediumFile {
  readonly isElsewhere = true;
  readonly #opened: ReferencedFile;
  readonly #open: () => Promise<ReferencedFile>;
  readonly #info: FileInfo;
  readonly #snapshot: SnapshotMeta;

  constructor(
    opened: ReferencedFile,
    open: () => Promise<ReferencedFile>,
    info: FileInfo,
    snapshot: SnapshotMeta,
  ) {
    this.#opened = opened;
    this.#open = open;
    this.#info = info;
    this.#snapshot = snapshot;
  }

  read(buffer: Uint8Array, position: number): Promise<number> {
    return this.#fill(this.#opened, buffer, position);
  }

  async reread(buffer: Uint8Array, position: number): Promise<number> {
    const again = await this.#open();
    try {
      return await this.#fill(again, buffer, position);
    } finally {
      await this.#naming(() => again.close());
    }
  }

  /** Reads until the buffer is full, since a resolver's own file may give less at a time. */
  async #fill(file: ReferencedFile, buffer: Uint8Array, position: number): Promise<number> {
    return await this.#naming(async () => {
      let length = 0;
      while (length < buffer.length) {
        const read = await file.read(buffer.subarray(length), position + length);
        checkInteger(read, "the number of bytes that were read", 0, buffer.length - length);
        if (read === 0) break;
        length += read;
      }
      return length;
    });
  }

  write(): Promise<void> {
    return Promise.reject(new SnapshotError("FORBIDDEN", "A referenced file is not written to"));
  }

  sync(): Promise<void> {
    return Promise.resolve();
  }

  size(): Promise<number> {
    return Promise.resolve(this.#opened.size);
  }

  close(): Promise<void> {
    return this.#naming(() => this.#opened.close());
  }

  #naming<T>(work: () => Promise<T>): Promise<T> {
    return naming(this.#info, this.#snapshot, work);
  }
}

/** Whatever a resolver, its file, or the disk throws becomes an error that names the file. */
async function naming<T>(file: FileInfo, snapshot: SnapshotMeta, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw unresolved(file, snapshot, messageOf(cause), cause);
  }
}

/** The error for a referenced file that cannot be read. */
export function unresolved(
  { name }: FileInfo,
  { lastIncludedIndex: index }: SnapshotMeta,
  why: string,
  cause?: unknown,
): SnapshotError {
  return new SnapshotError(
    "UNAVAILABLE",
    `${JSON.stringify(name)}, to which snapshot ${index} refers, cannot be read: ${why}`,
    { file: name, index, cause },
  );
}
