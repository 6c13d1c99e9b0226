/**
 * A segment of a log in OPFS: a file that grows at its end.
 *
 * ```text
 * <directory>/log-<reset>-<first entry>          one for each MiB, about; the highest reset counts
 * segment = header, (batch | header)…, end       records of log/records.ts: a stream of a log
 * ```
 *
 * A header behind the first says that the log begins elsewhere by now, since it was purged, or is of a group.
 *
 * Each record is written alone, and synced. Then the end is written behind it, which is not synced, and overwritten by
 * the next record. So a record that is not right was torn if nothing that is right is behind it: nobody was told that
 * it was durable. If something is, it was durable, and has changed since.
 *
 * @module
 */

import { hasCode, messageOf, SnapshotError } from "../../errors.ts";
import type { LogEntry } from "../../state/mod.ts";
import { equal, toHex } from "../../stream/mod.ts";
import {
  BATCH_BYTES,
  BATCH_ENTRIES,
  encodeBatch,
  encodeHeader,
  hasRecord,
  type LogBatch,
  type LogEnd,
  type LogHeader,
  type LogRecord,
  MAX_RECORD,
  recordAt,
} from "../records.ts";

/** An entry, and the history up to it. */
export interface Position {
  /** Its index. */
  readonly index: bigint;
  /** Its term. */
  readonly term: bigint;
  /** The digest of all entries up to it: log/chain.ts. */
  readonly digest: Uint8Array;
}

/** The position before the entries that a header announces. */
export function positionBefore({ first, previous, term }: LogHeader): Position {
  return { index: first - 1n, term, digest: previous.slice() }; // not a view, which would keep the segment in memory
}

/** The header of what comes behind an entry. */
export function headerBehind({ index, term, digest }: Position, group: string | undefined): Uint8Array {
  return encodeHeader({ group, first: index + 1n, previous: digest, term });
}

/**
 * Records of entries, none of them too large; an entry that is longer has one of its own.
 *
 * @param entries one or more
 * @param last the entry before them
 * @returns each record, and its last entry
 * @throws {SnapshotError} `MALFORMED` if an entry is too long for a record
 */
export function* recordsOf(
  entries: readonly LogEntry[],
  last: Position,
): Generator<{ readonly bytes: Uint8Array; readonly last: Position }, void, undefined> {
  for (let start = 0; start < entries.length;) {
    let [end, size] = [start, 0];
    do size += entries[end++]!.data.length; while (
      end < entries.length && end - start < BATCH_ENTRIES && size + entries[end]!.data.length <= BATCH_BYTES
    );
    const batch = entries.slice(start, start = end);
    const { bytes, digest } = encodeBatch(batch, last.digest);
    const { index, term } = batch.at(-1)!;
    if (bytes.length > MAX_RECORD) {
      throw new SnapshotError(
        "MALFORMED",
        `Entry ${index} is too long for a log: ${bytes.length} bytes, of ${MAX_RECORD}`,
        {
          index,
          expected: MAX_RECORD,
          actual: bytes.length,
        },
      );
    }
    last = { index, term, digest };
    yield { bytes, last };
  }
}

/** Reads the records of a segment: each must be right, and follow the one before it. */
export class SegmentReader {
  readonly #bytes: Uint8Array;
  readonly #path: string;
  #at = 0;
  #last: Position | undefined;

  /**
   * @param bytes the segment
   * @param path for messages
   */
  constructor(bytes: Uint8Array, path: string) {
    this.#bytes = bytes;
    this.#path = path;
  }

  /** Where the last record that was read ends; the end of the segment is none. */
  get at(): number {
    return this.#at;
  }

  /** The last entry that was read; absent before the first header. */
  get last(): Position | undefined {
    return this.#last;
  }

