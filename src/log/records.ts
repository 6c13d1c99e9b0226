/**
 * A log as a stream of records: the same bytes over HTTP and in the segments of a backup.
 *
 * ```text
 * stream    = header, batch…, end                over HTTP: also heartbeats, and no end while more is waited for
 * record    = varint length, then as many bytes of a message `Record`
 * ```
 * ```proto
 * message Record { oneof kind { Header header = 1; Batch batch = 2; Heartbeat heartbeat = 3; End end = 4; } }
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
 *   repeated bytes entries = 3;    // log/entry_bytes.ts
 * }
 * message Heartbeat { int64 last = 1; int64 term = 2; int64 time = 3; }     // what the sender has, by its clock
 * message End { int64 last = 1; bytes digest = 2; }
 * ```
 *
 * Each batch is proven by its digest, which is that of all that came before and of its entries: nothing of it is handed
 * on before that. A stream without an end was cut, and what came until then is right.
 *
 * @module
 */

import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { messageOf, SnapshotError } from "../errors.ts";
import type { LogEntry } from "../state/mod.ts";
import { equal, toHex } from "../stream/mod.ts";
import { isDigest, nextDigest } from "./chain.ts";
import { decodeEntry, encodeEntry, fieldOf, numberOf, timeOf } from "./entry_bytes.ts";

/** The media type of a log's stream. */
export const LOG_TYPE = "application/x-snapstream-log";
/** The longest record, in bytes: entries that are larger cannot be followed, only snapshots that have them. */
export const MAX_RECORD: number = 64 * 1024 * 1024;
/** A batch has about so many bytes at the most, unless one entry has more. */
export const BATCH_BYTES: number = 256 * 1024;
/** A batch has no more entries. */
export const BATCH_ENTRIES = 1024;

const VERSION = 1;
const VARINT = WireType.Varint;
const BYTES = WireType.LengthDelimited;

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

/** What the sender of a log has at a time. */
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

/** Frames a record: its length, the tag of its kind, its message. */
function framed(kind: number, message: Uint8Array): Uint8Array {
  const body = new BinaryWriter().tag(kind, BYTES).bytes(message).finish();
  return new BinaryWriter().bytes(body).finish(); // a length, and as many bytes
}

/** Encodes a header. */
export function encodeHeader({ group, first, previous, term }: LogHeader): Uint8Array {
  const writer = new BinaryWriter().tag(1, VARINT).uint32(VERSION);
  if (group !== undefined) writer.tag(2, BYTES).string(group);
  writer.tag(3, VARINT).int64(first).tag(4, BYTES).bytes(previous).tag(5, VARINT).int64(term);
  return framed(1, writer.finish());
}

/** An encoded batch. */
export interface EncodedBatch {
  /** The record. */
  readonly bytes: Uint8Array;
  /** The digest of the history before its first entry. */
  readonly previous: Uint8Array;
  /** Its last entry. */
  readonly last: bigint;
  /** The time of that, if it has one. */
  readonly time: number | undefined;
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
  let digest = previous;
  const encoded = entries.map((entry) => {
    const bytes = encodeEntry(entry);
    digest = nextDigest(digest, bytes);
    return bytes;
  });
  const writer = new BinaryWriter().tag(1, BYTES).bytes(previous).tag(2, BYTES).bytes(digest);
  for (const bytes of encoded) writer.tag(3, BYTES).bytes(bytes);
  const { index: last, time } = entries.at(-1)!;
  return { bytes: framed(2, writer.finish()), previous, last, time, digest };
}

/**
 * The digest of the history at an index within a batch.
 *
 * @param batch the batch
 * @param index from the entry before its first up to its last
 */
export function historyAt({ entries, previous }: LogBatch, index: bigint): Uint8Array {
  let digest = previous;
  for (const entry of entries) if (entry.index <= index) digest = nextDigest(digest, encodeEntry(entry));
  return digest;
}

/** Encodes a heartbeat. */
export function encodeHeartbeat({ last, term, time }: LogHeartbeat): Uint8Array {
  const writer = new BinaryWriter().tag(1, VARINT).int64(last).tag(2, VARINT).int64(term);
  return framed(3, writer.tag(3, VARINT).int64(BigInt(time)).finish());
}

/** Encodes the end. */
export function encodeEnd({ last, digest }: LogEnd): Uint8Array {
  return framed(4, new BinaryWriter().tag(1, VARINT).int64(last).tag(2, BYTES).bytes(digest).finish());
}

/**
 * Decodes the message of a record.
 *
 * @param bytes the message, without its length
 * @throws {SnapshotError} `MALFORMED`; `UNSUPPORTED` if a newer release wrote it; `CORRUPT` if the digest of a batch is
 *   not that of its entries
 */
