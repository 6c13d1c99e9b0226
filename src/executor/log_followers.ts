/**
 * The followers of a replica's log, as members for whom it is kept.
 *
 * @module
 */

import type { KnownFollower } from "../log/mod.ts";
import { withJson } from "../stream/mod.ts";
import type { Clock } from "./clock.ts";
import type { Member } from "./purge.ts";

/** The most followers that are known at a time. */
const MOST = 1024;
/** The silence after which another may have the place of a follower, in milliseconds: they speak every second. */
const SILENCE = 10_000;

/** The entries that followers have said they have. */
export class LogFollowers {
  readonly #clock: Pick<Clock, "monotonic">;
  /** By name, the last one that was heard of last. */
  readonly #members = new Map<string, Member>();

  readonly #holds = new Map<string, bigint>();
  /** The last entry that is kept for nobody any more. */
  #overdue = 0n;
  /** The last entry that could go but for them at some time, and that time. */
  #free: { readonly index: bigint; readonly since: number };

  /** @param clock tells when they were heard of */
  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
    this.#free = { index: 0n, since: clock.monotonic() };
  }

  /**
   * Notes that a follower has all up to an index, durably. While too many are known, and all of them speak, a new one
   * is not noted: names cost nothing, and must not take the place of those that were here before.
   */
  acknowledge(name: string, matchIndex: bigint): void {
    const now = this.#clock.monotonic();
    if (this.#members.size === MOST && !this.#members.has(name)) {
      const [oldest, { lastSeen }] = this.#members.entries().next().value!;
      if (now - lastSeen < SILENCE) return;
      this.#members.delete(oldest);
    }
    this.#members.delete(name);
    this.#members.set(name, { matchIndex, lastSeen: now });
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
    return [...this.#members].reverse().map(([name, { matchIndex, lastSeen }]) =>
      withJson({ name, matchIndex, silence: Math.max(now - lastSeen, 0) })
    );
  }

  /**
   * Returns all, for the rules of a purge.
   *
   * An entry that nothing else needs is kept for them no longer than twice the time-out: whoever may acknowledge could
   * otherwise hold the log for ever, by a name that does not move, or by ever new ones; and a follower that is as far
   * behind as that is sooner there by a snapshot.
   *
   * @param free the last entry that may go but for them
   * @param timeout the time-out, in milliseconds; 0 for none
   */
  members(free: bigint, timeout: number): readonly Member[] {
    const now = this.#clock.monotonic();
    if (timeout > 0 && now - this.#free.since >= timeout) {
      this.#overdue = this.#free.index;
      this.#free = { index: free, since: now };
    }
    const overdue = this.#overdue;
    return Array.from(this.#members.values(), ({ matchIndex, lastSeen }) => ({
      matchIndex: matchIndex < overdue ? overdue : matchIndex,
      lastSeen,
    }));
  }
}
