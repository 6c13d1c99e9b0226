/**
 * An entry as bytes, the same wherever it goes: over the wire, into a backup, and into the digest of its history.
 *
 * ```proto
 * message Entry {
 *   int64 index = 1;
 *   int64 term = 2;
 *   bytes data = 3;
 *   int64 time = 4;               // when it was appended: milliseconds since 1970
 *   Configuration configuration = 5;
 * }
 * message Configuration { repeated string peers = 1; repeated string old_peers = 2; bool changing = 3; }
 * ```
 *
 * @module
 */

import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { MAX_INDEX } from "../checks.ts";
import { messageOf, SnapshotError } from "../errors.ts";
import type { Configuration, LogEntry } from "../state/mod.ts";

const VARINT = WireType.Varint;
const BYTES = WireType.LengthDelimited;

/** Encodes an entry: always to the same bytes, since digests are made of them. */
export function encodeEntry({ index, term, data, time, configuration }: LogEntry): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(1, VARINT).int64(index).tag(2, VARINT).int64(term).tag(3, BYTES).bytes(data);
  if (time !== undefined) writer.tag(4, VARINT).int64(BigInt(time));
  if (configuration !== undefined) {
    const { peers, oldPeers } = configuration;
    writer.tag(5, BYTES).fork();
    for (const peer of peers) writer.tag(1, BYTES).string(peer);
    for (const peer of oldPeers ?? []) writer.tag(2, BYTES).string(peer);
    if (oldPeers !== undefined) writer.tag(3, VARINT).bool(true); // that there are none says something, too
    writer.join();
  }
  return writer.finish();
}

/**
 * Decodes an entry.
 *
 * @param bytes its bytes; the data is not copied out of them
 * @throws {SnapshotError} `MALFORMED` if they are none, or have fields that this release does not know: they would be
 *   missing where the entry is encoded again
 */
export function decodeEntry(bytes: Uint8Array): LogEntry {
  try {
    const reader = new BinaryReader(bytes);
    let [index, term] = [0n, 0n];
    let [data, time, configuration]: [Uint8Array | undefined, number | undefined, Configuration | undefined] = [
      undefined,
      undefined,
      undefined,
    ];
    while (reader.pos < reader.len) {
      switch (fieldOf(reader)) {
        case 1 << 3 | VARINT:
          index = numberOf(reader);
          break;
        case 2 << 3 | VARINT:
          term = numberOf(reader);
          break;
        case 3 << 3 | BYTES:
          data = reader.bytes();
          break;
        case 4 << 3 | VARINT:
          time = timeOf(reader);
          break;
        case 5 << 3 | BYTES:
          configuration = configurationOf(reader.bytes());
          break;
        default:
          throw new Error("it has a field that this release does not know");
      }
    }
    if (index === 0n || data === undefined) throw new Error("it has no index, or no data");
    return { index, term, data, ...(time !== undefined && { time }), ...(configuration && { configuration }) };
  } catch (error) {
    throw new SnapshotError("MALFORMED", `This is no entry of a log: ${messageOf(error)}`, { cause: error });
  }
}

/** Reads a field's number and type, as one number. */
export function fieldOf(reader: BinaryReader): number {
  const [field, type] = reader.tag();
  return field << 3 | type;
}

/** Reads an index or a term. */
export function numberOf(reader: BinaryReader): bigint {
  const value = BigInt(reader.int64());
  if (value >= 0n && value <= MAX_INDEX) return value;
  throw new Error(`${value} is no index`);
}

/** Reads a time. */
export function timeOf(reader: BinaryReader): number {
  const time = Number(reader.int64());
  if (Number.isSafeInteger(time) && time >= 0) return time;
  throw new Error(`${time} is no time`);
}

function configurationOf(bytes: Uint8Array): Configuration {
  const reader = new BinaryReader(bytes);
  const [peers, oldPeers]: string[][] = [[], []];
  let isChanging = false;
  while (reader.pos < reader.len) {
    switch (fieldOf(reader)) {
      case 1 << 3 | BYTES:
        peers!.push(reader.string());
        break;
      case 2 << 3 | BYTES:
        oldPeers!.push(reader.string());
        break;
      case 3 << 3 | VARINT:
        isChanging = reader.bool();
        break;
      default:
        throw new Error("its configuration has a field that this release does not know");
    }
  }
  if (!isChanging && oldPeers!.length > 0) throw new Error("its configuration has old members, and is not changing");
  return { peers: peers!, ...(isChanging && { oldPeers: oldPeers! }) };
}
