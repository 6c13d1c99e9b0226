/**
 * The log behind the snapshots.
 *
 * @module
 */

import { checkConfiguration, type Configuration, Entry, type LogEntry } from "../state/mod.ts";
import { checkBytes, checkIndex, copyBytes, integer, unfit } from "../checks.ts";
import { messageOf, SnapshotError } from "../errors.ts";

/** The latest time of an entry: the last that a `Date` can say. */
export const MAX_TIME = 8.64e15;

/**
 * Keeps the entries after the last snapshot, and some before. Indices have no gaps: the log holds
 * `firstIndex … lastIndex`, and is empty if `lastIndex` is `firstIndex - 1`.
 *
 * @category Replica
 * @see {@linkcode Replica}
 */
export interface LogStorage extends AsyncDisposable {
  /** The index of the first entry, or the one that the first entry will have. */
  readonly firstIndex: bigint;
  /** The index of the last entry; `firstIndex - 1` if there is none. */
  readonly lastIndex: bigint;
  /** The number of bytes of the entries' data, without the overhead of storing them. */
  readonly byteLength: number;
  /**
   * The group whose entries these are, if the log knows it: a `Replica` of another group does not open with this log.
   */
  readonly group?: string | undefined;

  /**
   * Binds the log to a group for good. A `Replica` that knows its group calls this.
   *
   * @param group the name
   * @throws {SnapshotError} `FORBIDDEN` if it is bound to another already, `MALFORMED` if that is no name of a group
   */
  bindGroup?(group: string): void | Promise<void>;

  /**
   * Adds entries at the end. They are durable when this resolves; concurrent calls are made durable together.
   *
   * @throws {SnapshotError} `MALFORMED` if they do not follow the last entry without a gap, or a term falls; `NO_SPACE`
   */
  append(entries: readonly LogEntry[]): Promise<void>;

  /**
   * The entries from an index on, in order, up to the last one at the time of reading.
   *
   * @param from the first index
   * @throws {SnapshotError} `NOT_FOUND` if it was purged
   */
  entries(from: bigint): AsyncIterable<LogEntry>;
  /** As {@linkcode entries}, several at a time: a log has this if that costs it less. */
  batches?(from: bigint): AsyncIterable<readonly LogEntry[]>;

  /** The term of an entry, also of the one before the first if that was purged; nothing if it is not known. */
  term(index: bigint): Promise<bigint | undefined>;

  /**
   * The digest of all entries up to and with an index, and of what came before the log: see `log/chain.ts`. A log that
   * has this can be followed and backed up. From the first call on the log keeps it, whatever is purged.
   *
   * @param index from the one before the first entry up to the last
   * @returns nothing if the log does not have that index
   */
  digest?(index: bigint): Promise<Uint8Array | undefined>;

  /**
   * Notes the digest of what came before a log that has no entries, as the one says who has those.
   *
   * @throws {SnapshotError} `STALE` if the log has entries
   */
  bindDigest?(digest: Uint8Array): Promise<void>;

  /** Drops all entries up to and including an index, at most up to the last; no effect if they are gone already. */
  purge(index: bigint): Promise<void>;

  /** Drops all entries after an install. The next entry has `index + 1`; the term of the one before it is `term`. */
  reset(index: bigint, term: bigint): Promise<void>;

  /** Closes the log. */
  close(): Promise<void>;
}

/**
 * Checks that entries may be added.
 *
 * @param entries what is to be added
 * @param lastIndex the index of the last entry in the log
 * @param lastTerm its term
 * @returns the entries, their data as plain `Uint8Array`s, whatever kind of buffer it came in; not copied, mostly
 * @throws {SnapshotError} `MALFORMED`
 */
