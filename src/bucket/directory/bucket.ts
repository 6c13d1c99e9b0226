/**
 * Objects in a directory, for Deno, Node and Bun.
 *
 * @module
 */

import { dirname } from "@std/path";
import { checkOptions, checkPath } from "../../checks.ts";
import { hasCode, SnapshotError, throwIfCancelled } from "../../errors.ts";
import { checkDisk, defaultDisk, type Disk, type DiskFile, type DiskLock } from "../../fs/mod.ts";
import { pause, Semaphore } from "../../async/mod.ts";
import { compareBytes, concat } from "../../stream/mod.ts";
import { piecesOf, streamOf } from "../bodies.ts";
import type { Bucket, BucketBody, BucketObject, GetOptions, ListOptions, ListPage, PutOptions } from "../bucket.ts";
import { beginsWith, namedEntries, pathOf } from "./keys.ts";
import { etagOf, FilePieces, HEADER_SIZE, MAGIC, objectIn } from "./object_file.ts";
import { checkDelete, checkGet, checkList, checkPut, keyBytes, rangeWithin } from "../keys.ts";

/**
 * The lock of the root, the prefix of a file that is being written, and what stands in a directory while a name in it
 * is not durable. No key's name has a `.`.
 */
const LOCK = ".lock";
const TEMP = ".put-";
const UNSYNCED = ".unsynced";
/** The pause between two attempts to take the lock from another process, in milliseconds. */
const LOCK_PAUSE = 3;
/** A file being written that did not change for so many milliseconds is abandoned. */
const ABANDONED = 24 * 3600 * 1000;
/** Headers that are read at once for a list. */
const HEADERS_AT_ONCE = 16;
/** The most directories that are remembered to be durable. */
const MAX_REMEMBERED = 10_000;

/** Options of {@linkcode DirectoryBucket.open}. */
export interface DirectoryBucketOptions {
  /** The disk; by default that of the runtime. */
  readonly disk?: Disk;
}

/**
 * A bucket in a directory, which any number of processes may use at once: on one machine, or on a network file system
 * that has locks.
 *
 * A put is written and synced under a name of its own, and then renamed into its place, so that nobody sees a part of
 * it, nor loses one that was acknowledged. One that was seen is not lost either: `.unsynced` stands beside it until its
 * name is durable, and tells who sees it, if its owner was killed, to make it so. Conditions are checked, and the
 * rename done, under a lock of the operating system on the file `.lock`, which every put and every delete takes for
 * just that; it is free when its owner dies. An object's file begins with 24 bytes of this bucket's. The file of a put
 * that was killed is removed by a list, a day later or more.
 *
 * @example
 * ```ts
 * import { DirectoryBucket } from "@snapstream/snapstream/fs";
 *
 * const bucket = await DirectoryBucket.open(await Deno.makeTempDir());
 * await bucket.put("greeting", new TextEncoder().encode("hello"), { ifNoneMatch: "*" });
 * console.assert((await bucket.list()).objects[0]?.key === "greeting");
 * ```
 */
export class DirectoryBucket implements Bucket {
  readonly #disk: Disk;
  readonly #root: string;
  /** Gives the callers in this process turns at taking the lock. */
  readonly #turn: Semaphore = new Semaphore(1);
  readonly #durable = new Set<string>();

  private constructor(disk: Disk, root: string) {
    this.#disk = disk;
    this.#root = root;
  }

  /**
   * Opens a bucket; makes it if there is none. There is nothing to be closed.
   *
   * @param root the directory
   * @param options see {@linkcode DirectoryBucketOptions}
   * @throws {SnapshotError} `FORBIDDEN` if the directory may not be written
   */
  static async open(root: string, options: DirectoryBucketOptions = {}): Promise<DirectoryBucket> {
    checkPath(root, "root");
    const { disk = defaultDisk() } = checkOptions(options, { disk: checkDisk });
    await disk.makeDirectory(root);
    if (await disk.stat(`${root}/${LOCK}`) === undefined) await makeNameDurable(disk, root); // nothing was ever put
    return new DirectoryBucket(disk, root);
  }

