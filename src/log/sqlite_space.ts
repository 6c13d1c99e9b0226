/**
 * Bounds the room that the files of an SQLite log take: purging gives room back, the write-ahead log is bounded, and a
 * reserve is kept, so that purging works on a full disk.
 *
 * ```text
 * log.db           the entries, and at most SPARE pages that hold nothing
 * log.db-wal       WAL_BYTES; more while a larger transaction is being written, or the disk is full
 * log.db-reserve   what log.db and log.db-wal take, at most RESERVE_BYTES
 * ```
 *
 * Purging writes before it gives back: the changes of a batch go to the write-ahead log, and checkpointing them lets
 * the file grow. The reserve has room for both.
 *
 * @module
 */

import type { DatabaseSync } from "node:sqlite";
import { setImmediate } from "node:timers";
import { hasCode } from "../errors.ts";
import { makeShrinkable, sizeOf, SqlitePages } from "../sqlite/mod.ts";
import { Reserve } from "./reserve.ts";
import { wrap } from "./sql_rows.ts";

/** Pages of the write-ahead log after which it is checkpointed. */
const WAL_PAGES = 512;
/** The size that the file of the write-ahead log is cut to. */
const WAL_BYTES = WAL_PAGES * 4096;
/** Bytes after which the files are looked at again: a look takes as long as some ten rows. */
const LOOK_AFTER = 128 * 1024;
/** Pages that may hold nothing: they are not worth a write. */
const SPARE = 64;
/** The largest size of the reserve. */
const RESERVE_BYTES = 4 * 1024 * 1024;
/** The smallest size of it, also for a log that is new. */
const LEAST_RESERVE = 256 * 1024;
/** Pages that are in use in a file that cannot shrink, so that rewriting it takes some ten milliseconds. */
const REWRITTEN_PAGES = 1024;
/** The same when it is opened, and half of it is empty: that may take longer. */
const REWRITTEN_AT_OPEN = 16_384;

/** The files of a log. */
export class LogSpace {
  readonly #path: string;
  readonly #database: DatabaseSync;
  readonly #reserve: Reserve;
  #pages: SqlitePages;
  /** The size of the write-ahead log when its files were looked at. */
  #wal = 0;
  /** Bytes that were written since then, about. */
  #unseen = 0;
  /** The most that its files have taken: so much may be taken again without asking more of the disk. */
  #peak = 0;
  /** The disk was full: from here on the reserve is made of what is purged, since other room is somebody else's. */
  #isTight: boolean;
  /** Pages were given back since the file was cut. */
  #isCuttable = false;
  /** Nothing was written since the write-ahead log was emptied. */
  #isEmptied = false;

  /**
   * @param database just opened: an exclusive lock on it is held until the end
   * @param path its file
   */
  constructor(database: DatabaseSync, path: string) {
    this.#path = path;
    this.#database = database;
    // The order matters: an exclusive lock taken before the write-ahead log is begun is held until the end, and needs
    // no third file, which could not be made on a full disk.
    database.exec("PRAGMA busy_timeout = 0; PRAGMA locking_mode = EXCLUSIVE");
    const isNew = makeShrinkable(database);
    database.exec("PRAGMA journal_mode = WAL");
    database.exec(`PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = ${WAL_PAGES}`);
    database.prepare(`PRAGMA journal_size_limit = ${WAL_BYTES}`).get();
    this.#pages = new SqlitePages(database);
    this.#reserve = new Reserve(`${path}-reserve`);
    this.#isTight = !isNew && this.#reserve.size < wanted(this.#fileBytes) / 2;
    this.#mark();
    this.#unseen = LOOK_AFTER; // there may be no reserve yet
  }

  /**
   * Makes durable what an opening finds. SQLite takes for committed what a process wrote to the write-ahead log that
   * was killed before it had synced it; and what is read is acknowledged, and relied on.
   */
  settle(): void {
    try {
      this.#checkpoint("PASSIVE");
    } catch (error) {
      if (!hasCode(error, "NO_SPACE")) throw error; // the write-ahead log is synced first, which takes no room
    }
  }

