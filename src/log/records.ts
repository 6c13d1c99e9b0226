/**
 * A log as a stream of records: the same bytes over HTTP and in the segments of a backup.
 *
 * ```text
 * stream    = header, batch…, end                over HTTP: also heartbeats, and no end while more is waited for
 * record    = varint length, then as many bytes of a message `Record`
 * ```
 * ```proto
 * message Record {
 *   oneof kind { Header header = 1; Batch batch = 2; Heartbeat heartbeat = 3; End end = 4; }
 *   bytes check = 15;      // the first 8 bytes of the SHA-256 of what is before it; not of a batch, which has a digest
 * }
 * message Header {
 *   uint32 version = 1;
 *   string group = 2;      // absent: the log is bound to none
 *   int64 first = 3;       // the first entry of the stream
 *   bytes previous = 4;    // the digest of the history before it: log/chain.ts
 *   int64 term = 5;        // the term of the entry before it
 * }
 * message Batch {
 *   bytes previous = 1;    // the digest of the history before its first entry
 *   bytes digest = 2;      // the digest with its last entry
 *   bytes entries = 3;     // of each entry: varint length, then log/entry_bytes.ts
 * }
 * message Heartbeat { int64 last = 1; int64 term = 2; int64 time = 3; }     // what the sender has, by its clock
 * message End { int64 last = 1; bytes digest = 2; }
 * ```
 *
 * Each batch is proven by its digest, which is that of all that came before and of its entries: nothing of it is handed
 * on before that. A stream without an end was cut, and what came until then is right.
 *
 * Nor is anything believed of other records whose check is wrong: a term that a flipped bit has raised would keep a
 * follower from every source.
 *
 * @module
 */

import { hasCode, messageOf, SnapshotError } from "../errors.ts";
import type { LogEntry } from "../state/mod.ts";
import { concat, DIGEST_SIZE, equal, message, one, sha256Now, toHex } from "../stream/mod.ts";
import { isDigest, nextDigest } from "./chain.ts";
import { checkedIndex, decodeEntry, EntryWriter, MOST_BESIDE } from "./entry_bytes.ts";

/** The media type of a log's stream. */
export const LOG_TYPE = "application/x-snapstream-log";
/** The longest record, in bytes: entries that are larger cannot be followed, only snapshots that have them. */
export const MAX_RECORD: number = 64 * 1024 * 1024;
/** A batch has about so many bytes at the most, unless one entry has more. */
export const BATCH_BYTES: number = 256 * 1024;
/** A batch has no more entries. */
export const BATCH_ENTRIES = 1024;

const VERSION = 1;
/** A length takes no more bytes. */
const MAX_LENGTH_BYTES = 5;

/** The first record of a stream. */
export interface LogHeader {
  /** The group of the log, if it has one. */
  readonly group?: string | undefined;
  /** The index of the first entry that follows. */
  readonly first: bigint;
  /** The digest of the history before it. */
  readonly previous: Uint8Array;
  /** The term of the entry before it; 0 if there is none. */
  readonly term: bigint;
}

/** Entries that follow one another, and their proof. */
export interface LogBatch {
  /** The entries: one or more. */
  readonly entries: readonly LogEntry[];
  /** The digest of the history before them. */
  readonly previous: Uint8Array;
  /** The digest of the history with them. */
  readonly digest: Uint8Array;
}

/** The entries and the term that the sender of a log has at a time. */
export interface LogHeartbeat {
  /** Its last entry. */
  readonly last: bigint;
  /** The highest term that it knows. */
  readonly term: bigint;
  /** The time by its clock: milliseconds since 1970. */
  readonly time: number;
}

/** The last record of a stream that is whole. */
export interface LogEnd {
  /** The last entry. */
  readonly last: bigint;
  /** The digest of the history with it. */
  readonly digest: Uint8Array;
}

