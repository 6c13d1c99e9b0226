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
import { type Configuration, Entry, type LogEntry } from "../state/mod.ts";
import { equal, list, message, one } from "../stream/mod.ts";
import { MAX_TIME } from "./log.ts";

interface ConfigurationBytes {
  peers?: string[];
  oldPeers?: string[];
  changing?: boolean;
}

const configurationFields = () =>
  message<ConfigurationBytes>({ peers: list(1, "text"), oldPeers: list(2, "text"), changing: one(3, "bool") });
let members: ReturnType<typeof configurationFields> | undefined;

/** The tags of an entry's fields. */
const TAG = { index: 0x08, term: 0x10, data: 0x1a, time: 0x20, configuration: 0x2a };
/** The most bytes of an entry beside its data and its configuration. */
export const MOST_BESIDE = 48;

/**
 * Entries, one behind the other, each with its length before it: always as the same bytes, since digests are made of
 * them. By hand: the digest of a history wants every entry's bytes, and a table of fields takes five times as long.
 */
export class EntryWriter {
  #bytes: Uint8Array;
  #length: number;

  /**
   * @param capacity the bytes to begin with
   * @param before bytes that are left free before the first entry
   */
  constructor(capacity = 256, before = 0) {
    this.#bytes = new Uint8Array(capacity + before);
    this.#length = before;
  }

  /** What was written, behind what was left free; valid until more is. */
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

  /** Writes an entry in place of all that was; returns its bytes, without the length: valid until more is written. */
  alone(entry: LogEntry): Uint8Array {
    this.#length = 0;
    const { start, end } = this.add(entry);
    return this.#bytes.subarray(start, end);
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
 * Decodes an entry: only what {@linkcode EntryWriter} writes, to the byte, since a follower hands on what it got.
 *
 * @param bytes its bytes; the data is not copied out of them
 * @throws {SnapshotError} `MALFORMED` if they are none; `UNSUPPORTED` if a newer release wrote them
 */
export function decodeEntry(bytes: Uint8Array): LogEntry {
  try {
    return new EntryReader(bytes).entry();
  } catch (error) {
    if (error instanceof SnapshotError) throw error;
    throw new SnapshotError("MALFORMED", `This is no entry of a log: ${messageOf(error)}`, { cause: error });
  }
}

/** The highest tag that is known. */
const LAST_TAG = TAG.configuration;
/** A number has no more bytes: it has 63 bits. */
const MOST_BYTES = 9;

/** Reads an entry, by hand as it was written. */
class EntryReader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  entry(): LogEntry {
    const index = BigInt(this.#tagged(TAG.index));
    const term = BigInt(this.#tagged(TAG.term));
    if (index === 0n) throw new Error("it has no index");
    const data = this.#delimited(TAG.data);
    const time = this.#has(TAG.time) ? this.#tagged(TAG.time) : undefined;
    if (typeof time === "bigint" || (time ?? 0) > MAX_TIME) throw new Error(`${time} is no time`);
    const members = this.#has(TAG.configuration) ? configurationOf(this.#delimited(TAG.configuration)) : undefined;
    if (this.#at < this.#bytes.length) {
      if (this.#bytes[this.#at]! <= LAST_TAG) throw new Error("its fields are not in their order");
      throw new SnapshotError(
        "UNSUPPORTED",
        `Entry ${index} has a field that this release does not know: use a newer one`,
        { index },
      );
    }
    return new Entry(index, term, data, time, members);
  }

  #has(tag: number): boolean {
    return this.#bytes[this.#at] === tag;
  }

  #tagged(tag: number): number | bigint {
    if (!this.#has(tag)) throw new Error("a field is missing");
    this.#at++;
    return this.#number();
  }

  #delimited(tag: number): Uint8Array {
    const start = Number(this.#tagged(tag)) + this.#at;
    if (start > this.#bytes.length) throw new Error("it ends within a field");
    return this.#bytes.subarray(this.#at, this.#at = start);
  }

  /** A number in as few bytes as it takes: a bigint if it is above the safe integers. */
  #number(): number | bigint {
    let [value, factor] = [0, 1];
    const start = this.#at;
    for (;;) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new Error("it ends within a number");
      value += (byte & 0x7f) * factor;
      factor *= 0x80;
      if (byte >= 0x80) continue;
      const count = this.#at - start;
      if (byte === 0 && count > 1 || count > MOST_BYTES) throw new Error("a number has bytes that it does not need");
      return value <= Number.MAX_SAFE_INTEGER ? value : this.#bigint(start);
    }
  }

  #bigint(start: number): bigint {
    let value = 0n;
    for (let at = this.#at - 1; at >= start; at--) value = value << 7n | BigInt(this.#bytes[at]! & 0x7f);
    return value;
  }
}

function configurationOf(bytes: Uint8Array): Configuration {
  const { peers = [], oldPeers = [], changing } = (members ??= configurationFields()).decode(bytes);
  const configuration = { peers, ...(changing === true && { oldPeers }) };
  if (equal(encodeConfiguration(configuration), bytes)) return configuration;
  throw new Error("its configuration is not as this release writes one");
}

/** Checks an index or a term that was read. */
export function checkedIndex(value: bigint | undefined, least = 0n): bigint {
  if (value !== undefined && value >= least && value <= MAX_INDEX) return value;
  throw new Error(`${value} is no index`);
}
