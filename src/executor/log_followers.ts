/**
 * The followers of a replica's log, as members for whom it is kept.
 *
 * @module
 */

import type { KnownFollower } from "../log/mod.ts";
import type { Clock } from "./clock.ts";
import type { Member } from "./purge.ts";

/** The most followers that are known at a time; the one that was silent for longest goes. */
const MOST = 1024;

/** What followers have said they have. */
export class LogFollowers {
  readonly #clock: Pick<Clock, "monotonic">;
  /** By name, the last one that was heard of last. */
  readonly #members = new Map<string, Member>();

  readonly #holds = new Map<string, bigint>();

  /** @param clock tells when they were heard of */
  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** Notes that a follower has all up to an index, durably. */
  acknowledge(name: string, matchIndex: bigint): void {
    this.#members.delete(name);
    this.#members.set(name, { matchIndex, lastSeen: this.#clock.monotonic() });
    if (this.#members.size <= MOST) return;
    for (const oldest of this.#members.keys()) {
      this.#members.delete(oldest);
      break;
    }
  }

  /** Keeps the log behind an index for somebody, or no longer. */
  hold(name: string, index: bigint | undefined): void {
    if (index === undefined) this.#holds.delete(name);
    else this.#holds.set(name, index);
  }

  /** The last entry that nobody has held back; absent if nobody holds any. */
  get held(): bigint | undefined {
    let lowest: bigint | undefined;
    for (const index of this.#holds.values()) if (lowest === undefined || index < lowest) lowest = index;
    return lowest;
  }

  /** Returns all with their names, the one that was heard of last first. */
  named(): readonly KnownFollower[] {
    const now = this.#clock.monotonic();
    return [...this.#members].reverse().map(([name, { matchIndex, lastSeen }]) => ({
      name,
      matchIndex,
      silence: Math.max(now - lastSeen, 0),
    }));
  }

  /** Returns all, for the rules of a purge. */
  members(): readonly Member[] {
    return [...this.#members.values()];
  }
}
