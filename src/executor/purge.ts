/**
 * The part of the log that may be purged: the rules of Ratis's `StateMachineUpdater` and `RaftLogBase.purge` without
 * their gaps.
 *
 * @module
 */

import {
  checkFunction,
  checkIndex,
  checkOptions,
  type Checks,
  checkTimeout,
  limitOf,
  number,
  oneOf,
  required,
} from "../checks.ts";

/** See {@linkcode PurgeOptions.safeIndexTimeout}. */
export const SAFE_INDEX_TIMEOUT = 600_000;

/**
 * The state of a member of the group, as known here.
 *
 * @category Replica
 * @see {@linkcode Replica}
 */
export interface Member {
  /** The last entry that it is known to have. */
  readonly matchIndex: bigint;
  /**
   * The time of its last sign of life, by the clock's `monotonic()` (by default `performance.now()`). Not `Date.now()`:
   * if the wall clock jumped all members would seem dead, and the entries that they need would be purged.
   */
  readonly lastSeen: number;
}

/**
 * Options of a purge.
 *
 * @category Replica
 * @see {@linkcode Replica}
 */
export interface PurgeOptions {
  /**
   * True to let members that lag behind the snapshot install one. If false, the log is kept for them, as long as they
   * are alive. `"newest"` purges up to the newest snapshot, too, though older ones are retained: all of it is read
   * again before each purge, and should it go bad later, there is no other way to this state, since the log does not
   * lead on from the older ones.
   *
   * @default {false}
   */
  readonly upToSnapshotIndex?: boolean | "newest";
  /**
   * The number of entries before the last that are kept in any case.
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
   * The time that a silent member holds purging back, in milliseconds of a monotonic clock; 0 for no limit: a dead one
   * does so for ever, as in Ratis. Those who follow the log over HTTP, who can be anybody, hold an entry that nothing
   * else needs for twice this time at the most, also if they speak, and not at all while the log has no room: they
   * install a snapshot then. Of a disk-based machine also the time for which the log leads on from a snapshot
   * that others asked for.
   *
   * @default {600000}
   */
  readonly safeIndexTimeout?: number;
  /** The other members; by default none. */
  readonly members?: () => Iterable<Member>;
}

/** The state that {@linkcode purgeIndex} decides by. */
export interface PurgeState {
  /** The newest snapshot that counts: its state was saved or loaded here, or it was tried. */
  readonly snapshotIndex: bigint;
  /**
   * The oldest snapshot that is kept, for fallback or because somebody is reading it; 0 while there are fewer snapshots
   * than are to be kept, since the fallback is then the log from its first entry on.
   */
  readonly oldestSnapshot: bigint;
  /** The first entry of the log. */
  readonly firstIndex: bigint;
  /** The last entry of the log. */
  readonly lastIndex: bigint;
  /** The present time, by the clock's `monotonic()`. */
  readonly now: number;
}

/**
 * The index up to which the log may be purged now.
 *
 * @param state the state of snapshots and log
 * @param options see {@linkcode PurgeOptions}
 * @returns the index; nothing if there is nothing to purge, or too little
 */
export function purgeIndex(state: PurgeState, options: PurgeOptions): bigint | undefined {
  const { upToSnapshotIndex = false, preserve = 0, gap = 1024, safeIndexTimeout = SAFE_INDEX_TIMEOUT, members } =
    checkOptions(
      options,
      purgeChecks(),
    );
  checkPurgeState(state);
  const limits = [
    state.snapshotIndex,
    // A fallback to it loses nothing, and a replica that downloads it finds the entries after it. With two snapshots
    // retained this is braft's rule of truncating up to the last but one, and not at all behind the first.
    state.oldestSnapshot,
  ];
  if (preserve > 0) limits.push(preserve < state.lastIndex ? state.lastIndex - BigInt(Math.ceil(preserve)) : 0n);
  if (upToSnapshotIndex === false) {
    for (const member of members?.() ?? []) {
      const { matchIndex, lastSeen } = checkMember(member);
      if (state.now - lastSeen < limitOf(safeIndexTimeout)) limits.push(matchIndex);
    }
  }
  const index = limits.reduce((lowest, limit) => limit < lowest ? limit : lowest);
  return index >= state.firstIndex && index - (state.firstIndex - 1n) >= gap ? index : undefined;
}

/** Checks the state of snapshots and log. */
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

/** Checks a member: if its fields were no numbers, all entries that it needs would be purged. */
export function checkMember(member: Member): Member {
  return checkOptions(member, {
    matchIndex: required(checkIndex),
    lastSeen: required(number(-Infinity)),
  }, "A member");
}

/** The checks of a purge's options. */
export function purgeChecks(): Checks<PurgeOptions> {
  return {
    upToSnapshotIndex: oneOf(true, false, "newest"),
    preserve: number(0),
    gap: number(0),
    safeIndexTimeout: checkTimeout,
    members: checkFunction,
  };
}