/** A record, decoded. */
export type LogRecord =
  | { readonly kind: "header"; readonly header: LogHeader }
  | { readonly kind: "batch"; readonly batch: LogBatch }
  | { readonly kind: "heartbeat"; readonly heartbeat: LogHeartbeat }
  | { readonly kind: "end"; readonly end: LogEnd };

interface HeaderBytes {
  version?: number;
  group?: string | undefined;
  first?: bigint;
  previous?: Uint8Array;
  term?: bigint;
}

interface BatchBytes {
  previous?: Uint8Array;
  digest?: Uint8Array;
  entries?: Uint8Array;
}

interface HeartbeatBytes {
  last?: bigint;
  term?: bigint;
  time?: bigint;
}

interface EndBytes {
  last?: bigint;
  digest?: Uint8Array;
}

interface RecordBytes {
  header?: HeaderBytes;
  batch?: BatchBytes;
  heartbeat?: HeartbeatBytes;
  end?: EndBytes;
}

const recordFields = () =>
  message<RecordBytes>({
    header: one(
      1,
      message<HeaderBytes>({
        version: one(1, "uint32"),
        group: one(2, "text"),
        first: one(3, "int64"),
        previous: one(4, "bytes"),
        term: one(5, "int64"),
      }),
    ),
    batch: one(
      2,
      message<BatchBytes>({ previous: one(1, "bytes"), digest: one(2, "bytes"), entries: one(3, "bytes") }),
    ),
    heartbeat: one(
      3,
      message<HeartbeatBytes>({ last: one(1, "int64"), term: one(2, "int64"), time: one(3, "int64") }),
    ),
    end: one(4, message<EndBytes>({ last: one(1, "int64"), digest: one(2, "bytes") })),
  });
let fields: ReturnType<typeof recordFields> | undefined;

/** A length as it is written before as many bytes. */
function lengthBytes(length: number): number[] {
  const bytes: number[] = [];
  let rest = length;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push(rest % 0x80 | 0x80);
  bytes.push(rest);
  return bytes;
}

/** The tag of a record that is a batch, and of the check of any other. */
const TAG = { batch: 0x12, check: 0x7a };
/** The bytes of a check. */
const CHECK = 8;

/** A record that is no batch. */
function record(value: Omit<RecordBytes, "batch">): Uint8Array {
  const bytes = (fields ??= recordFields()).encode(value);
  const length = Uint8Array.from(lengthBytes(bytes.length + 2 + CHECK));
  return concat([length, bytes, Uint8Array.of(TAG.check, CHECK), checkOf(bytes)]);
}

function checkOf(bytes: Uint8Array): Uint8Array {
  return sha256Now(bytes).subarray(0, CHECK);
}

/** Refuses a record that is no batch if its check is not that of its bytes. */
function verifyCheck(bytes: Uint8Array): void {
  const end = Math.max(bytes.length - CHECK - 2, 0);
  const [tag, length] = bytes.subarray(end);
  if (tag === TAG.check && length === CHECK && equal(checkOf(bytes.subarray(0, end)), bytes.subarray(end + 2))) return;
  throw new SnapshotError("CORRUPT", "A record is not what was sent");
}

/** Encodes a header. */
export function encodeHeader({ group, first, previous, term }: LogHeader): Uint8Array {
  return record({ header: { version: VERSION, group, first, previous, term } });
}

/** An encoded batch. */
export interface EncodedBatch {
  /** The record. */
  readonly bytes: Uint8Array;
  /** The digest of the history before its first entry. */
  readonly previous: Uint8Array;
  /** Its last entry. */
  readonly last: bigint;
  /** The digest of the history with it. */
  readonly digest: Uint8Array;
}

/**
 * Encodes entries that follow one another.
 *
 * @param entries one or more
 * @param previous the digest of the history before them
 */
export function encodeBatch(entries: readonly LogEntry[], previous: Uint8Array): EncodedBatch {
  let capacity = 0;
  for (const { data } of entries) capacity += data.length + MOST_BESIDE;
  const writer = new EntryWriter(capacity, MOST_BEFORE);
  let digest = previous;
  for (const entry of entries) {
    const { start, end } = writer.add(entry);
    digest = nextDigest(digest, writer.bytes.subarray(start, end));
  }
  return { bytes: framedBatch(writer.bytes, previous, digest), previous, last: entries.at(-1)!.index, digest };
}

