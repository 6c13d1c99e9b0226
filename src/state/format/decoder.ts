/**
 * Reading key groups of a file of keyed state (the format: head.ts) from pieces of any size.
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import type { KeyGroupOffsets } from "../../snapshot/mod.ts";
import { concat } from "../../stream/mod.ts";
import { Block, textDecoders } from "../codecs/mod.ts";
import type { KeyGroupRange } from "../key_groups.ts";
import { MAX_LENGTH } from "./encoder.ts";

/** The longest varint that is read, for numbers below 2^49. */
const MAX_VARINT = 7;

/** Receives what is read. An error that it throws ends the reading. */
export interface StateVisitor {
  /**
   * Begins a key group's section of a state (its position in the header), which replaces earlier ones if `replaces`.
   */
  section(keyGroup: number, state: number, replaces: boolean): void;
  /** Takes an entry. */
  put(block: Block, keyStart: number, keyEnd: number, valueStart: number, valueEnd: number): void;
  /** Takes the key of an entry that was deleted. */
  delete(block: Block, keyStart: number, keyEnd: number): void;
  /** Called after each piece; reading continues when it resolves. */
  flush?(): Promise<void>;
}

/** Decodes consecutive key groups. */
export class StateDecoder {
  readonly #file: string;
  readonly #size: number;
  readonly #table: KeyGroupOffsets;
  readonly #visitor: StateVisitor;
  readonly #states: number;
  readonly #decoders = textDecoders();
  readonly #last: number;
  #group: number;
  /** The undecoded rest of the last pieces; `#needed` is the length that it must have before decoding goes on. */
  #rest: Uint8Array[] = [];
  #length = 0;
  #needed = 0;
  #block: Block = new Block(new Uint8Array(0), this.#decoders);
  #at = 0;
  /** The offset of the block in the file. */
  #position: number;
  #state: "group" | "section" | "entry" = "group";
  #count = 0;

  /**
   * @param file the name of the file, for errors
   * @param size its size
   * @param table the offsets of its key groups
   * @param range the key groups that are read
   * @param states the number of states in the header
   * @param visitor receives everything
   */
  constructor(
    file: string,
    size: number,
    table: KeyGroupOffsets,
    range: KeyGroupRange,
    states: number,
    visitor: StateVisitor,
  ) {
    this.#file = file;
    this.#size = size;
    this.#table = table;
    this.#states = states;
    this.#visitor = visitor;
    this.#group = range.first;
    this.#last = range.last;
    this.#position = table.offsets[range.first - table.first]!;
  }

  /** The key group that is being read, or is to be read next. */
  get keyGroup(): number {
    return this.#group;
  }

  /** Takes in a piece. */
  push(piece: Uint8Array): void {
    this.#rest.push(piece);
    this.#length += piece.length;
    if (this.#length < this.#needed) return;
    const bytes = this.#rest.length === 1 ? piece : concat(this.#rest);
    this.#block = new Block(bytes, this.#decoders);
    this.#at = 0;
    let whole = 0; // the end of the last whole item
    this.#needed = 0;
    while (this.#needed === 0 && this.#at < bytes.length) {
      if (this.#step()) whole = this.#at;
    }
    this.#position += whole;
    const rest = bytes.subarray(whole);
    this.#rest = rest.length > 0 ? [rest] : [];
    this.#length = rest.length;
    this.#needed = Math.max(this.#needed - whole, 0);
  }

  /** Ends the reading, and checks that nothing is missing. */
  end(): void {
    this.#skipEmpty();
    if (this.#state === "group" && this.#length === 0 && this.#group > this.#last) return;
    throw this.#malformed("it ends in the middle of a key group");
  }

  /** Reads one item; if it is not all here, sets `#needed` and returns false. */
  #step(): boolean {
    if (this.#state === "group") return this.#beginGroup();
    if (this.#state === "section") return this.#beginSection();
    return this.#entry();
  }

  #beginGroup(): boolean {
    const start = this.#position + this.#at;
    const group = this.#varint();
    if (group === undefined) return false;
    this.#skipEmpty();
    if (this.#group > this.#last) throw this.#malformed("something follows its last key group");
    if (start !== this.#offset(this.#group) || group !== this.#group) {
      throw this.#malformed(`key group ${group} begins at ${start}, where its table of offsets does not have it`);
    }
    this.#state = "section";
    return true;
  }

  /** Skips key groups that take no bytes. */
  #skipEmpty(): void {
    while (this.#group <= this.#last && this.#offset(this.#group) === this.#offset(this.#group + 1)) this.#group++;
  }

  /** The offset of a key group; for the one after the last, the end of the file. */
  #offset(group: number): number {
    return this.#table.offsets[group - this.#table.first] ?? this.#size;
  }

  #beginSection(): boolean {
    const state = this.#varint();
    if (state === undefined) return false;
    if (state === 0) {
      this.#state = "group";
      this.#group++;
      return true;
    }
    const mode = this.#take(1);
    if (mode < 0) return false;
    if (state > this.#states) throw this.#malformed(`it has a state ${state}, and its header ${this.#states}`);
    const replaces = this.#block.bytes[mode]!;
    if (replaces > 1) throw this.#malformed(`a section of mode ${replaces}`);
    this.#visitor.section(this.#group, state - 1, replaces === 1);
    this.#count = 0;
    this.#state = "entry";
    return true;
  }

  #entry(): boolean {
    const prefix = this.#varint();
    if (prefix === undefined) return false;
    if (prefix === 0) {
      const count = this.#varint();
      if (count === undefined) return false;
      if (count !== this.#count) throw this.#malformed(`a section says ${count} entries, and there are ${this.#count}`);
      this.#state = "section";
      return true;
    }
    const keyLength = Math.floor((prefix - 1) / 2);
    const key = this.#take(keyLength);
    if (key < 0) return false;
    if ((prefix - 1) % 2 === 1) {
      this.#visitor.delete(this.#block, key, key + keyLength);
    } else {
      const length = this.#varint();
      if (length === undefined) return false;
      const value = this.#take(length);
      if (value < 0) return false;
      this.#visitor.put(this.#block, key, key + keyLength, value, value + length);
    }
    this.#count++;
    return true;
  }

  /** Skips some bytes, and returns their start; -1 if they are not all here. */
  #take(length: number): number {
    if (length > MAX_LENGTH) throw this.#malformed(`something in it is ${length} bytes long`);
    const start = this.#at;
    if (start + length > this.#block.bytes.length) {
      this.#needed = start + length;
      return -1;
    }
    this.#at += length;
    return start;
  }

  #varint(): number | undefined {
    const { bytes } = this.#block;
    if (this.#at < bytes.length && bytes[this.#at]! < 0x80) return bytes[this.#at++];
    let value = 0;
    for (let i = 0, factor = 1; i < MAX_VARINT; i++, factor *= 0x80) {
      if (this.#at === bytes.length) {
        this.#needed = this.#at + 1;
        return undefined;
      }
      const byte = bytes[this.#at++]!;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) return value;
    }
    throw this.#malformed("a length in it is too long");
  }

  #malformed(what: string): SnapshotError {
    return new SnapshotError("MALFORMED", `The keyed state in ${this.#file} is damaged: ${what}`, {
      file: this.#file,
      keyGroup: this.#group,
    });
  }
}
