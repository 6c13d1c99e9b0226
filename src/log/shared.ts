/**
 * A log to which several members append.
 *
 * @module
 */

import type { FailingTask } from "../async/mod.ts";
import type { LogEntry } from "../state/mod.ts";

/**
 * Options of {@linkcode SharedLog.propose}.
 *
 * @category Replica
 * @see {@linkcode Replica}
 */
export interface LogProposeOptions {
  /** The index that the entry must follow directly: `STALE` if something else was appended there first. */
  readonly expectedLastIndex?: bigint;
  /** Cancels the wait. The entry may be appended all the same. */
  readonly signal?: AbortSignal;
}

/**
 * The log of a group of replicas, which orders what any of them appends. A {@linkcode LogStorage} is told the index of
 * an entry; this log assigns it. An entry that it has given, or acknowledged, is committed: no other ever has its
 * index.
 *
 * @category Replica
 * @see {@linkcode Replica}
 */
export interface SharedLog extends AsyncDisposable {
  /** The index of the first entry, or the one that the first entry will have; as last known. */
  readonly firstIndex: bigint;
  /** The index of the last entry, `firstIndex - 1` if there is none; as last known. */
  readonly lastIndex: bigint;
  /** The number of bytes that the entries take; as last known. */
  readonly byteLength: number;

  /** Asks where the log begins and ends now. */
  refresh(): Promise<void>;

  /**
   * Appends an entry exactly once, whatever the number of attempts.
   *
   * @param entry its content
   * @param options the condition, and the signal
   * @returns the entry, durable
   * @throws {SnapshotError} `STALE` if the condition does not hold, `MALFORMED` if it is too large: it was not
   *   appended;
   *   `TIMEOUT`, `CANCELLED`, `CLOSED` if it is not known whether it was
   */
  propose(entry: Pick<LogEntry, "data" | "configuration">, options?: LogProposeOptions): Promise<LogEntry>;

  /**
   * The entries from an index on, including those yet to come: in order, without a gap, each once. Reconnects by
   * itself; an error that it throws is final.
   *
   * @param from the first index
   * @param signal ends it: throws `CANCELLED`
   * @throws {SnapshotError} `NOT_FOUND` if the next entry was purged: a snapshot is needed to continue
   */
  follow(from: bigint, signal: AbortSignal): AsyncIterable<readonly LogEntry[]>;

  /** The term of an entry, also of the one before the first; nothing if it is not known. */
  term(index: bigint): Promise<bigint | undefined>;

  /**
   * Releases this member's claim on the entries up to and including an index; drops those that no member needs.
   *
   * @param index the last entry that is not needed
   */
  purge(index: bigint): Promise<void>;

  /** The background tasks that failed the last time; absent if it has none. A replica's status has them too. */
  failing?(): readonly FailingTask[];

  /** Closes the log. Pending proposals fail with `CLOSED`. */
  close(): Promise<void>;
}