export function decodeRecord(bytes: Uint8Array): LogRecord {
  try {
    const reader = new BinaryReader(bytes);
    const kind = fieldOf(reader);
    const message = new BinaryReader(reader.bytes());
    if (reader.pos !== reader.len) throw new Error("a record has more than one message");
    switch (kind) {
      case 1 << 3 | BYTES:
        return { kind: "header", header: headerOf(message) };
      case 2 << 3 | BYTES:
        return { kind: "batch", batch: batchOf(message) };
      case 3 << 3 | BYTES:
        return { kind: "heartbeat", heartbeat: heartbeatOf(message) };
      case 4 << 3 | BYTES:
        return { kind: "end", end: endOf(message) };
      default:
        throw new SnapshotError("UNSUPPORTED", `The log has a record of kind ${kind >> 3}: use a newer release`);
    }
  } catch (error) {
    if (error instanceof SnapshotError) throw error;
    throw new SnapshotError("MALFORMED", `This is no stream of a log: ${messageOf(error)}`, { cause: error });
  }
}

function headerOf(reader: BinaryReader): LogHeader {
  let [version, first, term] = [0, 0n, 0n];
  let [group, previous]: [string | undefined, Uint8Array | undefined] = [undefined, undefined];
  while (reader.pos < reader.len) {
    switch (fieldOf(reader)) {
      case 1 << 3 | VARINT:
        version = reader.uint32();
        if (version > VERSION) throw newer(version);
        break;
      case 2 << 3 | BYTES:
        group = reader.string();
        break;
      case 3 << 3 | VARINT:
        first = numberOf(reader);
        break;
      case 4 << 3 | BYTES:
        previous = reader.bytes();
        break;
      case 5 << 3 | VARINT:
        term = numberOf(reader);
        break;
      default:
        throw new Error("its header has a field that this release does not know");
    }
  }
  if (version === 0 || first === 0n || !isDigest(previous)) throw new Error("its header is not whole");
  return { group, first, previous, term };
}

function newer(version: number): SnapshotError {
  return new SnapshotError("UNSUPPORTED", `The log is a stream of version ${version}: use a newer release`, {
    expected: VERSION,
    actual: version,
  });
}

function batchOf(reader: BinaryReader): LogBatch {
  const entries: LogEntry[] = [];
  let [previous, digest]: [Uint8Array | undefined, Uint8Array | undefined] = [undefined, undefined];
  let computed: Uint8Array | undefined;
  while (reader.pos < reader.len) {
    switch (fieldOf(reader)) {
      case 1 << 3 | BYTES:
        previous = computed = reader.bytes();
        break;
      case 2 << 3 | BYTES:
        digest = reader.bytes();
        break;
      case 3 << 3 | BYTES: {
        if (!isDigest(previous) || entries.length === BATCH_ENTRIES) throw new Error("a batch is not as it should be");
        const bytes = reader.bytes();
        computed = nextDigest(computed!, bytes);
        entries.push(decodeEntry(bytes));
        break;
      }
      default:
        throw new Error("a batch has a field that this release does not know");
    }
  }
  const first = entries[0];
  if (first === undefined || !isDigest(previous) || !isDigest(digest)) throw new Error("a batch is not whole");
  if (!equal(digest, computed!)) {
    throw new SnapshotError("CORRUPT", `The entries from ${first.index} on are not those that were sent`, {
      index: first.index,
      expected: toHex(digest),
      actual: toHex(computed!),
    });
  }
  return { entries, previous, digest };
}

function heartbeatOf(reader: BinaryReader): LogHeartbeat {
  let [last, term, time] = [0n, 0n, 0];
  while (reader.pos < reader.len) {
    switch (fieldOf(reader)) {
      case 1 << 3 | VARINT:
        last = numberOf(reader);
        break;
      case 2 << 3 | VARINT:
        term = numberOf(reader);
        break;
      case 3 << 3 | VARINT:
        time = timeOf(reader);
        break;
      default:
        throw new Error("a heartbeat has a field that this release does not know");
    }
  }
  return { last, term, time };
}

function endOf(reader: BinaryReader): LogEnd {
  let [last, digest]: [bigint, Uint8Array | undefined] = [0n, undefined];
  while (reader.pos < reader.len) {
    switch (fieldOf(reader)) {
      case 1 << 3 | VARINT:
        last = numberOf(reader);
        break;
      case 2 << 3 | BYTES:
        digest = reader.bytes();
        break;
      default:
        throw new Error("the end has a field that this release does not know");
    }
  }
  if (!isDigest(digest)) throw new Error("the end is not whole");
  return { last, digest };
}