/** The most bytes of a batch's record before its entries: lengths, tags and two digests. */
const MOST_BEFORE = 3 * MAX_LENGTH_BYTES + 2 + 2 * (2 + DIGEST_SIZE);
/** The tags of a batch's fields. */
const BATCH_TAG = { previous: 0x0a, digest: 0x12, entries: 0x1a };

/**
 * Writes what comes before a batch's entries right before them: a live follower is sent a few kilobytes a millisecond,
 * and each copy of them costs more than writing them.
 *
 * @param bytes the entries, behind {@linkcode MOST_BEFORE} bytes that are free
 */
function framedBatch(bytes: Uint8Array, previous: Uint8Array, digest: Uint8Array): Uint8Array {
  const size = lengthBytes(bytes.length - MOST_BEFORE);
  const fields = [
    ...[BATCH_TAG.previous, DIGEST_SIZE, ...previous],
    ...[BATCH_TAG.digest, DIGEST_SIZE, ...digest],
    ...[BATCH_TAG.entries, ...size],
  ];
  const batch = lengthBytes(fields.length + bytes.length - MOST_BEFORE);
  const message = 1 + batch.length + fields.length + bytes.length - MOST_BEFORE;
  const before = [...lengthBytes(message), TAG.batch, ...batch, ...fields];
  bytes.set(before, MOST_BEFORE - before.length);
  return bytes.subarray(MOST_BEFORE - before.length);
}

/**
 * The digest of the history at an index within a batch.
 *
 * @param batch the batch
 * @param index from the entry before its first up to its last
 */
export function historyAt({ entries, previous }: LogBatch, index: bigint): Uint8Array {
  let digest = previous;
  const writer = new EntryWriter();
  for (const entry of entries) if (entry.index <= index) digest = nextDigest(digest, writer.alone(entry));
  return digest;
}

/** Encodes a heartbeat. */
export function encodeHeartbeat({ last, term, time }: LogHeartbeat): Uint8Array {
  return record({ heartbeat: { last, term, time: BigInt(Math.floor(time)) } });
}

/** Encodes the end. */
export function encodeEnd({ last, digest }: LogEnd): Uint8Array {
  return record({ end: { last, digest } });
}

/**
 * Reads the record that begins at a position, where all bytes of it are here.
 *
 * @param bytes records, one behind the other
 * @param at where it begins
 * @returns the record, and where it ends
 * @throws {SnapshotError} as {@linkcode decodeRecord} does; `MALFORMED` if none begins there, or it is not whole
 */
export function recordAt(bytes: Uint8Array, at: number): { readonly record: LogRecord; readonly end: number } {
  const bounds = boundsAt(bytes, at);
  if (bounds === undefined) throw new SnapshotError("MALFORMED", `No whole record begins at byte ${at}`);
  return { record: decodeRecord(bytes.subarray(bounds.start, bounds.end)), end: bounds.end };
}

/**
 * Reports whether there is a record that is right, wherever it begins.
 *
 * @param bytes what may be anything
 * @param from where the first may begin
 */
export function hasRecord(bytes: Uint8Array, from: number): boolean {
  for (let at = from; at < bytes.length; at++) {
    const { start = 0, end = 0 } = boundsAt(bytes, at) ?? {};
    const isBatch = bytes[start] === TAG.batch && boundsAt(bytes, start + 1)?.end === end;
    // Most of what begins with a length is none, and decoding that would take a thousand times as long.
    if (!isBatch && !(bytes[end - CHECK - 2] === TAG.check && bytes[end - CHECK - 1] === CHECK)) continue;
    try {
      decodeRecord(bytes.subarray(start, end));
      return true;
    } catch (error) {
      if (hasCode(error, "UNSUPPORTED")) return true; // it is right, and of a newer release
    }
  }
  return false;
}

