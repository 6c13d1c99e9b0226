/**
 * Reading a log's stream: every batch is checked against the one before it.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import { ByteBuffer, equal, toHex } from "../stream/mod.ts";
import { decodeRecord, type LogHeader, type LogRecord, MAX_RECORD } from "./records.ts";

/** The history before the stream, as the reader knows it. */
export interface LogReaderOptions {
  /** The first entry that is wanted. */
  readonly first: bigint;
  /** The digest of the history before it; absent to take the word of the stream. */
  readonly previous?: Uint8Array | undefined;
  /** The group; absent to take entries of any. */
  readonly group?: string | undefined;
  /** Where the stream comes from, for messages. */
  readonly source: string;
}

/** The records of a log's stream, out of pieces of bytes. */
export class LogReader {
  readonly #options: LogReaderOptions;
  /** What is there of a record: of its length first, then of its message. */
  #message: ByteBuffer | undefined;
  #length = 0;
  #shift = 1;
  #next: bigint;
  #digest: Uint8Array | undefined;
  #term = 0n;
  #hasHeader = false;
  #isWhole = false;

  /** @param options what is known */
  constructor(options: LogReaderOptions) {
    this.#options = options;
    this.#next = options.first;
    this.#digest = options.previous;
  }

  /** The next entry. */
  get next(): bigint {
    return this.#next;
  }

  /** The digest of the history before {@linkcode next}; absent before the header came, if it was not known. */
  get digest(): Uint8Array | undefined {
    return this.#digest;
  }

  /** True once the end has come. */
  get isWhole(): boolean {
    return this.#isWhole;
  }

  /**
   * Takes bytes, and gives the records that they complete.
   *
   * @throws {SnapshotError} `MALFORMED`, `UNSUPPORTED`; `CORRUPT` if entries are not what their digest says; `STALE` if
   *   they are of another history; `FORBIDDEN` if they are of another group
   */
  *read(piece: Uint8Array): Generator<LogRecord, void, undefined> {
    let at = 0;
    while (at < piece.length) {
      if (this.#message === undefined) {
        const byte = piece[at++]!;
        this.#length += (byte & 127) * this.#shift;
        this.#shift *= 128;
        if (this.#length > MAX_RECORD || this.#shift > 2 ** 35) {
          throw this.#error("MALFORMED", `announces a record of ${this.#length} bytes or more; ${MAX_RECORD} are read`);
        }
        if (byte > 127) continue;
        this.#message = new ByteBuffer(this.#length);
      }
      const part = piece.subarray(at, at + this.#length - this.#message.length);
      this.#message.add(part);
      at += part.length;
      if (this.#message.length < this.#length) return;
      const record = this.#decode(this.#message.bytes);
      this.#message = undefined;
      this.#length = 0;
      this.#shift = 1;
      this.#check(record);
      yield record;
    }
  }

  /** Decodes a record; a failure says where. */
  #decode(bytes: Uint8Array): LogRecord {
    try {
      return decodeRecord(bytes);
    } catch (cause) {
      const { code, message, fields } = cause as SnapshotError;
      const { source } = this.#options;
      throw new SnapshotError(code, `The log of ${source} cannot be read from entry ${this.#next} on: ${message}`, {
        ...fields,
        source,
        index: this.#next,
        cause,
      });
    }
  }

  /** Checks a record against what came before it. */
  #check(record: LogRecord): void {
    if (this.#isWhole) throw this.#error("MALFORMED", "goes on behind its end");
    if (record.kind === "header") return this.#begin(record.header);
    if (!this.#hasHeader) throw this.#error("MALFORMED", "does not begin with a header");
    if (record.kind === "batch") {
      const { entries, previous, digest } = record.batch;
      this.#checkHistory(previous, this.#next - 1n);
      for (const { index, term } of entries) {
        if (index !== this.#next) throw this.#error("MALFORMED", `has entry ${index} where ${this.#next} comes next`);
        if (term < this.#term) {
          throw this.#error("MALFORMED", `has term ${term} at entry ${index}, behind term ${this.#term}`);
        }
        this.#next++;
        this.#term = term;
      }
      this.#digest = digest;
    } else if (record.kind === "end") {
      if (record.end.last !== this.#next - 1n) {
        throw this.#error(
          "CORRUPT",
          `ends with entry ${this.#next - 1n}, and says that ${record.end.last} is its last`,
        );
      }
      this.#checkHistory(record.end.digest, record.end.last);
      this.#isWhole = true;
    }
  }

  #begin({ group, first, previous, term }: LogHeader): void {
    if (this.#hasHeader) throw this.#error("MALFORMED", "has two headers");
    const { group: own } = this.#options;
    if (own !== undefined && group !== undefined && group !== own) {
      throw this.#error("FORBIDDEN", `is of group ${JSON.stringify(group)}, not of ${JSON.stringify(own)}`);
    }
    if (first !== this.#next) throw this.#error("MALFORMED", `begins with entry ${first}, not with ${this.#next}`);
    if (this.#digest !== undefined) this.#checkHistory(previous, first - 1n);
    this.#digest = previous;
    this.#term = term;
    this.#hasHeader = true;
  }

  #checkHistory(said: Uint8Array, index: bigint): void {
    const known = this.#digest!;
    if (equal(said, known)) return;
    throw new SnapshotError(
      "STALE",
      `${this.#options.source} has another history: up to entry ${index} it is not what is here. Nothing of it is ` +
        "taken; one of the two was written by somebody who was no longer the leader",
      { index, source: this.#options.source, expected: toHex(known), actual: toHex(said) },
    );
  }

  #error(code: "MALFORMED" | "CORRUPT" | "FORBIDDEN", what: string): SnapshotError {
    const { source } = this.#options;
    return new SnapshotError(code, `The log of ${source} ${what}`, { source, index: this.#next });
  }
}
