/**
 * The log of a replica, as followers and backups read it: durable entries in batches, each made once for all of them.
 *
 * @module
 */

import { onAbort } from "../async/mod.ts";
import { SnapshotError } from "../errors.ts";
import { BATCH_BYTES, BATCH_ENTRIES, encodeBatch, type EncodedBatch, type LogStorage, purged } from "../log/mod.ts";
import type { LogEntry } from "../state/mod.ts";
import { batchesOf } from "./any_log.ts";
import type { FsmCaller } from "./fsm_caller.ts";

/** Batches are kept for other readers up to so many bytes. */
const KEPT_BYTES = 8 * 1024 * 1024;
/** Entries that were appended last are kept up to so many bytes, so that readers need not read the disk. */
const RECENT_BYTES = 4 * 1024 * 1024;
/** Digests are kept of so many batches. */
const KEPT_DIGESTS = 1024;
/** The approximate cost of an entry beside its data. */
export const ENTRY_BYTES = 64;

/** Reads the log behind a replica. */
export class LogFeed {
  readonly #log: LogStorage;
  readonly #fsm: FsmCaller;
  /** The last entry of which it is known that it is durable. */
  #durable = 0n;
  /** The entries that were appended last, without a gap. */
  #recent: LogEntry[] = [];
  #recentBytes = 0;
  /** By their first entry, the oldest first. */
  readonly #batches = new Map<bigint, Promise<EncodedBatch>>();
  /** The digests with which batches ended. */
  readonly #digests = new Map<bigint, Uint8Array>();
  #batchBytes = 0;
  /** Counts replacements of the log: what was made before one is of no use. */
  #generation = 0;
  /** Those who wait for more; a promise that all of them share would keep each that has gone until the next entry. */
  readonly #waiting = new Set<() => void>();
  #isRead = false;
  #isClosed = false;

  /**
   * @param log the log
   * @param fsm applies its entries: what was applied is durable
   */
  constructor(log: LogStorage, fsm: FsmCaller) {
    this.#log = log;
    this.#fsm = fsm;
    fsm.listen({ loaded: () => this.#replaced() });
  }

  /** The last entry that is durable. */
  get last(): bigint {
    const { index } = this.#fsm.applied;
    const durable = index > this.#durable ? index : this.#durable;
    return durable < this.#log.lastIndex ? durable : this.#log.lastIndex;
  }

  /** Takes entries that are durable now. */
  appended(entries: readonly LogEntry[]): void {
    const last = entries.at(-1);
    if (last === undefined) return;
    this.#durable = last.index;
    if (this.#isRead) this.#keep(entries);
    this.#wake();
  }

  /** Ends the waits for more. */
  close(): void {
    this.#isClosed = true;
    this.#wake();
  }

  /** See `ServedLog.appended`. */
  async wait(index: bigint, signal?: AbortSignal): Promise<void> {
    while (this.last <= index && !this.#isClosed && signal?.aborted !== true) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.add(resolve);
      const unlink = onAbort(signal, () => resolve());
      await promise;
      unlink();
      this.#waiting.delete(resolve);
    }
  }

  #wake(): void {
    for (const resolve of this.#waiting) resolve();
  }

  /** See `ServedLog.batch`. */
  async batch(from: bigint, upTo?: bigint): Promise<EncodedBatch | undefined> {
    if (from < this.#log.firstIndex) throw purged(from, this.#log.firstIndex);
    const { last } = this;
    if (from > last) return undefined;
    this.#isRead = true;
    const kept = this.#batches.get(from);
    if (kept !== undefined) {
      const batch = await kept;
      if (upTo === undefined || batch.last <= upTo) return batch;
    }
    if (upTo !== undefined && upTo < last) return await this.#make(from, upTo);
    const making = this.#make(from, last);
    this.#batches.set(from, making);
    const generation = this.#generation;
    const forget = () => {
      if (this.#batches.get(from) === making) this.#batches.delete(from);
    };
    try {
      const batch = await making;
      if (this.#generation !== generation) forget();
      else this.#bound(batch.bytes.length);
      return batch;
    } catch (error) {
      forget();
      throw error;
    }
  }

  /** See `ServedLog.digest`. The end of a batch that was sent is where its follower resumes. */
  async digest(index: bigint): Promise<Uint8Array | undefined> {
    if (index > this.last || index < this.#log.firstIndex - 1n) return undefined;
    return this.#digests.get(index) ?? await this.#log.digest!(index);
  }

  async #make(from: bigint, last: bigint): Promise<EncodedBatch> {
    const generation = this.#generation;
    const entries: LogEntry[] = [];
    let bytes = 0;
    reading: for await (const some of this.#read(from)) {
      for (const entry of some) {
        if (entry.index > last) break reading;
        bytes += entry.data.length + ENTRY_BYTES;
        if (entries.length > 0 && bytes > BATCH_BYTES) break reading;
        entries.push(entry);
        if (entries.length === BATCH_ENTRIES) break reading;
      }
    }
    const previous = await this.digest(from - 1n);
    // What was read before the log was replaced, and what after it, need not be of one history.
    if (entries.length === 0 || previous === undefined || this.#generation !== generation) {
      throw new SnapshotError("UNAVAILABLE", `The log no longer has entry ${from}`, { index: from });
    }
    const batch = encodeBatch(entries, previous);
    if (this.#digests.size === KEPT_DIGESTS) this.#digests.clear();
    this.#digests.set(batch.last, batch.digest);
    return batch;
  }

  #read(from: bigint): Iterable<readonly LogEntry[]> | AsyncIterable<readonly LogEntry[]> {
    const first = this.#recent[0]?.index;
    if (first === undefined || from < first) return batchesOf(this.#log, from);
    return [this.#recent.slice(Number(from - first), Number(from - first) + BATCH_ENTRIES)];
  }

  #keep(entries: readonly LogEntry[]): void {
    if (this.#recent.length > 0 && this.#recent.at(-1)!.index + 1n !== entries[0]!.index) this.#forget();
    for (const entry of entries) {
      this.#recent.push(entry);
      this.#recentBytes += entry.data.length + ENTRY_BYTES;
    }
    if (this.#recentBytes <= RECENT_BYTES) return;
    let count = 0;
    while (this.#recentBytes > RECENT_BYTES / 2 && count < this.#recent.length) {
      this.#recentBytes -= this.#recent[count++]!.data.length + ENTRY_BYTES;
    }
    this.#recent.splice(0, count);
  }

  #bound(bytes: number): void {
    this.#batchBytes += bytes;
    if (this.#batchBytes <= KEPT_BYTES) return;
    // All at once: who follows closely needs the newest only, and that is made again from recent entries.
    this.#batches.clear();
    this.#batchBytes = 0;
  }

  #forget(): void {
    this.#recent = [];
    this.#recentBytes = 0;
  }

  /** A snapshot took the place of what was here. */
  #replaced(): void {
    this.#generation++;
    this.#digests.clear();
    this.#batches.clear();
    this.#batchBytes = 0;
    this.#forget();
    this.#wake();
  }
}
