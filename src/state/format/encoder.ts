/**
 * Writing a file of keyed state (the format: head.ts) without an object for each value.
 *
 * @module
 */

import { checkBytes } from "../../checks.ts";
import { messageOf, SnapshotError } from "../../errors.ts";
import { DEFAULT_CHUNK_SIZE } from "../../stream/mod.ts";
import type { Codec } from "../codecs/mod.ts";
import type { KeyGroupRange } from "../key_groups.ts";
import { Pace } from "../pace.ts";
import { encodeAt } from "./entries.ts";

/** The longest key or value: 1 GiB. */
export const MAX_LENGTH: number = 1024 * 1024 * 1024;
/** The largest buffer that still grows for a codec: room for the longest value, and for three bytes a character. */
const MAX_ROOM = 2 * MAX_LENGTH;
/** The longest varint, for numbers below 2^49. */
const MAX_VARINT = 7;
/** The room for the last entry of a chunk, and for the end of a group. */
const SLACK = 64 * 1024;

/** Encodes key groups, and hands them on in chunks. */
export class StateEncoder {
  /** True if {@linkcode turn} must be called before more is put. */
  due = false;
  readonly #first: number;
  readonly #offsets: Float64Array;
  /** The number of offsets that are known. */
  #known = 0;
  readonly #write: (chunk: Uint8Array) => Promise<void>;
  readonly #pace = new Pace();
  #bytes = new Uint8Array(DEFAULT_CHUNK_SIZE + SLACK);
  #length = 0;
  /** The number of bytes handed on. */
  #position = 0;
  /** The number of entries of the section. */
  #count = 0;

  /**
   * @param range the key groups
   * @param write takes a chunk, whose buffer is reused when the promise has resolved
   */
  constructor({ first, last }: KeyGroupRange, write: (chunk: Uint8Array) => Promise<void>) {
    this.#first = first;
    this.#offsets = new Float64Array(last - first + 1);
    this.#write = write;
  }

  /** The offset of each key group; for one that was not written, that of the next one, or the end. */
  get offsets(): Float64Array {
    return this.#offsets.fill(this.#position, this.#known);
  }

  /** Writes the header. */
  async head(bytes: Uint8Array): Promise<void> {
    await this.#write(bytes);
    this.#position = bytes.length;
  }

  /** Begins a key group. The groups come in order; a group that is left out is empty. */
  beginGroup(keyGroup: number): void {
    const known = keyGroup - this.#first + 1;
    this.#offsets.fill(this.#position, this.#known, known);
    this.#known = known;
    this.#varint(keyGroup);
  }

  /** Begins the section of a state. */
  beginSection(state: number, replaces: boolean): void {
    this.#reserve(2 * MAX_VARINT);
    this.#varint(state + 1);
    this.#bytes[this.#length++] = replaces ? 1 : 0;
    this.#count = 0;
  }

  /** Writes an entry. */
  put<K, V>(state: string, keys: Codec<K>, key: K, values: Codec<V>, value: V): void {
    const start = this.#length;
    try {
      this.#sized(keys, key, true, 1);
      this.#sized(values, value, false, 0);
    } catch (error) {
      this.#length = start;
      throw refused(state, key, error);
    }
    this.#added();
  }

  /** Writes the deletion of an entry. */
  delete<K>(state: string, keys: Codec<K>, key: K): void {
    const start = this.#length;
    try {
      this.#sized(keys, key, true, 2);
    } catch (error) {
      this.#length = start;
      throw refused(state, key, error);
    }
    this.#added();
  }

  /** Ends a section. */
  endSection(): void {
    this.#reserve(1 + MAX_VARINT);
    this.#bytes[this.#length++] = 0;
    this.#varint(this.#count);
  }

