/**
 * An entry as bytes, the same wherever it goes: over the wire, into a backup, and into the digest of its history.
 *
 * ```proto
 * message Entry {
 *   int64 index = 1;
 *   int64 term = 2;
 *   bytes data = 3;
 *   int64 time = 4;                        // when it was appended: milliseconds since 1970
 *   Configuration configuration = 5;
 * }
 * message Configuration {
 *   repeated string peers = 1;
 *   repeated string old_peers = 2;
 *   bool changing = 3;                     // that there are old peers, if only none
 * }
 * ```
 *
 * @module
 */

import { MAX_INDEX } from "../checks.ts";
import { messageOf, SnapshotError } from "../errors.ts";
import type { LogEntry } from "../state/mod.ts";
import { list, message, one } from "../stream/mod.ts";

interface ConfigurationBytes {
  peers?: string[];
  oldPeers?: string[];
  changing?: boolean;
}

interface EntryBytes {
  index?: bigint;
  term?: bigint;
  data?: Uint8Array;
  time?: bigint;
  configuration?: ConfigurationBytes;
}

const configurationFields = () =>
  message<ConfigurationBytes>({ peers: list(1, "text"), oldPeers: list(2, "text"), changing: one(3, "bool") });
const entryFields = () =>
  message<EntryBytes>({
    index: one(1, "int64"),
    term: one(2, "int64"),
    data: one(3, "bytes"),
    time: one(4, "int64"),
    configuration: one(5, configurationFields()),
  });
let fields: ReturnType<typeof entryFields> | undefined;

/** Encodes an entry: always to the same bytes, since digests are made of them. */
export function encodeEntry({ index, term, data, time, configuration }: LogEntry): Uint8Array {
  const entry: EntryBytes = { index, term, data };
  if (time !== undefined) entry.time = BigInt(time);
  if (configuration !== undefined) {
    const { peers, oldPeers } = configuration;
    entry.configuration = {
      peers: [...peers],
      ...(oldPeers !== undefined && { oldPeers: [...oldPeers], changing: true }),
    };
  }
  return (fields ??= entryFields()).encode(entry);
}

/**
 * Decodes an entry.
 *
 * @param bytes its bytes; the data is not copied out of them
 * @throws {SnapshotError} `MALFORMED` if they are none
 */
export function decodeEntry(bytes: Uint8Array): LogEntry {
  try {
    const { index = 0n, term = 0n, data, time, configuration } = (fields ??= entryFields()).decode(bytes);
    if (index <= 0n || term < 0n || data === undefined) throw new Error("it has no index or no data, or a wrong term");
    if (time !== undefined && (time < 0n || time > Number.MAX_SAFE_INTEGER)) throw new Error(`${time} is no time`);
    const { peers = [], oldPeers = [], changing } = configuration ?? {};
    if (changing !== true && oldPeers.length > 0) throw new Error("it has old members, and is not changing");
    return {
      index,
      term,
      data,
      ...(configuration !== undefined && { configuration: { peers, ...(changing === true && { oldPeers }) } }),
      ...(time !== undefined && { time: Number(time) }),
    };
  } catch (error) {
    throw new SnapshotError("MALFORMED", `This is no entry of a log: ${messageOf(error)}`, { cause: error });
  }
}

/** Checks an index or a term that was read. */
export function checkedIndex(value: bigint | undefined, least = 0n): bigint {
  if (value !== undefined && value >= least && value <= MAX_INDEX) return value;
  throw new Error(`${value} is no index`);
}
