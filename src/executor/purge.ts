/**
 * How much of the log may go: Ratis's rules (facts: `StateMachineUpdater`, `RaftLogBase.purge`) with the holes closed.
 *
 * @module
 */

import {
  checkBoolean,
  checkFunction,
  checkIndex,
  checkOptions,
  type Checks,
  duration,
  number,
  required,
} from "../checks.ts";

/** A member of the group, as far as it is known. */
export interface Member {
  /** The last entry that it is known to have. */
  readonly matchIndex: bigint;
  /**
   * When it was heard of last, as the clock's `monotonic()` (by default `performance.now()`) said then. Not `Date.now()`:
   * a wall clock that jumps would make everybody seem dead, and the log that they need would be purged.
   */
  readonly lastSeen: number;
}

/** What may be purged. */
export interface PurgeOptions {
  /**
   * Whether members that lag behind the snapshot are left to install one. If not, the log is kept for them, as long as
   * they are alive.
   *
   * @default {false}
   */
  readonly upToSnapshotIndex?: boolean;
  /**
   * Entries before the last that are kept in any case.
   *
   * @default {0}
   */
  readonly preserve?: number;
  /**
   * Fewer entries than this are not worth a purge.
   *
   * @default {1024}
   */
  readonly gap?: number;
  /**
   * How long a member that is not heard of holds purging back, in milliseconds of a monotonic clock. In Ratis a dead one
   * does so for ever.
   *
   * @default {600000}
   */
  readonly safeIndexTimeout?: number;
  /** The other members; by default none. */
  readonly members?: () => Iterable<Member>;
}

/** What {@linkcode purgeIndex} goes by. */
export interface PurgeState {
  /** The newest snapshot that counts: its state was saved or loaded here, or it was tried. */
  readonly snapshotIndex: bigint;
  /**
   * The oldest snapshot that is kept, for fallback or because somebody is reading it; 0 as long as there are fewer than
   * are to be kept, since what one falls back to then is the log from its first entry on.
   */
  readonly oldestSnapshot: bigint;
  /** The first entry of the log. */
  readonly firstIndex: bigint;
  /** The last entry of the log. */
  readonly lastIndex: bigint;
  /** What the clock's `monotonic()` says now. */
  readonly now: number;
}

/**
 * The index up to which the log may be purged now.
 *
 * @param state where snapshots and log stand
 * @param options what may be purged
 * @returns the index; nothing if there is nothing to purge, or too little
 */
export function purgeIndex(state: PurgeState, options: PurgeOptions): bigint | undefined {
  const { upToSnapshotIndex = false, preserve = 0, gap = 1024, safeIndexTimeout = 600_000, members } = checkOptions(
    options,
    purgeChecks(),
  );
  checkPurgeState(state);
  const limits = [
    state.snapshotIndex,
    // So that falling back to it loses nothing, and who downloads it finds what comes after. With two snapshots
    // retained this is braft's rule of truncating up to the last but one, and not at all behind the first.
    state.oldestSnapshot,
  ];
  if (preserve > 0) limits.push(preserve < state.lastIndex ? state.lastIndex - BigInt(Math.ceil(preserve)) : 0n);
  if (!upToSnapshotIndex) {
    for (const member of members?.() ?? []) {
      const { matchIndex, lastSeen } = checkMember(member);
      if (state.now - lastSeen < safeIndexTimeout) limits.push(matchIndex);
    }
  }
  const index = limits.reduce((lowest, limit) => limit < lowest ? limit : lowest);
  return index >= state.firstIndex && index - (state.firstIndex - 1n) >= gap ? index : undefined;
}

/** Checks where snapshots and log stand. */
export function checkPurgeState(state: PurgeState): PurgeState {
  const index = required(checkIndex);
  return checkOptions(state, {
    snapshotIndex: index,
    oldestSnapshot: index,
    firstIndex: index,
    lastIndex: index,
    now: required(number(0, Number.MAX_VALUE)),
  }, "state");
}

/** Checks a member: of one whose numbers are none, everything that it needs would be purged. */
export function checkMember(member: Member): Member {
  return checkOptions(member, {
    matchIndex: required(checkIndex),
    lastSeen: required(number(-Infinity)),
  }, "A member");
}

/** The checks of what may be purged. */
export function purgeChecks(): Checks<PurgeOptions> {
  return {
    upToSnapshotIndex: checkBoolean,
    preserve: number(0),
    gap: number(0),
    safeIndexTimeout: duration(),
    members: checkFunction,
  };
}
