/**
 * The base of a storage: places that hold files.
 *
 * @module
 */

import type {
  AddOptions,
  ByteRange,
  FileInfo,
  FileOptions,
  SnapshotInfo,
  SnapshotManifest,
  SnapshotMeta,
} from "../snapshot/mod.ts";

/** A chunk that is written. */
export interface WrittenChunk {
  /** Its SHA-256. */
  readonly digest: Uint8Array;
  /** Its length in bytes. */
  readonly length: number;
}

/** A file on a medium; reads and writes at positions, several at once. */
export interface MediumFile {
  /** True if its bytes are not the storage's own: wrong ones prove nothing about the snapshot. */
  readonly isElsewhere?: boolean;
  /** True if a call takes longer than what it reads, as on a disk: several chunks are read with one. */
  readonly callsAreDear?: boolean;
  /** Reads until the buffer is full or the file ends, and returns the number of bytes read. */
  read(buffer: Uint8Array, position: number): Promise<number>;
  /**
   * Reads as {@linkcode read} does, but by another way, after a read that was not right: a handle, a cache or a network
   * may have been the cause. Absent where there is no other way.
   *
   * @throws {SnapshotError} `UNAVAILABLE` if the file read now is not known to be the same one; `CORRUPT` if it is
   *   known to be too short
   */
  reread?(buffer: Uint8Array, position: number): Promise<number>;
  /**
   * Writes all the bytes. They must not be changed before this resolves.
   *
   * @param bytes whole chunks
   * @param position where
   * @param chunks which ones, as soon as it is known: for a medium that keeps them by their digests
   */
  write(bytes: Uint8Array, position: number, chunks: Promise<readonly WrittenChunk[]>): Promise<void>;
  /** Makes the content durable. */
  sync(): Promise<void>;
  /** The size of the file in bytes. */
  size(): Promise<number>;
  /** Closes the file. */
  close(): Promise<void>;
}

/** A snapshot, complete or being received, and its place. */
export interface PlacedSnapshot {
  /** The place. */
  readonly place: ReadablePlace;
  /** The manifest of the snapshot that is there, or will be. */
  readonly manifest: SnapshotManifest;
}

/** A snapshot that is being received. */
export interface ReceivedSnapshot extends PlacedSnapshot {
  /** The place. */
  readonly place: Place;
}

/** A snapshot that is complete. */
export interface StoredSnapshot extends PlacedSnapshot {
  /** The place. */
  readonly place: Place;
  /** Bytes of all its files. */
  readonly size: number;
}

/** A quarantined snapshot and its place. */
export interface QuarantinedPlace {
  /** The place. */
  readonly place: Place;
  /** Its index. */
  readonly index: bigint;
  /** The time of its quarantine in milliseconds since 1970. */
  readonly at: number;
}

/** A place that became a snapshot. */
export interface Published {
  /** The snapshot. */
  readonly info: SnapshotInfo;
  /** Its place now. */
  readonly place: ReadablePlace;
}

/** A file on a disk, outside of the places of a storage. */
export interface LocalFile {
  /** Its path. */
  readonly path: string;
  /** Its name in the snapshot. */
  readonly name: string;
}

/** An open {@linkcode LocalFile}. */
export interface OpenLocalFile {
  /** Its size when it was opened, in bytes. */
  readonly size: number;
  /** Reads as {@linkcode MediumFile.read} does. */
  read(buffer: Uint8Array, position: number): Promise<number>;
  /**
   * Fails if the file is not the one that was opened any more, as far as the system notes it.
   *
   * @throws {SnapshotError} `BUSY`
   */
  checkUnchanged(): Promise<void>;
  /** Closes it. */
  close(): Promise<void>;
}

/** Files on a disk that can be put into a place. */
export interface LocalFiles {
  /**
   * Lists a file, or the files of a directory and of those below it, by name.
   *
   * @param path the file or directory
   * @param name its name in the snapshot; see `SnapshotWriter.add`
   * @throws {SnapshotError} `NOT_FOUND`; `MALFORMED` for anything else than files and directories, symbolic links too
   */
  list(path: string, name: string | undefined): Promise<LocalFile[]>;
  /** Opens one to read it. */
  open(path: string): Promise<OpenLocalFile>;
  /**
   * Puts a file into the place without reading it: as a second name of the file where `link` permits that, else as a
   * clone.
   *
   * @returns whether that can be done
   */
  put(path: string, name: string, link: boolean): Promise<boolean>;
  /**
   * Opens a file that the snapshot only refers to: it stays where it is, is read, and made durable there. Absent where
   * nobody could say where it is: see {@linkcode ReadablePlace.reference}.
   */
  refer?(path: string): Promise<MediumFile>;
}

