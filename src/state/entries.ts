/**
 * Key-value entries as a stream.
 *
 * ```text
 * stream = magic version codec entry* end      magic = "SSKV", version = 01, codec = name (varint length + UTF-8)
 * entry  = key value                           key   = varint (length + 1) + UTF-8, value = varint length + bytes
 * end    = 00 count                            count = varint
 * ```
 *
 * A varint is protobuf's: seven bits a byte, lowest first.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import { concat } from "../stream/mod.ts";
import type { Codec } from "./codec.ts";

const MAGIC = "SSKV";
const VERSION = 1;
/** What is handed on at once. */
const BLOCK_SIZE = 64 * 1024;
/** The longest key or value. */
const MAX_LENGTH = 1024 * 1024 * 1024;
/** The longest varint that is read: up to 2^49. */
const MAX_VARINT = 7;

/**
 * The bytes of entries, as they are asked for: nothing is encoded ahead.
 *
 * @param entries what to encode
 * @param codec for the values; keys are UTF-8
 * @throws {SnapshotError} `MALFORMED` for a key or value of more than 1 GiB
 */
export function* encodeEntries<V>(
  entries: Iterable<readonly [string, V]>,
  codec: Codec<V>,
): Generator<Uint8Array, void, undefined> {
  const block = new Block();
  const keys = new TextEncoder();
  block.put(keys.encode(MAGIC));
  block.put(Uint8Array.of(VERSION));
  const name = keys.encode(codec.name);
  block.varint(name.length);
  block.put(name);
  let count = 0;
  for (const [key, value] of entries) {
    const bytes = codec.encode(value);
    if (bytes.length > MAX_LENGTH) throw tooLong(key);
    // In UTF-8 a key has at most three bytes a unit.
    if (!block.fits(key.length * 3 + bytes.length + 2 * MAX_VARINT)) {
      if (block.length > 0) yield block.take();
      block.grow(key.length * 3 + bytes.length + 2 * MAX_VARINT);
    }
    block.text(key, keys);
    block.varint(bytes.length);
    block.put(bytes);
    count++;
  }
  if (!block.fits(1 + MAX_VARINT)) yield block.take();
  block.varint(0);
  block.varint(count);
  yield block.take();
}

/** Bytes being gathered. */
class Block {
  #bytes: Uint8Array = new Uint8Array(BLOCK_SIZE);
  length = 0;

  fits(count: number): boolean {
    return this.length + count <= this.#bytes.length;
  }

