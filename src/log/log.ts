/**
 * The log behind the snapshots.
 *
 * @module
 */

import { checkConfiguration, type Configuration, type LogEntry } from "../state/mod.ts";
import { checkBytes, checkIndex, copyBytes, unfit } from "../checks.ts";
import { messageOf, SnapshotError } from "../errors.ts";

/**
 * Keeps the entries after the last snapshot, and some before. Indices have no gaps: the log holds
 * `firstIndex … lastIndex`, and is empty if `lastIndex` is `firstIndex - 1`.
 */
export interface LogStorage extends AsyncDisposable {
  /** The index of the first entry, or the one that the first entry will have. */
  readonly firstIndex: bigint;
  /** The index of the last entry; `firstIndex - 1` if there is none. */
  readonly lastIndex: bigint;
  /** How many bytes the entries have: their data, without what keeping them costs. */
  readonly byteLength: number;
  /** The group whose entries these are, if the log knows it: a `Replica` of another does not open with it. */
  readonly group?: string | undefined;

  /**
   * Tells the log whose entries these are, for good. Done by a `Replica` that knows its group.
   *
   * @param group the name
   * @throws {SnapshotError} `FORBIDDEN` if it is of another already, `MALFORMED` if that is no name of a group
   */
  bindGroup?(group: string): void | Promise<void>;

  /**
   * Adds entries at the end. They are durable when this resolves; of several calls at once, all in one go.
   *
   * @throws {SnapshotError} `MALFORMED` if they do not follow the last entry without a gap, or a term falls; `NO_SPACE`
   */
  append(entries: readonly LogEntry[]): Promise<void>;

  /**
   * The entries from an index on, in order, up to the last that there is when they are read.
   *
   * @param from the first index
   * @throws {SnapshotError} `NOT_FOUND` if it was purged
   */
  entries(from: bigint): AsyncIterable<LogEntry>;

  /** The term of an entry, also of the one before the first if it was purged; nothing if it is not known. */
  term(index: bigint): Promise<bigint | undefined>;

  /** Drops all entries up to and with an index; not beyond the last. Nothing happens if they are gone already. */
  purge(index: bigint): Promise<void>;

  /** Drops all entries. The next has `index + 1`; the term of the one before it is `term`. After an install. */
  reset(index: bigint, term: bigint): Promise<void>;

  /** Closes the log. */
  close(): Promise<void>;
}

/**
 * Checks that entries may be added.
 *
 * @param entries what is to be added
 * @param lastIndex the index of the last entry that is there
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
  for (const entry of entries as readonly LogEntry[]) { // not map, which passes over what is not there
    const { index, term, data: given, configuration } = membersOf(entry, "An item of entries");
    checkIndex(index, "The index of an entry");
    checkIndex(term, "The term of an entry");
    if (index !== lastIndex + 1n) {
      throw new SnapshotError("MALFORMED", `Entry ${index} does not follow entry ${lastIndex} of the log`, {
        index,
        expected: lastIndex + 1n,
        actual: index,
      });
    }
    if (term < lastTerm) {
      throw new SnapshotError(
        "MALFORMED",
        `Entry ${index} has term ${term}, lower than ${lastTerm} of the one before`,
        {
          index,
          expected: lastTerm,
          actual: term,
        },
      );
    }
    lastIndex = index;
    lastTerm = term;
    const data = checkBytes(given, "The data of an entry");
    checkConfiguration(configuration, "The configuration of an entry");
    checked.push({ index, term, data, ...(configuration !== undefined && { configuration }) });
  }
  return checked;
}

/** The members of an entry, each read once: what they are must be what was checked. */
function membersOf<T extends Partial<LogEntry>>(entry: T, what: string): T {
  if (typeof entry !== "object" || entry === null) throw unfit(what, "a LogEntry", entry);
  try {
    const { index, term, data, configuration } = entry;
    return { index, term, data, configuration } as T;
  } catch (cause) {
    throw new SnapshotError("MALFORMED", `${what} cannot be read: ${messageOf(cause)}`, { cause });
  }
}

/** What an entry says, checked, and copied: it is kept, and whoever gave it may change it. */
export function ownContent(
  entry: Pick<LogEntry, "data" | "configuration">,
  what: string,
): Pick<LogEntry, "data" | "configuration"> {
  const { data, configuration } = membersOf(entry, what);
  const own = copyBytes(data, `${what}.data`);
  checkConfiguration(configuration, `${what}.configuration`);
  return configuration === undefined ? { data: own } : { data: own, configuration: ownConfiguration(configuration) };
}

/** A copy of what was checked. */
export function ownConfiguration({ peers, oldPeers }: Configuration): Configuration {
  return { peers: [...peers], ...(oldPeers !== undefined && { oldPeers: [...oldPeers] }) };
}

/** The error for entries that are not there any more. */
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