  /**
   * Does what needs more room. On a full disk once again after the write-ahead log was emptied.
   *
   * @param work a transaction
   * @param bytes the number of bytes that it writes, about
   * @throws {SnapshotError} `NO_SPACE`
   */
  fill(work: () => void, bytes: number): void {
    // SQLite does not say that it could not checkpoint; without an end to it, all of the disk would be write-ahead log.
    if (this.#wal > 2 * WAL_BYTES && !this.#emptyWithReserve()) this.#checkpoint("TRUNCATE");
    try {
      work();
    } catch (error) {
      this.#mark(); // what was rolled back may have taken room
      if (!hasCode(error, "NO_SPACE") || this.#isEmptied || !this.#emptyWithReserve()) throw error;
      work();
    }
    this.#isEmptied = false;
    this.#unseen += bytes;
    if (this.#unseen < LOOK_AFTER) return;
    const used = this.#mark();
    if (this.#isTight || this.#reserve.size * 2 >= wanted(used)) return;
    this.#isTight = !this.#reserve.grow(wanted(used) - this.#reserve.size);
  }

  /**
   * Runs work that makes room and need not be durable at once. A full disk has it use the reserve.
   *
   * @param work a transaction
   * @throws {SnapshotError} `NO_SPACE`
   */
  free(work: () => void): void {
    this.#database.exec("PRAGMA synchronous = NORMAL");
    try {
      this.freeDurably(work);
    } finally {
      this.#database.exec("PRAGMA synchronous = FULL");
    }
  }

  /** As {@linkcode free}, and it is durable when this returns. */
  freeDurably(work: () => void): void {
    const makeRoom = [() => this.#empty(), () => this.#release()];
    for (;;) {
      try {
        return work();
      } catch (error) {
        const next = makeRoom.shift();
        if (next === undefined || !hasCode(error, "NO_SPACE")) throw error;
        next();
      }
    }
  }

  /**
   * Gives back the pages that hold nothing, in steps between which others have their turn. Where that fails
   * it is done when more is purged, or the log is opened again.
   *
   * @param isOpen whether the log still is
   * @param atOpen whether it may take long
   */
  async trim(isOpen: () => boolean, atOpen = false): Promise<void> {
    if (!this.#pages.canShrink) this.#rewrite(atOpen);
    while (isOpen() && this.step()) await new Promise<void>((resolve) => void setImmediate(resolve));
    if (!isOpen()) return;
    this.#mark();
    if (!this.#isCuttable && !this.#isTight && this.#wal <= WAL_BYTES) return;
    this.#isCuttable = false;
    // The other mode keeps the file of the write-ahead log, so that writing to it anew costs less.
    this.#empty(this.#isTight || this.#wal > WAL_BYTES ? "TRUNCATE" : "PASSIVE");
    this.#restore();
  }

  /**
   * Gives back some pages, if more of them hold nothing than may. The process may be killed after it: the reserve is
   * there again, as far as there is room.
   *
   * @returns whether there were any, and it could be done
   */
  step(): boolean {
    const isGivenBack = this.#pages.canShrink && this.#pages.free > SPARE && this.#attempt(() => this.#pages.step());
    this.#isCuttable ||= isGivenBack;
    if (this.#isTight) {
      this.#empty();
      this.#restore();
    }
    return isGivenBack;
  }

  /** Makes a file of an earlier version one that can shrink, if little is in it: it is written anew, all or nothing. */
  #rewrite(atOpen: boolean): void {
    const { count, free } = this.#pages;
    const used = count - free;
    if (used > REWRITTEN_PAGES && !(atOpen && used <= free && used <= REWRITTEN_AT_OPEN)) return;
    this.#database.exec("PRAGMA auto_vacuum = INCREMENTAL");
    this.#isCuttable = this.#attempt(() => this.#database.exec("VACUUM"));
    this.#pages = new SqlitePages(this.#database);
  }

  /** Reports whether work was done. A failure loses nothing: pages that hold nothing are used again. */
  #attempt(work: () => void): boolean {
    try {
      this.free(() => {
        try {
          work();
        } catch (error) {
          throw wrap(error, "shrink", this.#path);
        }
      });
      return true;
    } catch {
      return false;
    }
  }

  /** Looks at the files. */
  get #fileBytes(): number {
    this.#unseen = 0;
    this.#wal = sizeOf(`${this.#path}-wal`);
    return sizeOf(this.#path) + this.#wal;
  }

  /** Notes how much the files take; all but the reserve. */
  #mark(): number {
    const bytes = this.#fileBytes;
    this.#peak = Math.max(this.#peak, bytes + this.#reserve.size);
    return bytes;
  }

  /** Checkpoints the write-ahead log; `TRUNCATE` gives its room back too. Reports whether all of it is in the file. */
  #empty(mode: "PASSIVE" | "TRUNCATE" = "TRUNCATE"): boolean {
    try {
      this.#checkpoint(mode);
      return true;
    } catch {
      return false; // what is not in the file is in the write-ahead log
    }
  }

  #checkpoint(mode: "PASSIVE" | "TRUNCATE"): void {
    try {
      this.#database.prepare(`PRAGMA wal_checkpoint(${mode})`).get();
    } catch (error) {
      throw wrap(error, "checkpoint", this.#path);
    }
  }

  /** Empties the write-ahead log, with the room of the reserve if need be: the log gives that room back afterwards. */
  #emptyWithReserve(): boolean {
    this.#mark();
    this.#isEmptied = this.#empty() || this.#release();
    this.#restore();
    return this.#isEmptied;
  }

  #release(): boolean {
    this.#mark();
    this.#isTight = true;
    this.#reserve.release();
    return this.#empty();
  }

  /** Makes the reserve whole again, of what the files took and take no more. */
  #restore(): void {
    const used = this.#fileBytes;
    const missing = Math.min(RESERVE_BYTES, this.#peak - used) - this.#reserve.size;
    if (missing > 0) this.#reserve.grow(missing);
    if (this.#reserve.size < wanted(used) / 2) return;
    this.#isTight = false;
    this.#peak = 0;
  }
}

/** Returns the size that the reserve should have. */
function wanted(fileBytes: number): number {
  return Math.min(RESERVE_BYTES, Math.max(LEAST_RESERVE, fileBytes));
}