  /** Ends a key group; the next one begins a chunk. */
  async endGroup(): Promise<void> {
    this.#reserve(1);
    this.#bytes[this.#length++] = 0;
    await this.#flush(0);
    if (this.#bytes.length > DEFAULT_CHUNK_SIZE + SLACK) this.#bytes = new Uint8Array(DEFAULT_CHUNK_SIZE + SLACK);
    await this.#pace.turn();
  }

  /** Hands on full chunks, and yields to the event loop if it is time. */
  async turn(): Promise<void> {
    this.due = false;
    await this.#flush(DEFAULT_CHUNK_SIZE);
    await this.#pace.turn();
  }

  /** Hands on chunks until fewer than `keep` bytes are left, or none. */
  async #flush(keep: number): Promise<void> {
    let at = 0;
    while (this.#length - at >= Math.max(keep, 1)) {
      const end = Math.min(at + DEFAULT_CHUNK_SIZE, this.#length);
      await this.#write(this.#bytes.subarray(at, end));
      this.#position += end - at;
      at = end;
    }
    this.#bytes.copyWithin(0, at, this.#length);
    this.#length -= at;
  }

  #added(): void {
    this.#count++;
    if (this.#pace.step() || this.#length >= DEFAULT_CHUNK_SIZE) this.due = true;
  }

  /** Writes a value after its length prefix: `length`, or `2 * length + add` for a key. */
  #sized<T>(codec: Codec<T>, value: T, isKey: boolean, add: number): void {
    this.#reserve(MAX_VARINT + 1);
    const at = this.#length;
    const end = this.#encode(codec, value, at + 1);
    const length = end - at - 1;
    if (length > MAX_LENGTH) {
      throw new SnapshotError("MALFORMED", `it has ${length} bytes, over ${MAX_LENGTH}`, { expected: MAX_LENGTH });
    }
    const prefix = isKey ? 2 * length + add : length;
    const size = varintSize(prefix);
    if (size > 1) {
      this.#length = end;
      this.#reserve(size);
      this.#bytes.copyWithin(at + size, at + 1, end); // one byte was left for the prefix
    }
    this.#length = at;
    this.#varint(prefix);
    this.#length = at + size + length;
  }

  /** Writes a value at an offset in the buffer, which grows until the value fits; returns its end. */
  #encode<T>(codec: Codec<T>, value: T, at: number): number {
    if (codec.encodeInto === undefined) {
      const bytes = checkBytes(codec.encode(value), "What it makes of a value");
      this.#length = at;
      this.#reserve(bytes.length);
      this.#bytes.set(bytes, at);
      return at + bytes.length;
    }
    for (;;) {
      const end = encodeAt(codec, value, this.#bytes, at);
      if (end >= 0) return end;
      if (this.#bytes.length > MAX_ROOM) {
        throw new SnapshotError(
          "MALFORMED",
          `its codec ${codec.name} finds no room for it in ${this.#bytes.length} bytes`,
        );
      }
      this.#grow(this.#bytes.length * 2);
    }
  }

  #reserve(count: number): void {
    if (this.#length + count > this.#bytes.length) this.#grow(Math.max(this.#length + count, this.#bytes.length * 2));
  }

  #grow(size: number): void {
    const larger = new Uint8Array(size);
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }

  #varint(value: number): void {
    for (; value >= 0x80; value = Math.floor(value / 0x80)) this.#bytes[this.#length++] = (value % 0x80) | 0x80;
    this.#bytes[this.#length++] = value;
  }
}

function varintSize(value: number): number {
  let size = 1;
  for (; value >= 0x80; value = Math.floor(value / 0x80)) size++;
  return size;
}

function refused(state: string, key: unknown, error: unknown): SnapshotError {
  const shown = typeof key === "string" ? JSON.stringify(key.slice(0, 100)) : String(key);
  return new SnapshotError(
    "MALFORMED",
    `The entry ${shown} of the state ${JSON.stringify(state)} cannot be saved: ${messageOf(error)}`,
    { cause: error },
  );
}
