/**
 * The files of a log in OPFS: one that grows, and those before it.
 *
 * @module
 */

import { type Backoff, backoff, pause } from "../../async/mod.ts";
import { hasCode, SnapshotError } from "../../errors.ts";
import {
  inOpfs,
  inOpfsNow,
  namesInOpfs,
  type OpfsAccess,
  type OpfsDirectory,
  type OpfsFile,
  removeOpfsEntry,
} from "../../opfs/mod.ts";

/** The attempts to open a file that somebody has, and the waits between them. */
const TRIES = 12;
const RETRY: Backoff = { first: 10, longest: 1000 };

/** A segment's name, read. */
export interface SegmentName {
  /** The number of resets of the log before. */
  readonly reset: number;
  /** The first entry, or the one that it will be. */
  readonly first: bigint;
}

/** The segments in a directory. */
export class SegmentFiles {
  readonly #directory: OpfsDirectory;
  readonly #path: string;

  /**
   * @param directory where they are
   * @param path for messages
   */
  constructor(directory: OpfsDirectory, path: string) {
    this.#directory = directory;
    this.#path = path;
  }

  /** Lists them: of the highest reset first, then by their first entries. What has another name is not looked at. */
  async list(): Promise<SegmentName[]> {
    const found: SegmentName[] = [];
    for (const name of await namesInOpfs(this.#directory, this.#path)) {
      const [, reset, first] = /^log-(\d{1,15})-(\d{1,19})$/.exec(name) ?? [];
      if (first !== undefined) found.push({ reset: Number(reset), first: BigInt(first) });
    }
    return found.sort((a, b) => b.reset - a.reset || (a.first < b.first ? -1 : 1));
  }

  /** The path of one, for messages. */
  pathOf(name: SegmentName): string {
    return `${this.#path}/${textOf(name)}`;
  }

  /** Reads one. */
  read(name: SegmentName): Promise<Uint8Array> {
    return inOpfs("read", this.pathOf(name), async () => {
      const file = await (await this.#directory.getFileHandle(textOf(name))).getFile();
      return new Uint8Array(await file.arrayBuffer());
    });
  }

  /**
   * Opens the one that grows.
   *
   * @param name which
   * @param how whether it is a new one
   * @throws {SnapshotError} `UNSUPPORTED` outside of a dedicated worker
   */
  async open(name: SegmentName, how: { readonly create: boolean }): Promise<GrowingFile> {
    for (let tries = 0;; tries++) {
      try {
        return await this.#open(name, how);
      } catch (error) {
        // The log's lock is held here: who has the file was killed, and the browser frees its lock before its files.
        if (!hasCode(error, "BUSY") || tries === TRIES) throw error;
        await pause(backoff(tries, RETRY), undefined);
      }
    }
  }

  #open(name: SegmentName, how: { readonly create: boolean }): Promise<GrowingFile> {
    const path = this.pathOf(name);
    return inOpfs("open", path, async () => {
      const file: OpfsFile = await this.#directory.getFileHandle(textOf(name), how);
      if (file.createSyncAccessHandle !== undefined) return new GrowingFile(await file.createSyncAccessHandle(), path);
      throw new SnapshotError(
        "UNSUPPORTED",
        `Cannot sync ${path} here: a browser lets a dedicated worker do that only. Open the log in one`,
        { file: path },
      );
    });
  }

  /** Removes one. */
  remove(name: SegmentName): Promise<void> {
    return removeOpfsEntry(this.#directory, textOf(name), this.pathOf(name));
  }
}

function textOf({ reset, first }: SegmentName): string {
  return `log-${reset}-${first}`;
}

/** A file that grows at its end. */
export class GrowingFile {
  readonly path: string;
  readonly #access: OpfsAccess;
  /** True once a sync has failed: what was written then is not known, whatever a later one says. */
  #isSuspect = false;
  #size: number;

  /**
   * @param access the file, which nobody else has
   * @param path for messages
   */
  constructor(access: OpfsAccess, path: string) {
    this.#access = access;
    this.path = path;
    this.#size = inOpfsNow("open", path, () => access.getSize());
  }

  /** Where the next record goes; at first the size of the file. */
  get size(): number {
    return this.#size;
  }

  /** Reads all of it. */
  read(): Uint8Array {
    return inOpfsNow("read", this.path, () => {
      const bytes = new Uint8Array(this.#size);
      for (let at = 0; at < bytes.length;) {
        const length = this.#access.read(bytes.subarray(at), { at });
        if (length === 0) throw new Error(`it ends at byte ${at} of ${bytes.length}`);
        at += length;
      }
      return bytes;
    });
  }

  /**
   * Adds a record, which is durable when this returns.
   *
   * @throws {SnapshotError} if it may be there, or a part of it: {@linkcode cut} takes it back
   */
  add(record: Uint8Array): void {
    this.#write(record);
    this.#sync();
    this.#size += record.length;
  }

  /** Writes what proves that the last record is durable; the next one takes its place. */
  end(record: Uint8Array): void {
    try {
      this.#write(record);
    } catch {
      // It is only needed to tell a record that has changed from one that was torn.
    }
  }

  /**
   * Drops what is behind a record, durably.
   *
   * @param size where that record ends
   * @throws {SnapshotError} if it cannot be known what is in the file
   */
  cut(size: number): void {
    if (this.#isSuspect) {
      throw new SnapshotError("UNAVAILABLE", `${this.path} could not be synced`, { file: this.path });
    }
    inOpfsNow("cut", this.path, () => this.#access.truncate(size));
    this.#sync();
    this.#size = size;
  }

  /** Closes it. */
  close(): void {
    this.#access.close();
  }

  #write(bytes: Uint8Array): void {
    inOpfsNow("write", this.path, () => {
      for (let done = 0; done < bytes.length;) {
        const length = this.#access.write(bytes.subarray(done), { at: this.#size + done });
        if (length === 0) throw new DOMException("there is no room", "QuotaExceededError");
        done += length;
      }
    });
  }

  #sync(): void {
    inOpfsNow("sync", this.path, () => {
      try {
        this.#access.flush();
      } catch (error) {
        this.#isSuspect = true;
        throw error;
      }
    });
  }
}