/** Where the message is whose length is at a position; nothing if it is not all here. */
function boundsAt(bytes: Uint8Array, at: number): { readonly start: number; readonly end: number } | undefined {
  let [length, start] = [0, at];
  for (let factor = 1; start < bytes.length && start - at < MAX_LENGTH_BYTES; factor *= 0x80) {
    const byte = bytes[start++]!;
    length += (byte & 0x7f) * factor;
    if (byte >= 0x80) continue;
    return length > 0 && start + length <= bytes.length ? { start, end: start + length } : undefined;
  }
  return undefined;
}

/**
 * Decodes the message of a record.
 *
 * @param bytes the message, without its length
 * @throws {SnapshotError} `MALFORMED`; `UNSUPPORTED` if a newer release wrote it; `CORRUPT` if the digest of a batch is
 *   not that of its entries
 */
export function decodeRecord(bytes: Uint8Array): LogRecord {
  if (bytes[0] !== TAG.batch) verifyCheck(bytes);
  try {
    const { header, batch, heartbeat, end } = (fields ??= recordFields()).decode(bytes);
    const count = [header, batch, heartbeat, end].filter((one) => one !== undefined).length;
    if (count > 1) throw new Error("a record has more than one message");
    if (header !== undefined) return { kind: "header", header: headerOf(header) };
    if (batch !== undefined) return { kind: "batch", batch: batchOf(batch) };
    if (heartbeat !== undefined) {
      const time = checkedIndex(heartbeat.time ?? 0n);
      const last = checkedIndex(heartbeat.last ?? 0n);
      return { kind: "heartbeat", heartbeat: { last, term: checkedIndex(heartbeat.term ?? 0n), time: Number(time) } };
    }
    if (end === undefined) {
      throw new SnapshotError("UNSUPPORTED", "The log has a record of a kind that this release does not know");
    }
    if (!isDigest(end.digest)) throw new Error("the end is not whole");
    return { kind: "end", end: { last: checkedIndex(end.last ?? 0n), digest: end.digest } };
  } catch (error) {
    if (error instanceof SnapshotError) throw error;
    throw new SnapshotError("MALFORMED", `This is no stream of a log: ${messageOf(error)}`, { cause: error });
  }
}

function headerOf({ version = 0, group, first, previous, term = 0n }: HeaderBytes): LogHeader {
  if (version > VERSION) {
    throw new SnapshotError("UNSUPPORTED", `The log is a stream of version ${version}: use a newer release`, {
      expected: VERSION,
      actual: version,
    });
  }
  if (version === 0 || !isDigest(previous)) throw new Error("its header is not whole");
  return { group, first: checkedIndex(first, 1n), previous, term: checkedIndex(term) };
}

function batchOf({ previous, digest, entries: bytes }: BatchBytes): LogBatch {
  if (!isDigest(previous) || !isDigest(digest) || bytes === undefined) throw new Error("a batch is not whole");
  const parts: Uint8Array[] = [];
  let computed = previous;
  for (let at = 0; at < bytes.length;) {
    let [length, factor] = [0, 1];
    for (let i = 0;; i++) {
      const byte = bytes[at++];
      if (byte === undefined || i === MAX_LENGTH_BYTES) throw new Error("a batch ends within a length");
      length += (byte & 0x7f) * factor;
      factor *= 0x80;
      if (byte < 0x80) break;
    }
    if (at + length > bytes.length || parts.length === BATCH_ENTRIES) {
      throw new Error("a batch is too long, or too short");
    }
    const part = bytes.subarray(at, at += length);
    computed = nextDigest(computed, part);
    parts.push(part);
  }
  if (parts.length === 0) throw new Error("a batch is empty");
  if (equal(digest, computed)) return { entries: parts.map(decodeEntry), previous, digest };
  throw new SnapshotError("CORRUPT", "The entries of a batch are not those that were sent", {
    expected: toHex(digest),
    actual: toHex(computed),
  });
}
