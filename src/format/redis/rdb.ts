/**
 * Parsing a Redis RDB file, one key after the other.
 *
 * ```text
 * "REDIS" 4 digits; opcodes and keys; FF; CRC-64 (Jones) of all that, little-endian, or 0 if that was turned off
 * key = type, text, value        text = length and bytes, or an integer, or compressed by LZF
 * ```
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import type { PieceReader } from "../bytes/piece_reader.ts";
import { lzf, packedItems, ziplistItems } from "./packed.ts";

/** The newest version that is known: Redis 8. */
export const MAX_VERSION = 12;
/** The most bytes of a text that is handed on; Redis allows 512 MiB. */
const MAX_TEXT = 32 * 1024 * 1024;
/** The most fields of a hash that is handed on. */
const MAX_FIELDS = 1_000_000;

/** The opcodes beside the types of values. */
const Op = {
  ...{ SLOT: 0xf4, FUNCTION: 0xf5, MODULE: 0xf7, IDLE: 0xf8, FREQUENCY: 0xf9, AUX: 0xfa },
  ...{ RESIZE: 0xfb, EXPIRE_MS: 0xfc, EXPIRE: 0xfd, DATABASE: 0xfe, END: 0xff },
} as const;

/** The types of values: what they are called, and what they consist of. */
const TYPES: ReadonlyMap<number, readonly [name: string, shape: Shape]> = new Map([
  [0, ["string", "text"]],
  [1, ["list", "texts"]],
  [2, ["set", "texts"]],
  [3, ["zset", "scores as text"]],
  [4, ["hash", "pairs"]],
  [5, ["zset", "scores"]],
  [7, ["module", "module"]],
  [9, ["hash", "text"]],
  [10, ["list", "text"]],
  [11, ["set", "text"]],
  [12, ["zset", "text"]],
  [13, ["hash", "text"]],
  [14, ["list", "texts"]],
  [15, ["stream", "stream 1"]],
  [16, ["hash", "text"]],
  [17, ["zset", "text"]],
  [18, ["list", "nodes"]],
  [19, ["stream", "stream 2"]],
  [20, ["set", "text"]],
  [21, ["stream", "stream 3"]],
  [24, ["hash", "expiring pairs"]],
  [25, ["hash", "expiring text"]],
]);

type Shape =
  | "text"
  | "texts"
  | "pairs"
  | "nodes"
  | "scores"
  | "scores as text"
  | "expiring pairs"
  | "expiring text"
  | "module"
  | "stream 1"
  | "stream 2"
  | "stream 3";

/** A hash of pairs, and those in one text. */
const [HASH, HASH_ZIPMAP, HASH_ZIPLIST] = [4, 9, 13] as const;
/** What a part of a module's value is. */
const Part = { END: 0, SIGNED: 1, UNSIGNED: 2, FLOAT: 3, DOUBLE: 4, TEXT: 5 } as const;

/** A field; one that does not expire has the time 0. */
function fieldOf(name: Uint8Array, value: Uint8Array, expires: bigint): RdbField {
  return expires === 0n ? [name, value] : [name, value, expires];
}

/** A field of a hash, its value, and when it expires, if it does: milliseconds since 1970. */
export type RdbField = readonly [name: Uint8Array, value: Uint8Array, expires?: bigint];

/** A key of a database. */
export interface RdbKey {
  readonly database: number;
  readonly type: string;
  readonly key: Uint8Array;
  /** When it expires, in milliseconds since 1970. */
  readonly expires: bigint | undefined;
  /** A string, or the fields of a hash; nothing if it is of another type, or values were not asked for. */
  readonly value: Uint8Array | readonly RdbField[] | undefined;
}

/** Reads an RDB file. */
export class RdbParser {
  readonly #reader: PieceReader;
  readonly #file: string;
  /** Facts about the server that wrote it. */
  readonly aux: Record<string, string> = {};

  /**
   * @param reader the bytes behind the version and before the CRC
   * @param file names it in errors
   */
  constructor(reader: PieceReader, file: string) {
    this.#reader = reader;
    this.#file = file;
  }

