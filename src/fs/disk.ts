/**
 * The disk in a few verbs: what a directory storage needs of an operating system, and nothing else.
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

  /** What is at a path, itself: a symbolic link is not followed. Nothing if there is nothing. */
  stat(path: string): Promise<DiskStat | undefined>;

  /** What is in a directory. */
  list(path: string): Promise<DiskEntry[]>;

  /**
   * Makes a directory and those that it is in; nothing happens if it is there, or a link to one.
   *
   * @throws {SnapshotError} `BUSY` if something else is there, such as a file or a link that leads nowhere;
   *   `FORBIDDEN`, `NO_SPACE`; `MALFORMED` if a name is too long; `UNAVAILABLE`, for one if it would be below a file
   */
  makeDirectory(path: string): Promise<void>;

  /** Renames a file or directory. A file in the way is replaced; a directory must not be in the way. */
  rename(from: string, to: string): Promise<void>;

  /** A second name for a file. Returns whether this file system can do that. */
  link(from: string, to: string): Promise<boolean>;

  /** Removes a file, or a directory with everything in it; nothing happens if it is not there. */
  remove(path: string): Promise<void>;

  /**
   * Makes the names in a directory durable.
   *
   * @throws {SnapshotError} `UNSUPPORTED` if this file system cannot do that to any directory (CIFS cannot)
   */
  syncDirectory(path: string): Promise<void>;

  /**
   * Takes the lock at a path, which no other process and nobody else in this one can have at the same time. The
   * operating system frees it when its owner ends, however it ends.
   *
   * @throws {SnapshotError} `BUSY` if somebody has it
   */
  lock(path: string): Promise<DiskLock>;
}

/** A lock that was taken. */
export interface DiskLock {
  /**
   * Whether what is at the path is still what was locked. If the file was removed or replaced since, others can take the
   * lock too, or what it lies on is another file system now.
   */
  isHeld(): Promise<boolean>;
  /** Gives it back. */
  release(): Promise<void>;
}

/** An open file; reads and writes at positions, several at once. */
export interface DiskFile {
  /** Reads until the buffer is full or the file ends, and returns how many bytes that were. */
  read(buffer: Uint8Array, position: number): Promise<number>;
  /** Writes all the bytes. They must not be changed before this resolves. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** Makes the content durable. */
  sync(): Promise<void>;
  /** How large the file is, in bytes. */
  size(): Promise<number>;
  /** Closes the file. */
  close(): Promise<void>;
}

/** What is at a path. */
export interface DiskStat {
  /** A regular file, a directory, or anything else (a symbolic link, a device, a socket). */
  readonly kind: "file" | "directory" | "other";
  /** Bytes, of a file. */
  readonly size: number;
  /** When it was changed: milliseconds since 1970. */
  readonly changedAt: number;
}

/** What is in a directory. */
export interface DiskEntry {
  /** Its name. */
  readonly name: string;
  /** As in {@linkcode DiskStat}. */
  readonly kind: DiskStat["kind"];
}
