/**
 * A source while it is pulled from: what it has, how fast it is, how often it failed.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../../errors.ts";
import type { SnapshotManifest } from "../../snapshot/mod.ts";
import { pause } from "../../async/mod.ts";
import { ChunkSet } from "../../stream/mod.ts";
import type { Holder } from "./schedule.ts";
import type { HttpSource } from "./http_source.ts";

/** The first wait after a failure, in milliseconds; doubled with each. */
const FIRST_WAIT = 100;
/** The longest such wait. */
const LONGEST_WAIT = 5000;
/** The longest wait that a source can ask for. */
const LONGEST_ASKED = 60_000;
/** How often a source is asked what it has, while that grows, in milliseconds. */
const LOOK_AGAIN = 150;
/** Who has been asked so often and had nothing more does not get what it has asked for. */
const STUCK = 4;

/** A source of a pull. */
export class Peer implements Holder {
  /** The server. */
  readonly source: HttpSource;
  /** Which chunks it has; absent if all. */
  held: ChunkSet | undefined;
  /** Which chunks it has, or has asked somebody else for. */
  expected: ChunkSet | undefined;
  /** Bytes a second that a request gets. */
  rate = 0;
  /** Bytes that were taken from it. */
  bytes = 0;
  /** How often in a row it failed. */
  failures = 0;
  /** Why it is not used any more. */
  dropped: SnapshotError | undefined;
  /** How often in a row others were quicker with what it was asked for, and it had not given a byte of it. */
  outrun = 0;
  /** Until when nothing is asked of it, after a failure. */
  paused: Promise<void> | undefined;
  #look: Promise<void> | undefined;
  #nextLook = 0;
  /** How often it was asked in vain: it had nothing more. */
  #looks = 0;
  /** The most chunks that it had. To have others, and not more, is not to come further. */
  #most = 0;
  /** Whether it knows nothing of the snapshot. */
  #isStranger = false;

  /**
   * @param source the server
   * @param manifest what is pulled
   * @param isWhole whether it is known to have all of it: it gave the manifest
   */
  constructor(source: HttpSource, manifest: SnapshotManifest, isWhole: boolean) {
    this.source = source;
    this.held = isWhole ? undefined : new ChunkSet(manifest.content.count);
  }

  /** Whether it is time to ask what it has. */
  get isDue(): boolean {
    return this.held !== undefined && performance.now() >= this.#nextLook;
  }

  /** How long until it is. */
  get nextLook(): number {
    return this.held === undefined ? Infinity : Math.max(this.#nextLook - performance.now(), 0);
  }

  /**
   * Asks what it has. One that has nothing is asked less and less often.
   *
   * @throws {SnapshotError} what it failed with
   */
  look(manifest: SnapshotManifest, signal: AbortSignal): Promise<void> {
    return this.#look ??= (async () => {
      try {
        const { held, expected } = await this.#held(manifest, signal);
        this.expected = expected;
        const isWhole = held.bytes.every((byte, i) => byte === lastByte(held.count, i));
        const chunks = sizeOf(held);
        this.held = isWhole ? undefined : held;
        this.#looks = chunks > this.#most ? 0 : this.#looks + 1;
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

  /** Whether it gets more of the snapshot; or may be about to begin. Not counted on of one that fails, or gives nothing. */
  get isReceiving(): boolean {
    if (this.dropped !== undefined || this.failures > 0 || this.outrun > 0) return false;
    return this.held !== undefined && this.#looks < STUCK;
  }

  /** Whether it will have a chunk soon, or has it. */
  willHave(chunk: number): boolean {
    return this.isReceiving && this.expected !== undefined && this.expected.has(chunk);
  }

  /** Whether it is of no use to wait for it, as it does not get more. */
  hasStopped(attempts: number): boolean {
    return this.#isStranger || this.#looks >= attempts;
  }

  /** Notes how fast a request was. */
  measured(bytes: number, rate: number): void {
    if (bytes === 0) return;
    this.rate = this.rate === 0 ? rate : 0.7 * this.rate + 0.3 * rate;
  }
}

/** How many chunks are in a set. */
function sizeOf({ bytes }: ChunkSet): number {
  let size = 0;
  for (let byte of bytes) for (; byte !== 0; byte &= byte - 1) size++;
  return size;
}

/** The value that byte `i` of the set of all has. */
function lastByte(count: number, i: number): number {
  const rest = count - i * 8;
  return rest >= 8 ? 0xff : (1 << rest) - 1;
}

/** Whether an error may pass: the source does not answer, is busy, broke off. Not: it said no, or sent wrong bytes. */
export function isPassing(error: unknown): boolean {
  return hasCode(error, "UNAVAILABLE", "TIMEOUT", "BUSY", "CLOSED");
}

/** Waits before another try: longer each time, and as long as the source asks for; not if there is nothing to do. */
export async function backOff(
  failures: number,
  error: unknown,
  signal: AbortSignal | undefined,
  needless?: Promise<void>,
): Promise<void> {
  const asked = error instanceof SnapshotError ? Math.min(error.fields.retryAfter ?? 0, LONGEST_ASKED) : 0;
  const jitter = 0.75 + Math.random() / 2; // so that a thousand that lost one server do not come back together
  await pause(Math.max(Math.min(FIRST_WAIT * 2 ** (failures - 1), LONGEST_WAIT) * jitter, asked), signal, needless);
}
