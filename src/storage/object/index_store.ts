/**
 * Reads and changes the index. Every change is one conditional put: of two, one wins, and the other notices.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../../errors.ts";
import { backoff, pause } from "../../async/mod.ts";
import { decodeIndex, emptyIndex, encodeIndex, MAX_INDEX_BYTES, type ObjectIndex } from "./index.ts";
import { RETRY, type RetryingBucket } from "../../bucket/mod.ts";

/** The key of the index. */
const KEY = "index";
/** The attempts at a change before others count as too busy. */
const MAX_CONFLICTS = 100;
/** The retries of a change that gets no answer. */
const MAX_SILENCES = 5;

/** A change of the index: returns the parts that change, or nothing if the change is already done. */
export type Change = (index: ObjectIndex) => Partial<ObjectIndex> | undefined;

interface Tagged {
  readonly index: ObjectIndex;
  readonly etag: string | undefined;
}

/** The one index of a storage. */
export class IndexStore {
  readonly #bucket: RetryingBucket;
  #last: Tagged | undefined;

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
   * Changes the index.
   *
   * @param change is called again with the current index if others were faster, or if the answer to a put was lost:
   *   then it must notice that it is done
   * @returns the index as it is then
   * @throws {SnapshotError} `UNAVAILABLE` if it is not known whether it was done; whatever `change` throws
   */
  async update(change: Change): Promise<ObjectIndex> {
    let tagged = this.#last ?? await this.#read();
    let silences = 0;
    for (let tries = 1;; tries++) {
      let changed: Partial<ObjectIndex> | undefined;
      try {
        changed = change(tagged.index);
      } catch (error) {
        if (tries > 1) throw error;
        tagged = await this.#read(); // it was refused by the last known index, which may be old
        continue;
      }
      if (changed === undefined) return tagged.index;
      const index = { ...tagged.index, ...changed, generation: tagged.index.generation + 1n };
      try {
        const etag = await this.#bucket.swap(KEY, await encodeIndex(index), tagged.etag);
        if (etag !== undefined) {
          this.#last = { index, etag };
          if (tagged.etag === undefined) await this.#checkConditions(index, etag);
          return index;
        }
        if (tries >= MAX_CONFLICTS) throw busy();
        if (tries > 1) await pause(Math.random() * 20 * Math.min(tries, 10), undefined);
      } catch (error) {
        if (!hasCode(error, "UNAVAILABLE", "TIMEOUT") || ++silences > MAX_SILENCES) throw error;
        await pause(backoff(silences - 1, RETRY, error), undefined);
      }
      tagged = await this.#read();
    }
  }

  /** Checks once, when the index was made, that the bucket honours conditions: some services ignore them. */
  async #checkConditions(index: ObjectIndex, etag: string): Promise<void> {
    const next = { ...index, generation: index.generation + 1n };
    const bytes = await encodeIndex(next);
    const after = await this.#bucket.swap(KEY, bytes, etag);
    if (after === undefined) return; // another process is at work already
    this.#last = { index: next, etag: after };
    if (await this.#bucket.swap(KEY, bytes, undefined) !== undefined) throw unheeded("If-None-Match");
    if (await this.#bucket.swap(KEY, bytes, etag) !== undefined) throw unheeded("If-Match");
  }
}

function isOlder(index: ObjectIndex, before: ObjectIndex): boolean {
  return index.epoch === before.epoch && index.generation < before.generation;
}

function unheeded(condition: string): SnapshotError {
  return new SnapshotError(
    "UNSUPPORTED",
    `The bucket does not heed ${condition}: of two writers both would win. Use one with conditional puts`,
  );
}

function busy(): SnapshotError {
  return new SnapshotError("BUSY", `Others changed the index ${MAX_CONFLICTS} times meanwhile: retry later`);
}