export function checkFollows(
  entries: readonly LogEntry[],
  lastIndex: bigint,
  lastTerm: bigint,
): readonly LogEntry[] {
  if (!Array.isArray(entries)) throw unfit("entries", "an array", entries);
  checkIndex(lastIndex, "lastIndex");
  checkIndex(lastTerm, "lastTerm");
  const checked: LogEntry[] = [];
  const checkTime = integer(0, MAX_TIME);
  for (const entry of entries as readonly LogEntry[]) { // not map, which skips holes
    const { index, term, data: given, configuration, time } = membersOf(entry, "An item of entries");
    checkIndex(index, "The index of an entry");
    checkIndex(term, "The term of an entry");
    checkNext(index, term, lastIndex, lastTerm);
    [lastIndex, lastTerm] = [index, term];
    const data = checkBytes(given, "The data of an entry");
    checkConfiguration(configuration, "The configuration of an entry");
    if (time !== undefined) checkTime(time, "The time of an entry");
    const base = time === undefined ? { index, term, data } : { index, term, data, time };
    checked.push(configuration === undefined ? base : { ...base, configuration });
  }
  return checked;
}

/**
 * Checks that entries which were checked themselves follow one another.
 *
 * @param entries what is to be added
 * @param lastIndex the index of the entry before them
 * @param lastTerm its term
 * @throws {SnapshotError} `MALFORMED`
 */
export function checkOrder(entries: readonly LogEntry[], lastIndex: bigint, lastTerm: bigint): void {
  for (const { index, term } of entries) {
    checkNext(index, term, lastIndex, lastTerm);
    [lastIndex, lastTerm] = [index, term];
  }
}

function checkNext(index: bigint, term: bigint, lastIndex: bigint, lastTerm: bigint): void {
  if (index !== lastIndex + 1n) {
    throw new SnapshotError("MALFORMED", `Entry ${index} does not follow entry ${lastIndex} of the log`, {
      index,
      expected: lastIndex + 1n,
      actual: index,
    });
  }
  if (term < lastTerm) {
    throw new SnapshotError("MALFORMED", `Entry ${index} has term ${term}, lower than ${lastTerm} of the one before`, {
      index,
      expected: lastTerm,
      actual: term,
    });
  }
}

/** The members of an entry, each read once, so that the values used are the values checked. */
function membersOf<T extends Partial<LogEntry>>(entry: T, what: string): T {
  if (typeof entry !== "object" || entry === null) throw unfit(what, "a LogEntry", entry);
  try {
    const { index, term, data, configuration, time } = entry;
    return { index, term, data, configuration, time } as T;
  } catch (cause) {
    throw new SnapshotError("MALFORMED", `${what} cannot be read: ${messageOf(cause)}`, { cause });
  }
}

/** The content of an entry, checked, and copied since the caller may change the original. */
export function ownContent(
  entry: Pick<LogEntry, "data" | "configuration" | "time">,
  what: string,
): Pick<LogEntry, "data" | "configuration" | "time"> {
  const { data, configuration, time } = membersOf(entry, what);
  const own = copyBytes(data, `${what}.data`);
  checkConfiguration(configuration, `${what}.configuration`);
  if (time !== undefined) integer(0, MAX_TIME)(time, `${what}.time`);
  return {
    data: own,
    ...(configuration !== undefined && { configuration: ownConfiguration(configuration) }),
    ...(time !== undefined && { time }),
  };
}

/** An entry, as {@linkcode ownContent}; its index and term were checked. */
export function ownEntry(entry: LogEntry, what: string): LogEntry {
  const { data, time, configuration } = ownContent(entry, what);
  return new Entry(entry.index, entry.term, data, time, configuration);
}

/** A copy of a checked configuration. */
export function ownConfiguration({ peers, oldPeers }: Configuration): Configuration {
  return { peers: [...peers], ...(oldPeers !== undefined && { oldPeers: [...oldPeers] }) };
}

/** The error for entries that were purged. */
export function purged(from: bigint, firstIndex: bigint): SnapshotError {
  return new SnapshotError(
    "NOT_FOUND",
    `Entry ${from} was purged: the log begins with ${firstIndex}; install a snapshot`,
    {
      index: from,
      expected: firstIndex,
    },
  );
}