/** The writer of a place, as far as adding files needs it. */
export interface PlaceWriter {
  /** Reports whether the snapshot is still being written. */
  isOpen(): boolean;
  /** A file of the snapshot, which `open` makes once its name is taken. */
  stream(name: string, options: FileOptions, open: () => Promise<MediumFile>): WritableStream<Uint8Array>;
  /** Takes a file out again. */
  withdraw(name: string, reason: unknown): Promise<void>;
  /** The description of a file that was written to its end. */
  info(name: string): FileInfo;
}

/** A place that is read: it has the files of a snapshot, complete or being built. */
export interface ReadablePlace {
  /** Its name, which its medium chose. */
  readonly name: string;
  /**
   * Opens a file to read it.
   *
   * @param range what of it will be read, from its start to its end; if absent, here and there a chunk
   * @throws {SnapshotError} `NOT_FOUND`
   */
  open(name: string, mode: "read", range?: ByteRange): Promise<MediumFile>;
  /**
   * Opens a referenced file that is not in the place. Absent where nobody knows where such files are.
   *
   * @param file which
   * @param snapshot the metadata of its snapshot
   * @throws {SnapshotError} `UNAVAILABLE` if it cannot be opened
   */
  reference?(file: FileInfo, snapshot: SnapshotMeta): Promise<MediumFile>;
}

/** A place of a medium. It takes places of the same medium only. */
export interface Place extends ReadablePlace {
  /**
   * Adds all of the files at a path of the disk that the place is on, or none: see `SnapshotWriter.add`, and
   * `addLocal`, which does it for a place that knows {@linkcode LocalFiles}. Absent where there is no disk.
   */
  add?(
    writer: PlaceWriter,
    path: string,
    name: string | undefined,
    options: AddOptions | undefined,
  ): Promise<FileInfo[]>;
  /** Makes it an empty place; removes everything that was there. */
  clear(): Promise<void>;
  /** Writes the manifest, before or after the files. */
  describe(manifest: SnapshotManifest): Promise<void>;
  /**
   * Returns a function that reports by digest whether a chunk is here already and need not be written. Absent where
   * chunks are not kept by their digests.
   */
  kept?(): Promise<(digest: Uint8Array) => boolean>;
  /**
   * Opens a file. `"create"` makes it, and the directories that it is in; it must not exist.
   *
   * @param range what of it will be read
   * @throws {SnapshotError} `NOT_FOUND`
   */
  open(name: string, mode: "read" | "create" | "update", range?: ByteRange): Promise<MediumFile>;
  /** Puts a file of another place here too, without a copy. Returns whether that can be done. */
  link(from: ReadablePlace, name: string, as: string): Promise<boolean>;
  /** Removes a file. */
  unlink(name: string): Promise<void>;
  /** Removes it with everything in it. */
  remove(): Promise<void>;
}

/** The places of a medium. A place holds a snapshot, complete or being built; the medium chooses its name. */
export interface Places {
  /** The place for the one snapshot that is being written. */
  readonly temp: Place;
  /** The place for receiving this snapshot. */
  installPlace(manifest: SnapshotManifest): Place;
  /** The places that earlier installs left, with their manifests. */
  installs(): Promise<ReceivedSnapshot[]>;
  /**
   * Fails if two names of a snapshot would be the same here. Absent where that cannot happen.
   *
   * @throws {SnapshotError} `UNSUPPORTED`
   */
  checkNames?(manifest: SnapshotManifest): Promise<void>;
}

/** Places that one process has to itself. */
export interface Medium extends Places {
  /**
   * Makes a place with all its files a snapshot: durable, and read back before it becomes visible. Otherwise throws and
   * leaves everything as it is.
   */
  publish(place: Place, manifest: SnapshotManifest): Promise<StoredSnapshot>;
  /**
   * Reads the manifest of a place, a quarantined one too, and checks that all files are there with their sizes.
   *
   * @param place the place
   * @param index the index that it must have
   * @throws {SnapshotError} `CORRUPT` or `MALFORMED` if what is there is not what was written, `UNSUPPORTED` if a newer
   *   release wrote it, `UNAVAILABLE` if something is not there; others if one cannot look
   */
  inspect(place: Place, index: bigint): Promise<StoredSnapshot>;
  /** Keeps the snapshot of a place for a person, where no storage takes it for a snapshot. */
  quarantine(place: Place, index: bigint): Promise<void>;
  /** The quarantined snapshots, including those from before this opening. */
  quarantined(): Promise<QuarantinedPlace[]>;
  /** Makes a quarantined place a snapshot again, durably; the caller has verified it. */
  restore(place: Place, index: bigint): Promise<StoredSnapshot>;
  /** Releases the medium. */
  close(): Promise<void>;
}
