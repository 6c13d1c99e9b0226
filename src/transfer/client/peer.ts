/**
 * A source while it is pulled from: what it has, how fast it is, how often it failed.
 *
 * @module
 */

import { hasCode, type SnapshotError } from "../../errors.ts";
import type { SnapshotManifest } from "../../snapshot/mod.ts";
import { ChunkSet } from "../../stream/mod.ts";
import type { Holder } from "./schedule.ts";
import type { HttpSource } from "./http_source.ts";
import { RetryBudget } from "./retry_budget.ts";

/** The longest time between two looks at what a source has, in milliseconds. */
const LONGEST_WAIT = 5000;
/** The time between two looks at what a source has, while that grows, in milliseconds. */
const LOOK_AGAIN = 150;
/** A source that has not said for so long what it has is not one that others spare, in milliseconds. */
const LONGEST_SILENCE = 1000;
/** A source that had nothing more at so many looks in a row does not get the chunks that it has requested. */
const STUCK = 4;

/** A source of a pull. */
export class Peer implements Holder {
  /** The server. */
  readonly source: HttpSource;
  /** The chunks that it has; absent if all. */
  held: ChunkSet | undefined;
  /** The chunks that it has, or has requested from somebody else. */
  expected: ChunkSet | undefined;
  /** Bytes a second that a request gets. */
  rate = 0;
  /** Bytes that were taken from it. */
  bytes = 0;
  /** The time for which it may fail. */
  readonly budget: RetryBudget;
  /** The error for which it is not used any more. */
  dropped: SnapshotError | undefined;
  /** The number of its requests in a row that others were quicker with, and of which it had not given a byte. */
  outrun = 0;
  /** Resolves when it may be used again, after a failure. */
  paused: Promise<void> | undefined;
  #look: Promise<void> | undefined;
  #nextLook = 0;
  /** The number of looks in a row at which it had nothing more. */
  #looks = 0;
  /** High-water mark of chunks held; other chunks, but no more, are no progress. */
  #most = 0;
  /** When it began to be asked, and whether it has answered. */
  readonly #began: number = performance.now();
  #hasAnswered = false;
  /** When it first had that many. */
  #grewAt: number = performance.now();
  readonly #retryFor: number;
  /** True if it knows nothing of the snapshot. */
  #isStranger = false;

  /**
   * @param source the server
   * @param manifest what is pulled
   * @param isWhole whether it is known to have all of it: it gave the manifest
   * @param retryFor for how long it may fail, or have nothing more, in milliseconds
   */
  constructor(source: HttpSource, manifest: SnapshotManifest, isWhole: boolean, retryFor: number) {
    this.source = source;
    this.budget = new RetryBudget(retryFor);
    this.#retryFor = retryFor;
    this.held = isWhole ? undefined : new ChunkSet(manifest.content.count);
  }

  /** True when it is time to look at what it has. */
  get isDue(): boolean {
    return this.held !== undefined && performance.now() >= this.#nextLook;
  }

  /** The time until then, in milliseconds. */
  get nextLook(): number {
    return this.held === undefined ? Infinity : Math.max(this.#nextLook - performance.now(), 0);
  }

  /**
   * Asks what it has. A source that has nothing more is asked less and less often.
   *
   * @throws {SnapshotError} what it failed with
   */
  look(manifest: SnapshotManifest, signal: AbortSignal): Promise<void> {
    return this.#look ??= (async () => {
      try {
        const { held, expected } = await this.#held(manifest, signal);
        this.#hasAnswered = true;
        this.expected = expected;
        const isWhole = held.bytes.every((byte, i) => byte === lastByte(held.count, i));
        const chunks = sizeOf(held);
        this.held = isWhole ? undefined : held;
        this.#looks = chunks > this.#most ? 0 : this.#looks + 1;
        if (chunks > this.#most) this.#grewAt = performance.now();
        this.#most = Math.max(this.#most, chunks);
        this.#nextLook = performance.now() + Math.min(LOOK_AGAIN * 2 ** Math.min(this.#looks, 5), LONGEST_WAIT);
      } finally {
        this.#look = undefined;
      }
    })();
  }

  async #held(manifest: SnapshotManifest, signal: AbortSignal): ReturnType<HttpSource["held"]> {
    try {
      const held = await this.source.held(manifest, signal);
      this.#isStranger = false;
      return held;
    } catch (error) {
      if (!hasCode(error, "NOT_FOUND", "BUSY")) throw error; // it may begin to fetch it
      this.#isStranger = true;
      const nothing = new ChunkSet(manifest.content.count);
      return { held: nothing, expected: nothing };
    }
  }

  /** True if it gets more of the snapshot, or may be about to begin; false if it fails or gives nothing. */
  get isReceiving(): boolean {
    if (this.dropped !== undefined || this.budget.failures > 0 || this.outrun > 0) return false;
    if (!this.#hasAnswered && performance.now() - this.#began > LONGEST_SILENCE) return false;
    return this.held !== undefined && this.#looks < STUCK;
  }

  /** Reports whether it has a chunk, or will have it soon. */
  willHave(chunk: number): boolean {
    return this.isReceiving && this.expected !== undefined && this.expected.has(chunk);
  }

  /** Reports whether it is useless to wait for it, since it does not get more. */
  get hasStopped(): boolean {
    return this.#isStranger || this.#looks > 1 && performance.now() - this.#grewAt >= this.#retryFor;
  }

  /** True unless it was dropped, fails, or lets others be quicker: its share of the requests is of use. */
  get isUseful(): boolean {
    return this.dropped === undefined && this.budget.failures === 0 && this.outrun === 0;
  }

  /** Forgets, once, that it was dropped for a wrong answer; reports whether it may be asked again. */
  revive(): boolean {
    if (!this.budget.doubts(this.dropped)) return false;
    this.dropped = undefined;
    this.budget.succeeded();
    return true;
  }

  /** Notes how fast a request was. */
  measured(bytes: number, rate: number): void {
    if (bytes === 0) return;
    this.rate = this.rate === 0 ? rate : 0.7 * this.rate + 0.3 * rate;
  }
}

/** The number of chunks in a set. */
function sizeOf({ bytes }: ChunkSet): number {
  let size = 0;
  for (let byte of bytes) for (; byte !== 0; byte &= byte - 1) size++;
  return size;
}

/** The value of byte `i` in the set of all chunks. */
function lastByte(count: number, i: number): number {
  const rest = count - i * 8;
  return rest >= 8 ? 0xff : (1 << rest) - 1;
}