  /** Reads an object, or a part of it: as it was when this resolved, whatever is put meanwhile. */
  async get(key: string, options: GetOptions = {}): Promise<BucketBody | undefined> {
    const path = this.#pathOf(checkGet(key, options));
    const { range, signal } = options;
    throwIfCancelled(signal);
    const file = await this.#open(path);
    if (file === undefined) return undefined;
    try {
      const object = await objectIn(file, key, path);
      await this.#settle(dirname(path));
      const { start, end } = rangeWithin(key, object.size, range);
      throwIfCancelled(signal);
      return { ...object, body: streamOf(new FilePieces(file, path, start + HEADER_SIZE, end + HEADER_SIZE), signal) };
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Writes an object. */
  async put(
    key: string,
    body: Uint8Array | ReadableStream<Uint8Array>,
    options: PutOptions = {},
  ): Promise<BucketObject | undefined> {
    const checked = checkPut(key, body, options);
    const path = this.#pathOf(checked.order);
    throwIfCancelled(options.signal);
    const generation = crypto.getRandomValues(new Uint8Array(HEADER_SIZE - MAGIC.length));
    const directory = dirname(path);
    const temp = `${directory}/${TEMP}${crypto.randomUUID()}`;
    await this.#checkRoot();
    await this.#makeDurable(directory);
    try {
      const size = await this.#write(temp, generation, piecesOf(checked.body, options.signal));
      return await this.#locked(options.signal, async (lock) => {
        if (!await this.#holds(key, path, options)) return void await this.#settle(directory);
        await this.#checkHeld(lock);
        await this.#disk.makeDirectory(`${directory}/${UNSYNCED}`);
        await this.#disk.rename(temp, path);
        await this.#disk.syncDirectory(directory);
        await this.#disk.remove(`${directory}/${UNSYNCED}`).catch(() => {}); // if it stays, readers sync once more
        await this.#checkHeld(lock); // else this rename may have replaced an object that another process put
        return { key, size, etag: etagOf(generation) };
      });
    } finally {
      await this.#disk.remove(temp).catch(() => {}); // absent after a rename; if it stays, a list sweeps it some day
    }
  }

  /** Deletes objects. The directories that they were in stay. */
  async delete(keys: readonly string[], options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    checkDelete(keys, options);
    const paths = keys.map((key) => this.#pathOf(keyBytes(key)));
    throwIfCancelled(options.signal);
    await this.#checkRoot();
    await this.#locked(options.signal, async () => {
      const changed = new Set<string>();
      for (const path of paths) {
        throwIfCancelled(options.signal);
        if (await this.#disk.stat(path) === undefined) continue;
        await this.#disk.remove(path);
        changed.add(dirname(path));
      }
      for (const directory of changed) await this.#disk.syncDirectory(directory);
    });
  }

  /** Lists the objects, page by page. The cursor is the last key of the page. */
  async list(options: ListOptions = {}): Promise<ListPage> {
    const limit = checkList(options);
    const { prefix = "", cursor, signal } = options;
    throwIfCancelled(signal);
    const after = cursor === undefined ? new Uint8Array() : keyBytes(cursor);
    const found: { readonly key: string; readonly path: string }[] = [];
    let more = false;
    for await (const next of this.#walk(this.#root, new Uint8Array(), new TextEncoder().encode(prefix), after)) {
      throwIfCancelled(signal);
      more = found.length === limit;
      if (more) break;
      found.push(next);
    }
    const objects: BucketObject[] = [];
    for (let at = 0; at < found.length; at += HEADERS_AT_ONCE) {
      throwIfCancelled(signal);
      const some = found.slice(at, at + HEADERS_AT_ONCE);
      for (const object of await Promise.all(some.map(({ key, path }) => this.#look(key, path)))) {
        if (object !== undefined) objects.push(object); // else it was deleted since
      }
    }
    return more ? { objects, cursor: found.at(-1)!.key } : { objects };
  }

  #pathOf(key: Uint8Array): string {
    return `${this.#root}/${pathOf(key)}`;
  }

  /** Opens the file of an object; nothing if there is none. */
  async #open(path: string): Promise<DiskFile | undefined> {
    try {
      return await this.#disk.open(path, "read");
    } catch (error) {
      if (!hasCode(error, "NOT_FOUND")) throw error;
      await this.#checkRoot(error);
      return undefined;
    }
  }

  async #checkRoot(cause?: unknown): Promise<void> {
    if (await this.#disk.stat(this.#root) !== undefined) return;
    throw new SnapshotError("NOT_FOUND", `${this.#root} is no bucket any more: it was removed since it was opened`, {
      source: this.#root,
      cause,
    });
  }

  async #look(key: string, path: string): Promise<BucketObject | undefined> {
    const file = await this.#open(path);
    if (file === undefined) return undefined;
    try {
      return await objectIn(file, key, path);
    } finally {
      await file.close();
    }
  }

  /** Reports whether the condition of a put holds. */
  async #holds(key: string, path: string, { ifMatch, ifNoneMatch }: PutOptions): Promise<boolean> {
    if (ifNoneMatch !== undefined) return await this.#disk.stat(path) === undefined;
    return ifMatch === undefined || (await this.#look(key, path))?.etag === ifMatch;
  }

