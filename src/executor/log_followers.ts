/**
 * The followers of a replica's log, as members for whom it is kept.
 *
 * @module
 */

import type { Clock } from "./clock.ts";
import type { Member } from "./purge.ts";

/** The most followers that are known at a time; the one that was silent for longest goes. */
const MOST = 1024;

/** What followers have said they have. */
export class LogFollowers {
  readonly #clock: Pick<Clock, "monotonic">;
  /** By name, the last one that was heard of last. */
  readonly #members = new Map<string, Member>();

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

  /** Forgets one for whom nothing is to be kept any more. */
  forget(name: string): void {
    this.#members.delete(name);
  }

  /** Returns all, for the rules of a purge. */
  members(): readonly Member[] {
    return [...this.#members.values()];
  }
}
