/**
 * Reads and changes the index. Every change is one conditional put: of two, one wins, and the other notices.
 *
 * Services that are made for it take one put a second of the same object (R2, Google), of all processes together: so
 * the changes that wait in a process are one put, and a refusal for that reason is a conflict like any other, of which
 * somebody else was faster.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { type Backoff, backoff, pause } from "../../async/mod.ts";
import { decodeIndex, emptyIndex, encodeIndex, MAX_INDEX_BYTES, type ObjectIndex } from "./index.ts";
import { checkHeeded, CONDITIONS } from "./conditions.ts";
import { CONTENTION, isContended, MAX_REFUSALS, RETRY, type RetryingBucket, wasNotAnswered } from "../../bucket/mod.ts";

/** The key of the index. */
const KEY = "index";
/** The attempts at a change before others count as too busy. */
const MAX_CONFLICTS = 100;
/** The waits after a conflict. */
const CONFLICT: Backoff = { first: 20, longest: 200, factor: 1.3, jitter: [0, 1] };
/** The time between two puts of an object that such services take, in milliseconds. */
const INTERVAL = 1000;
/** The retries of a change that gets no answer. */
const MAX_SILENCES = 5;

/** A change of the index: returns the parts that change, or nothing if the change is already done. */
export type Change = (index: ObjectIndex) => Partial<ObjectIndex> | undefined;

interface Tagged {
  readonly index: ObjectIndex;
  readonly etag: string | undefined;
}

/** A change that waits for its put. */
interface Waiting {
  readonly change: Change;
  resolve(index: ObjectIndex): void;
  reject(error: unknown): void;
}

/** The one index of a storage. */
export class IndexStore {
  readonly #bucket: RetryingBucket;
  #last: Tagged | undefined;
  /** True once the bucket is known to heed conditions. */
  #isHeeded = false;
  #waiting: Waiting[] = [];
  /** The changes that are in the put that is under way. */
  #carried: readonly Waiting[] = [];
  #isPutting = false;
  /** The last put of this process, by `performance.now()`. */
  #put: { readonly generation: bigint; readonly at: number } | undefined;

  /** @param bucket has it, or will have it */
  constructor(bucket: RetryingBucket) {
    this.#bucket = bucket;
  }

  /** The index as it was read or changed last. */
  get last(): ObjectIndex | undefined {
    return this.#last?.index;
  }

  /**
   * Reads the index. A bucket whose index can neither be read nor listed counts as empty, unless there was one before.
   *
   * @throws {SnapshotError} `CORRUPT`, `UNSUPPORTED`; `UNAVAILABLE` if the index read is older than the one read
   *   before; the errors of the bucket
   */
  async read(): Promise<ObjectIndex> {
    return (await this.#read()).index;
  }

  async #read(): Promise<Tagged> {
    const before = this.#last?.etag === undefined ? undefined : this.#last.index;
    const found = await this.#bucket.readAs(
      KEY,
      MAX_INDEX_BYTES,
      async ({ bytes, etag }) => ({ index: await decodeIndex(bytes, KEY), etag }),
    );
    if (before !== undefined && (found === undefined || isOlder(found.index, before))) {
      throw new SnapshotError(
        "UNAVAILABLE",
        found === undefined
          ? "The index was here, and is not any more: nothing is changed. If the bucket was emptied, open the " +
            "storage again"
          : `The index that is read is older than what was read before: ${found.index.generation}, ` +
            `${before.generation}`,
        { file: KEY },
      );
    }
    const tagged = found ?? { index: emptyIndex(), etag: undefined };
    if (this.#last === undefined || !isOlder(tagged.index, this.#last.index)) this.#last = tagged;
    return tagged;
  }