  /** Writes a file, durably, and returns how many bytes the object has. */
  async #write(path: string, generation: Uint8Array, pieces: AsyncIterable<Uint8Array>): Promise<number> {
    const file = await this.#disk.open(path, "create");
    try {
      await file.write(concat([Uint8Array.from(MAGIC), generation]), 0);
      let size = 0;
      for await (const piece of pieces) {
        await file.write(piece, HEADER_SIZE + size);
        size += piece.length;
      }
      await file.sync();
      return size;
    } finally {
      await file.close();
    }
  }

  /**
   * Makes durable what others may only just have seen in a directory: whoever put it may have been killed, or have
   * failed, before it was, and what is written next may rely on it.
   */
  async #settle(directory: string): Promise<void> {
    if (await this.#disk.stat(`${directory}/${UNSYNCED}`) !== undefined) await this.#disk.syncDirectory(directory);
  }

  /** Makes a directory below the root, and makes its name, and those of its parents, durable. */
  async #makeDurable(directory: string): Promise<void> {
    if (this.#durable.has(directory)) return;
    await this.#disk.makeDirectory(directory);
    // Also if it exists: its maker may have been killed before its name was durable.
    for (let path = directory; path.length > this.#root.length; path = dirname(path)) {
      await this.#disk.syncDirectory(dirname(path));
    }
    if (this.#durable.size >= MAX_REMEMBERED) this.#durable.clear();
    this.#durable.add(directory);
  }

  /** Runs `work` while nobody else, here or in another process, puts or deletes. */
  async #locked<T>(signal: AbortSignal | undefined, work: (lock: DiskLock) => Promise<T>): Promise<T> {
    await this.#turn.take(signal);
    try {
      const lock = await this.#lock(signal);
      try {
        return await work(lock);
      } finally {
        await lock.release();
      }
    } finally {
      this.#turn.leave();
    }
  }

  /** Fails if the file of the lock was removed or replaced: others can have taken it too. */
  async #checkHeld(lock: DiskLock): Promise<void> {
    if (await lock.isHeld()) return;
    throw new SnapshotError("UNAVAILABLE", `${this.#root}/${LOCK} was removed or replaced while it was locked`, {
      source: this.#root,
    });
  }

  async #lock(signal: AbortSignal | undefined): Promise<DiskLock> {
    for (;;) {
      throwIfCancelled(signal);
      try {
        return await this.#disk.lock(`${this.#root}/${LOCK}`);
      } catch (error) {
        if (!hasCode(error, "BUSY")) throw error;
      }
      await pause(LOCK_PAUSE * (1 + Math.random()), signal);
    }
  }

  /** Removes the file of a put that was killed. */
  async #sweep(path: string): Promise<void> {
    try {
      const stat = await this.#disk.stat(path);
      if (stat !== undefined && stat.changedAt < Date.now() - ABANDONED) await this.#disk.remove(path);
    } catch {
      // It is in nobody's way; the next list retries it.
    }
  }

  /** The objects of a directory and those below it, in order. */
  async *#walk(
    directory: string,
    base: Uint8Array,
    prefix: Uint8Array,
    after: Uint8Array,
  ): AsyncGenerator<{ readonly key: string; readonly path: string }, void, undefined> {
    const entries = await this.#disk.list(directory);
    await this.#settle(directory);
    for (const { name } of entries) if (name.startsWith(TEMP)) await this.#sweep(`${directory}/${name}`);
    for (const { name, isObject, key } of namedEntries(entries, base)) {
      const path = `${directory}/${name}`;
      if (isObject) {
        const isWanted = beginsWith(key, prefix) && compareBytes(key, after) > 0;
        if (isWanted) yield { key: new TextDecoder("utf-8", { ignoreBOM: true }).decode(key), path };
        continue;
      }
      const mayHave = beginsWith(key, prefix) || beginsWith(prefix, key);
      if (mayHave && (compareBytes(key, after) > 0 || beginsWith(after, key))) {
        yield* this.#walk(path, key, prefix, after);
      }
    }
  }
}

/** Makes the name of a directory, and those of its parents, durable, as far as they may be read. */
async function makeNameDurable(disk: Disk, directory: string): Promise<void> {
  try {
    for (let path = directory; dirname(path) !== path; path = dirname(path)) await disk.syncDirectory(dirname(path));
  } catch (error) {
    if (!hasCode(error, "FORBIDDEN")) throw error; // somebody else's, who made it for us
  }
}
