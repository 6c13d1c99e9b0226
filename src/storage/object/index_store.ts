/**
 * Reading and changing the index: every change is one conditional put, so that of two one wins and the other sees it.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../../errors.ts";
import { pause } from "../../async/mod.ts";
import { decodeIndex, emptyIndex, encodeIndex, MAX_INDEX_BYTES, type ObjectIndex } from "./index.ts";
import { pauseAfter, type RetryingBucket } from "../../bucket/mod.ts";

/** The key of the index. */
const KEY = "index";
/** How often a change is tried before others are too busy. */
const MAX_CONFLICTS = 100;
/** How often a change is tried of which nothing is heard. */
const MAX_SILENCES = 5;

/** What a change makes of the index: its parts that change; nothing if it is so already. */
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

  /** What there was when it was read or changed last. */
  get last(): ObjectIndex | undefined {
    return this.#last?.index;
  }

  /**
   * What there is now. An index that is neither read nor listed is that of a bucket in which nothing was written yet, but not
   * where there was one before.
   *
   * @throws {SnapshotError} `CORRUPT`, `UNSUPPORTED`; `UNAVAILABLE` if what is read is older than what was read before; what
   *   the bucket fails with
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
          ? "The index was here, and is not any more: nothing is changed. If the bucket was emptied, open the storage again"
          : `The index that is read is older than what was read before: ${found.index.generation}, ${before.generation}`,
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
   * @param change is asked again with what there is, if others were faster, and also if the answer to a put was lost: it
   *   must see then that it was done
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
        tagged = await this.#read(); // it was refused by what was known, which may be old
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
        await pause(pauseAfter(silences, error), undefined);
      }
      tagged = await this.#read();
    }
  }

  /** Whether conditions mean something: there are services that pass them over. Looked at once, when the index was made. */
  async #checkConditions(index: ObjectIndex, etag: string): Promise<void> {
    const next = { ...index, generation: index.generation + 1n };
    const bytes = await encodeIndex(next);
    const after = await this.#bucket.swap(KEY, bytes, etag);
    if (after === undefined) return; // somebody else is at work already
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
  return new SnapshotError("BUSY", `Others changed the index ${MAX_CONFLICTS} times meanwhile: try again later`);
}
