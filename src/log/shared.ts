/**
 * A log that others append to as well.
 *
 * @module
 */

import type { LogEntry } from "../state/mod.ts";

/** Options of {@linkcode SharedLog.propose}. */
export interface LogProposeOptions {
  /** The index that the entry must follow directly: `STALE` if something else was appended there first. */
  readonly expectedLastIndex?: bigint;
  /** Gives up waiting. The entry may be appended all the same. */
  readonly signal?: AbortSignal;
}

/**
 * The log of a group of replicas, which orders what any of them appends. Where a {@linkcode LogStorage} is told the index
 * of an entry, this says it. An entry that it has given, or acknowledged, is committed: no other ever has its index.
 */
export interface SharedLog extends AsyncDisposable {
  /** The index of the first entry, or the one that the first entry will have; as last heard of. */
  readonly firstIndex: bigint;
  /** The index of the last entry, `firstIndex - 1` if there is none; as last heard of. */
  readonly lastIndex: bigint;
  /** How many bytes the entries take; as last heard of. */
  readonly byteLength: number;

  /** Asks where the log begins and ends now. */
  refresh(): Promise<void>;

  /**
   * Appends an entry, once, however often it has to be tried.
   *
   * @param entry what it says
   * @param options the condition, and the signal
   * @returns the entry, durable
   * @throws {SnapshotError} `STALE` if the condition does not hold, `MALFORMED` if it is too large: it was not appended;
   *   `TIMEOUT`, `CANCELLED`, `CLOSED` if it is not known whether it was
   */
  propose(entry: Pick<LogEntry, "data" | "configuration">, options?: LogProposeOptions): Promise<LogEntry>;

  /**
   * The entries from an index on, in order, without a gap, each once; and those that are yet to come. Interruptions are
   * waited out: what this throws stays.
   *
   * @param from the first index
   * @param signal ends it: throws `CANCELLED`
   * @throws {SnapshotError} `NOT_FOUND` if the next entry was purged: it takes a snapshot to go on
   */
  follow(from: bigint, signal: AbortSignal): AsyncIterable<readonly LogEntry[]>;

  /** The term of an entry, also of the one before the first; nothing if it is not known. */
  term(index: bigint): Promise<bigint | undefined>;

  /**
   * Says that this member needs no entry up to and with an index any more; drops those that no member needs.
   *
   * @param index the last that is not needed
   */
  purge(index: bigint): Promise<void>;

  /** Closes the log. What is being proposed fails with `CLOSED`. */
  close(): Promise<void>;
}