  /** Makes room for something large, in an empty block. */
  grow(count: number): void {
    if (count > this.#bytes.length) this.#bytes = new Uint8Array(count);
  }

  put(bytes: Uint8Array): void {
    this.#bytes.set(bytes, this.length);
    this.length += bytes.length;
  }

  varint(value: number): void {
    for (; value >= 0x80; value = Math.floor(value / 0x80)) this.#bytes[this.length++] = (value % 0x80) | 0x80;
    this.#bytes[this.length++] = value;
  }

  text(text: string, encoder: TextEncoder): void {
    if (text.length * 3 < 0x7f) { // the length takes one byte, whatever it turns out to be
      const { written } = encoder.encodeInto(text, this.#bytes.subarray(this.length + 1));
      this.#bytes[this.length] = written + 1;
      this.length += 1 + written;
    } else {
      const bytes = encoder.encode(text);
      if (bytes.length > MAX_LENGTH) throw tooLong(text);
      this.varint(bytes.length + 1);
      this.put(bytes);
    }
  }

  take(): Uint8Array {
    const bytes = this.#bytes.subarray(0, this.length);
    this.#bytes = new Uint8Array(BLOCK_SIZE);
    this.length = 0;
    return bytes;
  }
}

/**
 * Reads entries.
 *
 * @param stream the bytes
 * @param codec what they were encoded with
 * @param visit called for each entry, in order
 * @throws {SnapshotError} `MALFORMED` if they are no entries, `UNSUPPORTED` for another version or codec, `CORRUPT` if
 *   they are not all there
 */
export async function decodeEntries<V>(
  stream: ReadableStream<Uint8Array>,
  codec: Codec<V>,
  visit: (key: string, value: V) => void,
): Promise<void> {
  const decoder = new EntryDecoder(codec, visit);
  for await (const piece of stream) decoder.push(piece);
  decoder.end();
}

class EntryDecoder<V> {
  readonly #codec: Codec<V>;
  readonly #visit: (key: string, value: V) => void;
  readonly #keys = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  /** What the last pieces left, and how many bytes must be here before it is worth looking again. */
  #rest: Uint8Array[] = [];
  #length = 0;
  #needed = 0;
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #state: "head" | "entries" | "done" = "head";
  #count = 0;

  constructor(codec: Codec<V>, visit: (key: string, value: V) => void) {
    this.#codec = codec;
    this.#visit = visit;
  }

  push(piece: Uint8Array): void {
    this.#rest.push(piece);
    this.#length += piece.length;
    if (this.#length < this.#needed) return;
    this.#bytes = this.#rest.length === 1 ? piece : concat(this.#rest);
    this.#at = 0;
    let whole = 0; // where the last whole thing ended
    this.#needed = 0;
    while (this.#needed === 0 && this.#at < this.#bytes.length) {
      if (this.#step()) whole = this.#at;
    }
    const rest = this.#bytes.subarray(whole);
    this.#rest = rest.length > 0 ? [rest] : [];
    this.#length = rest.length;
    this.#needed = Math.max(this.#needed - whole, 0);
  }

  end(): void {
    if (this.#state === "done" && this.#length === 0) return;
    throw new SnapshotError("CORRUPT", `The state was cut short after ${this.#count} entries: it has no end`);
  }

  /** Reads one thing; false, and `#needed` set, if it is not all here. */
  #step(): boolean {
    if (this.#state === "done") throw malformed("something follows its end");
    if (this.#state === "head") return this.#head();
    const key = this.#varint();
    if (key === undefined) return false;
    if (key === 0) {
      const count = this.#varint();
      if (count === undefined) return false;
      if (count !== this.#count) throw malformed(`its end says ${count} entries, and there are ${this.#count}`);
      this.#state = "done";
      return true;
    }
    const keyBytes = this.#take(key - 1);
    const length = keyBytes && this.#varint();
    const valueBytes = length === undefined ? undefined : this.#take(length);
    if (valueBytes === undefined) return false;
    this.#visit(this.#text(keyBytes!), this.#codec.decode(valueBytes));
    this.#count++;
    return true;
  }

  #head(): boolean {
    const head = this.#take(MAGIC.length + 1);
    if (head === undefined) return false;
    // Before the rest is read, which in anything else than this version may be anything.
    if (this.#text(head.subarray(0, MAGIC.length)) !== MAGIC) throw malformed("it does not begin like one");
    const version = head[MAGIC.length]!;
    if (version !== VERSION) {
      throw new SnapshotError("UNSUPPORTED", `The state has version ${version}; this release reads ${VERSION}`, {
        expected: VERSION,
        actual: version,
      });
    }
    const length = this.#varint();
    const name = length === undefined ? undefined : this.#take(length);
    if (name === undefined) return false;
    if (this.#text(name) !== this.#codec.name) {
      throw new SnapshotError("UNSUPPORTED", `The state was saved with another codec: load it with that one`, {
        expected: this.#codec.name,
        actual: this.#text(name),
      });
    }
    this.#state = "entries";
    return true;
  }

  #take(length: number): Uint8Array | undefined {
    if (length > MAX_LENGTH) throw malformed(`something in it is ${length} bytes long`);
    if (this.#at + length > this.#bytes.length) {
      this.#needed = this.#at + length;
      return undefined;
    }
    return this.#bytes.subarray(this.#at, this.#at += length);
  }

  #varint(): number | undefined {
    let value = 0;
    for (let i = 0, factor = 1; i < MAX_VARINT; i++, factor *= 0x80) {
      if (this.#at === this.#bytes.length) {
        this.#needed = this.#at + 1;
        return undefined;
      }
      const byte = this.#bytes[this.#at++]!;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
    throw malformed("a length in it is too long");
  }

  #text(bytes: Uint8Array): string {
    try {
      return this.#keys.decode(bytes);
    } catch (error) {
      throw malformed("a key in it is not UTF-8", error);
    }
  }
}

function tooLong(key: string): SnapshotError {
  const name = JSON.stringify(key.slice(0, 100));
  return new SnapshotError(
    "MALFORMED",
    `The key ${name}, or its value, is longer than ${MAX_LENGTH}: nobody could read it`,
    {
      expected: MAX_LENGTH,
    },
  );
}

function malformed(what: string, cause?: unknown): SnapshotError {
  return new SnapshotError("MALFORMED", `This is not the state of a key-value machine, or it is damaged: ${what}`, {
    cause,
  });
}
