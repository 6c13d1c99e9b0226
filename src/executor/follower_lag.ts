/**
 * The lag of a follower behind its source.
 *
 * @module
 */

import type { LogHeartbeat } from "../log/mod.ts";
import type { LogEntry } from "../state/mod.ts";
import type { FollowerStatus } from "./follow_options.ts";

/** Measures the lag of a follower: by what its source says that it has, and by the entries that came. */
export class FollowerLag {
  #sourceIndex = 0n;
  /** The source's clock, and ours when it said so. */
  #sourceTime: { readonly time: number; readonly at: number } | undefined;
  #appliedTime: number | undefined;
  #received = { entries: 0, bytes: 0 };
  #isCaughtUp = false;

  /** The last entry that the source is known to have. */
  get sourceIndex(): bigint {
    return this.#sourceIndex;
  }

  /** Notes what the source says that it has. */
  heard({ last, time }: LogHeartbeat): void {
    this.#sourceIndex = last;
    this.#sourceTime = { time, at: performance.now() };
  }

  /** Notes entries that were appended here; at least one. */
  appended(entries: readonly LogEntry[]): void {
    const { index, time } = entries.at(-1)!;
    for (const { data } of entries) this.#received.bytes += data.length;
    this.#received.entries += entries.length;
    this.#appliedTime = time;
    if (index > this.#sourceIndex) this.#sourceIndex = index;
  }

  /** Reports whether the follower has caught up only now, with so many entries applied. */
  hasCaughtUp(applied: bigint): boolean {
    const was = this.#isCaughtUp;
    this.#isCaughtUp = applied >= this.#sourceIndex;
    return this.#isCaughtUp && !was;
  }

  /** The lag, with so many entries applied. */
  at(applied: bigint): FollowerStatus["lag"] {
    const entries = this.#sourceIndex > applied ? this.#sourceIndex - applied : 0n;
    const each = this.#received.entries === 0 ? 0 : this.#received.bytes / this.#received.entries;
    const { time = 0, at = 0 } = this.#sourceTime ?? {};
    const since = this.#appliedTime === undefined ? 0 : time + performance.now() - at - this.#appliedTime;
    return {
      entries,
      bytes: Math.round(Number(entries) * each),
      duration: entries === 0n ? 0 : Math.max(since, 0),
    };
  }
}
