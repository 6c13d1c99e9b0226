/**
 * The disk in a few verbs: only those that a directory storage needs of an operating system.
 *
 * @module
 */

/** A file system. Paths are absolute or relative to the working directory; errors are `SnapshotError`s. */
export interface Disk {
  /**
   * Opens a file. Never follows a symbolic link at the last part of the path.
   *
   * @param path which file
   * @param mode `"read"`, `"create"` (must not exist; read and write), `"update"` (must exist; read and write)
   * @throws {SnapshotError} `NOT_FOUND`, `FORBIDDEN`, `NO_SPACE`, `UNAVAILABLE`; `BUSY` if it exists and must not
   */
  open(path: string, mode: "read" | "create" | "update"): Promise<DiskFile>;

  /** Describes the entry at a path, without following a symbolic link. Returns nothing if there is none. */
  stat(path: string): Promise<DiskStat | undefined>;

  /** Lists the entries of a directory. */
  list(path: string): Promise<DiskEntry[]>;

  /**
   * Makes a directory and its parents; nothing happens if it is there, or a link to one.
   *
   * @throws {SnapshotError} `BUSY` if something else is there, such as a file or a link that leads nowhere;
   *   `FORBIDDEN`, `NO_SPACE`; `MALFORMED` if a name is too long; `UNAVAILABLE`, for example if it would be below a
   *   file
   */
  makeDirectory(path: string): Promise<void>;

  /** Renames a file or directory. A file in the way is replaced; a directory must not be in the way. */
  rename(from: string, to: string): Promise<void>;

  /** Gives a file a second name. Returns whether this file system can do that. */
  link(from: string, to: string): Promise<boolean>;

  /**
   * Copies a file as the file system can do it without reading and writing it (a reflink); the copy must not exist.
   * Absent where that is never possible.
   *
   * @returns whether this file system can do that
   */
  clone?(from: string, to: string): Promise<boolean>;

  /**
   * A text that changes when a file is written to or replaced, as far as the system notes it: its identity, size and
   * time of change. Absent, or nothing, where only {@linkcode stat} says that.
   */
  version?(path: string): Promise<string | undefined>;

  /** Removes a file, or a directory with everything in it; nothing happens if it is not there. */
  remove(path: string): Promise<void>;

  /** The bytes that can still be written below a path, where that is known. */
  freeSpace?(path: string): Promise<number | undefined>;

  /**
   * Makes the names in a directory durable.
   *
   * @throws {SnapshotError} `UNSUPPORTED` if this file system cannot do that to any directory (CIFS cannot)
   */
  syncDirectory(path: string): Promise<void>;

  /**
   * Takes the lock at a path, which only one owner can have at a time, across processes and within this one. The
   * operating system frees it when its process ends, in whatever way.
   *
   * @throws {SnapshotError} `BUSY` if somebody has it
   */
  lock(path: string): Promise<DiskLock>;
}

/** A lock that was taken. */
export interface DiskLock {
  /**
   * Reports whether the path still leads to the locked file. If the file was removed or replaced since, others can take
   * the lock too; or another file system is mounted there now.
   */
  isHeld(): Promise<boolean>;
  /** Releases the lock. */
  release(): Promise<void>;
}

/** An open file; reads and writes at positions, several at once. */
export interface DiskFile {
  /** Reads until the buffer is full or the file ends, and returns the number of bytes read. */
  read(buffer: Uint8Array, position: number): Promise<number>;
  /** Writes all the bytes. They must not be changed before this resolves. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** Makes the content durable. */
  sync(): Promise<void>;
  /** The size of the file in bytes. */
  size(): Promise<number>;
  /** Closes the file. */
  close(): Promise<void>;
}

/** The entry at a path. */
export interface DiskStat {
  /** A regular file, a directory, or anything else (a symbolic link, a device, a socket). */
  readonly kind: "file" | "directory" | "other";
  /** The size of a file in bytes. */
  readonly size: number;
  /** The time of the last change in milliseconds since 1970. */
  readonly changedAt: number;
}

/** An entry of a directory. */
export interface DiskEntry {
  /** Its name. */
  readonly name: string;
  /** As in {@linkcode DiskStat}. */
  readonly kind: DiskStat["kind"];
}