  /**
   * The keys; ends at the opcode of the end, behind which nothing may follow.
   *
   * @param withValues hands strings and hashes on
   */
  async *keys(withValues: boolean): AsyncGenerator<RdbKey, void, undefined> {
    let database = 0;
    let expires: bigint | undefined;
    for (;;) {
      const code = await this.#byte();
      const type = TYPES.get(code);
      if (type !== undefined) {
        const key = await this.#text();
        const value = await this.#value(code, type, key, withValues);
        yield { database, type: type[0], key, expires, value };
        expires = undefined;
      } else if (code === Op.END) {
        if (await this.#reader.some(1) !== undefined) throw this.#malformed("something follows its end");
        return;
      } else if (code === Op.DATABASE) database = await this.#length();
      else if (code === Op.EXPIRE) expires = BigInt((await this.#view(4)).getInt32(0, true)) * 1000n;
      else if (code === Op.EXPIRE_MS) expires = (await this.#view(8)).getBigInt64(0, true);
      else await this.#other(code);
    }
  }

  /** What is about the file, or about how a key is used. */
  async #other(code: number): Promise<void> {
    switch (code) {
      case Op.AUX: {
        const [name, value] = [await this.#text(), await this.#text()];
        const decoder = new TextDecoder();
        if (Object.keys(this.aux).length < 100) {
          this.aux[decoder.decode(name)] = decoder.decode(value.subarray(0, 1000));
        }
        return;
      }
      case Op.RESIZE:
        await this.#length();
        return void await this.#length();
      case Op.SLOT:
        for (let i = 0; i < 3; i++) await this.#length();
        return;
      case Op.IDLE:
        return void await this.#length();
      case Op.FREQUENCY:
        return void await this.#byte();
      case Op.FUNCTION:
        return await this.#skipText();
      case Op.MODULE:
        return await this.#skipModule();
    }
    throw new SnapshotError(
      "UNSUPPORTED",
      `${
        JSON.stringify(this.#file)
      } has a value or an opcode ${code}, which this release cannot read: of a release candidate, or newer`,
      { file: this.#file, actual: code },
    );
  }

  async #value(
    code: number,
    [type, shape]: readonly [string, Shape],
    key: Uint8Array,
    wanted: boolean,
  ): Promise<RdbKey["value"]> {
    if (!wanted || type !== "string" && type !== "hash") {
      await this.#skip(shape);
      return undefined;
    }
    if (type === "string") return await this.#text();
    const least = shape.startsWith("expiring") ? (await this.#view(8)).getBigUint64(0, true) : undefined;
    if (code === HASH || shape === "expiring pairs") return await this.#pairs(least);
    if (code === HASH_ZIPMAP) {
      const name = JSON.stringify(new TextDecoder().decode(key.subarray(0, 100)));
      throw new SnapshotError(
        "UNSUPPORTED",
        `The hash ${name} is a zipmap, as before Redis 2.6: have a newer Redis save it anew`,
        {
          file: this.#file,
        },
      );
    }
    const itemsOf = code === HASH_ZIPLIST ? ziplistItems : packedItems;
    const items = itemsOf(await this.#text(), this.#file);
    const width = least === undefined ? 2 : 3;
    if (items.length % width !== 0) throw this.#malformed("a hash has a field without a value");
    return Array.from({ length: items.length / width }, (_, i) => {
      const [name, value, expires] = items.slice(i * width, (i + 1) * width) as [Uint8Array, Uint8Array, Uint8Array?];
      return expires === undefined ? [name, value] : fieldOf(name, value, this.#numberOf(expires));
    });
  }

  /** Fields one by one; the times are those after the least one, and one millisecond more. */
  async #pairs(least: bigint | undefined): Promise<RdbField[]> {
    const count = await this.#length();
    if (count > MAX_FIELDS) throw this.#tooLarge(`a hash of ${count} fields`);
    const fields: RdbField[] = [];
    for (let i = 0; i < count; i++) {
      const after = least === undefined ? 0n : BigInt(await this.#length());
      const [name, value] = [await this.#text(), await this.#text()];
      fields.push(fieldOf(name, value, after === 0n ? 0n : least! + after - 1n));
    }
    return fields;
  }

  #numberOf(text: Uint8Array): bigint {
    const digits = new TextDecoder().decode(text.subarray(0, 20));
    if (/^\d{1,19}$/.test(digits)) return BigInt(digits);
    throw this.#malformed("there is no time where one should be");
  }

  async #skip(shape: Shape): Promise<void> {
    if (shape.startsWith("expiring")) await this.#reader.skip(8); // the least of the times
    if (shape.endsWith("text") && shape !== "scores as text") return await this.#skipText();
    if (shape === "module") return await this.#skipModule();
    if (shape === "stream 1" || shape === "stream 2" || shape === "stream 3") {
      return await this.#skipStream(Number(shape.at(-1)));
    }
    const count = await this.#length();
    for (let i = 0; i < count; i++) {
      if (shape === "nodes" || shape === "expiring pairs") await this.#length(); // plain or packed; the time
      await this.#skipText();
      if (shape.endsWith("pairs")) await this.#skipText();
      if (shape === "scores") await this.#reader.skip(8);
      if (shape === "scores as text") {
        const length = await this.#byte();
        if (length < 253) await this.#reader.skip(length); // else not a number, or infinite
      }
    }
  }

  /** Each part of what a module has written says what it is. */
  async #skipModule(): Promise<void> {
    await this.#length(); // the module
    for (let part = await this.#length(); part !== Part.END; part = await this.#length()) {
      if (part === Part.SIGNED || part === Part.UNSIGNED) await this.#length();
      else if (part === Part.FLOAT) await this.#reader.skip(4);
      else if (part === Part.DOUBLE) await this.#reader.skip(8);
      else if (part === Part.TEXT) await this.#skipText();
      else throw this.#malformed("a part of a module's value is of no kind");
    }
  }

  async #skipStream(version: number): Promise<void> {
    const times = async (count: number, work: () => Promise<unknown>) => {
      for (let i = 0; i < count; i++) await work();
    };
    const lengths = (count: number) => times(count, () => this.#length());
    await times(await this.#length(), async () => {
      await this.#skipText();
      await this.#skipText();
    });
    await lengths(version === 1 ? 3 : 8);
    await times(await this.#length(), async () => {
      await this.#skipText();
      await lengths(version === 1 ? 2 : 3);
      await times(await this.#length(), async () => {
        await this.#reader.skip(24);
        await this.#length();
      });
      await times(await this.#length(), async () => {
        await this.#skipText();
        await this.#reader.skip(version === 3 ? 16 : 8);
        await times(await this.#length(), () => this.#reader.skip(16));
      });
    });
  }

  async #skipText(): Promise<void> {
    const { length, special } = await this.#lengthOrSpecial();
    if (special === undefined) return await this.#reader.skip(length);
    if (special < 3) return await this.#reader.skip(1 << special);
    const packed = await this.#length();
    await this.#length();
    await this.#reader.skip(packed);
  }

  async #text(): Promise<Uint8Array> {
    const { length, special } = await this.#lengthOrSpecial();
    if (special === undefined) {
      if (length > MAX_TEXT) throw this.#tooLarge(`a text of ${length} bytes`);
      return (await this.#reader.exactly(length)).slice();
    }
    if (special < 3) {
      const view = await this.#view(1 << special);
      const value = special === 0 ? view.getInt8(0) : special === 1 ? view.getInt16(0, true) : view.getInt32(0, true);
      return new TextEncoder().encode(String(value));
    }
    const [packed, unpacked] = [await this.#length(), await this.#length()];
    if (packed > MAX_TEXT || unpacked > MAX_TEXT) throw this.#tooLarge(`a text of ${unpacked} bytes`);
    const text = lzf(await this.#reader.exactly(packed), unpacked);
    if (text === undefined) throw this.#malformed("a text cannot be decompressed");
    return text;
  }

  async #length(): Promise<number> {
    const { length, special } = await this.#lengthOrSpecial();
    if (special !== undefined) throw this.#malformed("there is no number where one should be");
    return length;
  }

  async #lengthOrSpecial(): Promise<{ length: number; special?: number }> {
    const first = await this.#byte();
    const kind = first >> 6;
    if (kind === 0) return { length: first };
    if (kind === 1) return { length: (first & 0x3f) << 8 | await this.#byte() };
    if (first === 0x80) return { length: (await this.#view(4)).getUint32(0) };
    // Rounded: over 2^53 are identifiers in streams and -1, which are passed over, and lengths that no file has.
    if (first === 0x81) return { length: Number((await this.#view(8)).getBigUint64(0)) };
    if (kind === 3 && (first & 0x3f) < 4) return { length: 0, special: first & 0x3f };
    throw this.#malformed("a length begins with a byte that none does");
  }

  async #byte(): Promise<number> {
    return (await this.#reader.exactly(1))[0]!;
  }

  async #view(count: number): Promise<DataView> {
    const bytes = await this.#reader.exactly(count);
    return new DataView(bytes.buffer, bytes.byteOffset, count);
  }

  #malformed(what: string): SnapshotError {
    const { position } = this.#reader;
    return new SnapshotError("MALFORMED", `${JSON.stringify(this.#file)} is damaged: ${what} (near byte ${position})`, {
      file: this.#file,
    });
  }

  #tooLarge(what: string): SnapshotError {
    return new SnapshotError(
      "UNSUPPORTED",
      `${JSON.stringify(this.#file)} has ${what}, over what is read into memory`,
      {
        file: this.#file,
      },
    );
  }
}