  /** Whether there is a record that is right from here on: then what is here was durable once. */
  get hasMore(): boolean {
    return hasRecord(this.#bytes, this.#at);
  }

  /**
   * Reads headers and batches up to the end of the segment.
   *
   * @throws {SnapshotError} `CORRUPT` if a record is not right, or does not follow; `UNSUPPORTED`
   */
  *[Symbol.iterator](): Generator<Extract<LogRecord, { readonly kind: "header" | "batch" }>, void, undefined> {
    while (this.#at < this.#bytes.length) {
      const { record, end } = this.#next();
      if (record.kind === "header") this.#begin(record.header);
      else if (this.#last === undefined) throw this.#damaged("it does not begin with a header");
      else if (record.kind === "batch") this.#follow(this.#last, record.batch);
      else if (record.kind === "end") return this.#checkEnd(this.#last, record.end);
      else throw this.#damaged("it has a record of another kind");
      this.#at = end;
      yield record;
    }
  }

  #next(): ReturnType<typeof recordAt> {
    try {
      return recordAt(this.#bytes, this.#at);
    } catch (error) {
      if (hasCode(error, "UNSUPPORTED")) throw error;
      throw this.#damaged(`its record at byte ${this.#at} is not what was written: ${messageOf(error)}`, error);
    }
  }

  #begin(header: LogHeader): void {
    if (this.#last === undefined) this.#last = positionBefore(header);
    else if (header.first > this.#last.index + 1n) {
      throw this.#damaged(`it says that the log begins with ${header.first}`);
    }
  }

  #follow(last: Position, { entries, previous, digest }: LogBatch): void {
    let { index, term } = last;
    for (const entry of entries) {
      if (entry.index !== ++index) throw this.#damaged(`it has entry ${entry.index} where ${index} comes next`);
      if (entry.term < term) throw this.#damaged(`term ${entry.term} of entry ${index} is below ${term}`);
      ({ term } = entry);
    }
    if (!equal(previous, last.digest)) {
      throw this.#damaged(`up to entry ${last.index} the history is ${toHex(last.digest)}, not ${toHex(previous)}`);
    }
    this.#last = { index, term, digest: digest.slice() };
  }

  #checkEnd({ index, digest }: Position, end: LogEnd): void {
    if (end.last !== index || !equal(end.digest, digest)) throw this.#damaged(`it says that ${end.last} is its last`);
  }

  #damaged(what: string, cause?: unknown): SnapshotError {
    return damaged(this.#path, what, (this.#last?.index ?? -1n) + 1n, cause);
  }
}

/** The error for a log that is not as it was written. */
export function damaged(path: string, what: string, index: bigint, cause?: unknown): SnapshotError {
  return new SnapshotError(
    "CORRUPT",
    `The log in ${path} is damaged from entry ${index} on: ${what}. Install a snapshot in a new directory, and follow ` +
      "from there",
    { file: path, index, ...(cause !== undefined && { cause }) },
  );
}

/** A segment, as far as it could be read. */
export interface ReadSegment {
  /** The entry before its first; absent if it has no header. */
  readonly start: Position | undefined;
  /** The last entry. */
  readonly last: Position | undefined;
  /** The entry before the first of the log, if a later header says it. */
  readonly base: Position | undefined;
  /** The group that the last header says. */
  readonly group: string | undefined;
  /** The bytes of data of its entries. */
  readonly bytes: number;
  /** Why the rest could not be read. */
  readonly failure: SnapshotError | undefined;
}

/**
 * Reads as much of a segment as is right.
 *
 * @param reader the segment
 * @param behind only the data of entries behind this one is counted
 * @throws {SnapshotError} `UNSUPPORTED`
 */
export function readSegment(reader: SegmentReader, behind = 0n): ReadSegment {
  let [start, base, group, failure]: [Position?, Position?, string?, SnapshotError?] = [];
  let bytes = 0;
  try {
    for (const record of reader) {
      if (record.kind === "batch") {
        for (const { index, data } of record.batch.entries) if (index > behind) bytes += data.length;
      } else {
        ({ group } = record.header);
        if (start === undefined) start = positionBefore(record.header);
        else base = positionBefore(record.header);
      }
    }
  } catch (error) {
    if (!(error instanceof SnapshotError) || error.code !== "CORRUPT") throw error;
    failure = error;
  }
  return { start, last: reader.last, base, group, bytes, failure };
}
