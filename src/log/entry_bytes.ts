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
import type { Configuration, LogEntry } from "../state/mod.ts";
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
let members: ReturnType<typeof configurationFields> | undefined;

/** Encodes an entry: always to the same bytes, since digests are made of them. */
export function encodeEntry(entry: LogEntry): Uint8Array {
  const writer = new EntryWriter();
  const { start, end } = writer.add(entry);
  return writer.bytes.slice(start, end);
}

/** The tags of an entry's fields. */
const TAG = { index: 0x08, term: 0x10, data: 0x1a, time: 0x20, configuration: 0x2a };
/** The most bytes of an entry beside its data and its configuration. */
const MOST_BESIDE = 48;

/**
 * Entries, one behind the other, each with its length before it. By hand: the digest of a history wants every entry's
 * bytes, and a table of fields takes five times as long.
 */
export class EntryWriter {
  #bytes: Uint8Array;
  #length = 0;

  /** @param capacity the bytes to begin with */
  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  /** What was written; valid until more is. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Adds an entry; returns where its bytes are, without the length. */
  add({ index, term, data, time, configuration }: LogEntry): { readonly start: number; readonly end: number } {
    const members = configuration && encodeConfiguration(configuration);
    const size = 2 + sizeOf(index) + sizeOf(term) + 1 + sizeOf(data.length) + data.length +
      (time === undefined ? 0 : 1 + sizeOf(time)) +
      (members === undefined ? 0 : 1 + sizeOf(members.length) + members.length);
    this.#reserve(size + MOST_BESIDE);
    this.#number(size);
    const start = this.#length;
    this.#tagged(TAG.index, index);
    this.#tagged(TAG.term, term);
    this.#tagged(TAG.data, data.length);
    this.#bytes.set(data, this.#length);
    this.#length += data.length;
    if (time !== undefined) this.#tagged(TAG.time, time);
    if (members !== undefined) {
      this.#tagged(TAG.configuration, members.length);
      this.#bytes.set(members, this.#length);
      this.#length += members.length;
    }
    return { start, end: this.#length };
  }

  #reserve(size: number): void {
    const wanted = this.#length + size;
    if (wanted <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(wanted, 2 * this.#bytes.length));
    larger.set(this.bytes);
    this.#bytes = larger;
  }

  #tagged(tag: number, value: number | bigint): void {
    this.#bytes[this.#length++] = tag;
    this.#number(value);
  }

  #number(value: number | bigint): void {
    let big = typeof value === "bigint" ? value : 0n;
    for (; big > Number.MAX_SAFE_INTEGER; big >>= 7n) this.#bytes[this.#length++] = Number(big & 0x7fn) | 0x80;
    let rest = typeof value === "bigint" ? Number(big) : value;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) this.#bytes[this.#length++] = rest % 0x80 | 0x80;
    this.#bytes[this.#length++] = rest;
  }
}

/** The bytes that a number takes. */
function sizeOf(value: number | bigint): number {
  let size = 1;
  let big = typeof value === "bigint" ? value : 0n;
  for (; big > Number.MAX_SAFE_INTEGER; big >>= 7n) size++;
  for (let rest = typeof value === "bigint" ? Number(big) : value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

function encodeConfiguration({ peers, oldPeers }: Configuration): Uint8Array {
  return (members ??= configurationFields()).encode({
    peers: [...peers],
    ...(oldPeers !== undefined && { oldPeers: [...oldPeers], changing: true }),
  });
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