  /**
   * Changes the index. The changes that wait at the same time are one put, each as if the ones before were done.
   *
   * @param change is called again with the current index if others were faster, or if the answer to a put was lost:
   *   then it must notice that it is done
   * @returns the index as it is then
   * @throws {SnapshotError} `UNAVAILABLE` if it is not known whether it was done; `UNSUPPORTED` if the bucket does not
   *   heed conditions; whatever `change` throws
   */
  update(change: Change): Promise<ObjectIndex> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ change, resolve, reject });
      if (!this.#isPutting) void this.#putAll();
    });
  }

  /** Puts what waits, until nothing does. */
  async #putAll(): Promise<void> {
    this.#isPutting = true;
    try {
      await Promise.resolve(); // what is asked for in this turn goes together
      while (this.#waiting.length > 0) await this.#putWaiting();
    } finally {
      this.#isPutting = false;
    }
  }

  /** Makes the changes that wait, also those that come meanwhile, in one put; or fails all of them. */
  async #putWaiting(): Promise<void> {
    let [conflicts, refusals, silences] = [0, 0, 0];
    let isFresh = false;
    try {
      for (let tagged = this.#last;;) {
        if (tagged === undefined) [tagged, isFresh] = [await this.#read(), true];
        const index = this.#change(tagged.index, isFresh);
        if (index === "refused") { // by the last known index, which may be old
          tagged = undefined;
          continue;
        }
        if (index === undefined) return;
        if (!this.#isHeeded && !CONDITIONS.every((name) => index.heeded.includes(name))) {
          await checkHeeded(this.#bucket, index); // before anything relies upon it
        }
        this.#isHeeded = true;
        let wait: number;
        try {
          const next = { ...index, heeded: CONDITIONS, generation: index.generation + 1n };
          const etag = await this.#bucket.swap(KEY, await encodeIndex(next), tagged.etag);
          if (etag !== undefined) return this.#settle({ index: next, etag });
          if (++conflicts > MAX_CONFLICTS) throw busy();
          wait = conflicts === 1 ? 0 : backoff(conflicts, CONFLICT);
        } catch (error) {
          if (isContended(error)) {
            if (++refusals > MAX_REFUSALS) throw error;
            wait = backoff(refusals - 1, CONTENTION, error);
            // If it was this process that put it last, it is known when the next put is taken.
            if (this.#put?.generation === tagged.index.generation) {
              wait = Math.max(this.#put.at + INTERVAL - performance.now(), wait);
            }
          } else if (wasNotAnswered(error) && ++silences <= MAX_SILENCES) {
            wait = backoff(silences - 1, RETRY, error);
          } else throw error;
        }
        if (wait > 0) await pause(wait, undefined);
        const before = tagged.index.generation;
        [tagged, isFresh] = [await this.#read(), true];
        if (tagged.index.generation !== before) refusals = 0; // somebody got through, and so will this one
      }
    } catch (error) {
      for (const { reject } of this.#waiting.splice(0)) reject(error);
    }
  }

  /**
   * Makes all changes that wait in memory. One that fails is done with, if the index is fresh; and so are all, if none
   * changes anything.
   *
   * @returns the index with all of them; nothing if it stays as it is; `refused` if one fails and the index may be old
   */
  #change(index: ObjectIndex, isFresh: boolean): ObjectIndex | "refused" | undefined {
    let changed: ObjectIndex | undefined;
    for (const waiting of [...this.#waiting]) {
      try {
        const parts = waiting.change(changed ?? index);
        if (parts !== undefined) changed = { ...(changed ?? index), ...parts };
      } catch (error) {
        if (!isFresh) return "refused";
        this.#waiting = this.#waiting.filter((other) => other !== waiting);
        waiting.reject(error);
      }
    }
    if (changed === undefined) { for (const { resolve } of this.#waiting.splice(0)) resolve(index); }
    else this.#carried = [...this.#waiting];
    return changed;
  }

  #settle(tagged: Tagged): void {
    this.#last = tagged;
    this.#put = { generation: tagged.index.generation, at: performance.now() };
    this.#waiting = this.#waiting.filter((waiting) => !this.#carried.includes(waiting));
    for (const { resolve } of this.#carried) resolve(tagged.index);
  }
}

function isOlder(index: ObjectIndex, before: ObjectIndex): boolean {
  return index.epoch === before.epoch && index.generation < before.generation;
}

function busy(): SnapshotError {
  return new SnapshotError("BUSY", `Others changed the index ${MAX_CONFLICTS} times meanwhile: retry later`);
}
