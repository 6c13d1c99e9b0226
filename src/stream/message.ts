/**
 * Protobuf messages by a table of their fields: the few kinds that the formats here use, without a runtime of
 * descriptors, which was half of what a page had to load. What it writes is byte for byte what protoc's code writes,
 * and what it reads is what that reads; only that a wire type that is not the field's, or a field that ends outside of
 * its message, is an error here (but where {@linkcode one} is told which values are the field's).
 *
 * ```text
 * message = field*      field = tag value      tag = varint: number << 3 | wire type
 * value   = varint | 8 bytes | length bytes | field* (a group, which is passed over) | 4 bytes
 * ```
 *
 * @module
 */

import { concat } from "./bytes.ts";

/** The values of scalar fields. An enum is its number. */
interface Scalars {
  uint32: number;
  uint64: bigint;
  int64: bigint;
  enum: number;
  bool: boolean;
  string: string;
  /** A string of proto3, which is refused if it is no UTF-8; one of proto2 has U+FFFD there. */
  text: string;
  bytes: Uint8Array;
}

/** A field of a message. */
export interface Field<T = unknown> {
  /** Its number; 0 for the fields that are not known: see {@linkcode others}. */
  readonly number: number;
  readonly kind: keyof Scalars | Message<unknown>;
  readonly list: boolean;
  /** Whether a value is one of this field's: any other counts as a field that is not known. */
  readonly accepts?: ((value: never) => boolean) | undefined;
  /** Is never there: it has the type of the values. */
  readonly value?: T;
}

/** A field that is there once or not at all. */
export function one<K extends keyof Scalars>(
  number: number,
  kind: K,
  accepts?: (value: Scalars[K]) => boolean,
): Field<Scalars[K]>;
export function one<M>(number: number, kind: Message<M>): Field<M>;
export function one(number: number, kind: Field["kind"], accepts?: Field["accepts"]): Field {
  return { number, kind, list: false, accepts };
}

/**
 * The fields that are not known, in the order in which they came: adjacent ones are one item. They are written as they
 * were, where this stands among the others. A message without it loses them.
 */
export function others(): Field<Uint8Array[]> {
  return { number: 0, kind: "bytes", list: true };
}

/** A list, packed if it is of numbers. */
export function list<K extends keyof Scalars>(number: number, kind: K): Field<Scalars[K][]>;
export function list<M>(number: number, kind: Message<M>): Field<M[]>;
export function list(number: number, kind: Field["kind"]): Field {
  return { number, kind, list: true };
}

/** A kind of message. */
export interface Message<T> {
  /** The fields by their names. */
  readonly fields: Readonly<Record<string, Field>>;
  /** Returns the bytes. A field that is absent, or a list that is empty, is not written. */
  encode(value: T): Uint8Array;
  /** Reads bytes, into a message that is there already if there is one; throws if they are none. */
  decode(bytes: Uint8Array, into?: T): T;
}

/** Wire types. */
const [VARINT, FIXED64, DELIMITED, GROUP, GROUP_END, FIXED32] = [0, 1, 2, 3, 4, 5];
/** The deepest nesting of groups that is passed over. */
const DEEPEST = 100;
/** The most items of unknown fields that a message keeps: two bytes can become an object. */
const MOST_OTHERS = 256;

/**
 * Describes a kind of message.
 *
 * @param fields in the order of their numbers, in which they are written
 */
export function message<T>(fields: { readonly [name in keyof T]-?: Field<NonNullable<T[name]>> }): Message<T> {
  const named = Object.entries<Field>(fields);
  const byNumber = new Map(named.map(([name, field]) => [field.number, { name, field }]));
  const kept = byNumber.get(0)?.name;
  return {
    fields,
    encode(value) {
      const writer = new Writer();
      for (const [name, field] of named) {
        const it = (value as Record<string, unknown>)[name];
        if (it !== undefined) writer.field(field, it);
      }
      return writer.finish();
    },
    decode(bytes, into) {
      const value = (into ?? {}) as Record<string, unknown>;
      const reader = new Reader(bytes);
      let run = -1; // where the unknown fields before this one began
      const keep = (end: number) => {
        if (run < 0 || kept === undefined) return;
        const items = (value[kept] ??= []) as Uint8Array[];
        if (items.length === MOST_OTHERS) throw new RangeError(`There are over ${MOST_OTHERS} runs of unknown fields`);
        items.push(bytes.subarray(run, end));
        run = -1;
      };
      while (reader.more) {
        const begin = reader.at;
        const { number, type } = reader.tag();
        const known = byNumber.get(number);
        if (known === undefined) reader.skip(number, type, DEEPEST);
        else if (read(value, known.name, known.field, type, reader)) {
          keep(begin);
          continue;
        }
        if (run < 0) run = begin;
      }
      keep(reader.at);
      return value as T;
    },
  };
}

function wireTypeOf(kind: Field["kind"]): number {
  return typeof kind === "object" || ["string", "text", "bytes"].includes(kind) ? DELIMITED! : VARINT!;
}

/** Reads a field. Returns false, behind it, if it is another's. */
function read(value: Record<string, unknown>, name: string, field: Field, type: number, reader: Reader): boolean {
  const { number, kind, list, accepts } = field;
  if (!list) {
    if (type !== wireTypeOf(kind)) {
      if (accepts === undefined) throw new RangeError(`${name} has the wire type ${type}`);
      reader.skip(number, type, DEEPEST);
      return false;
    }
    const it = reader.value(kind, value[name]);
    if (accepts !== undefined && !accepts(it as never)) return false;
    value[name] = it;
    return true;
  }
  const items = (value[name] ??= []) as unknown[];
  if (type === wireTypeOf(kind)) items.push(reader.value(kind, undefined));
  else if (type === DELIMITED) {
    for (const packed = new Reader(reader.bytes()); packed.more;) items.push(packed.value(kind, undefined));
  } else throw new RangeError(`${name} has the wire type ${type}`);
  return true;
}

class Writer {
  readonly #parts: Uint8Array[] = [];
  #tail: number[] = [];

  field({ number, kind, list }: Field, value: unknown): void {
    const type = wireTypeOf(kind);
    if (!list) {
      this.#number(number * 8 + type);
      return this.#value(kind, value);
    }
    const items = value as readonly unknown[];
    if (items.length === 0) return;
    if (number === 0) {
      this.#flush();
      return void this.#parts.push(...items as readonly Uint8Array[]);
    }
    if (type === DELIMITED) {
      for (const item of items) {
        this.#number(number * 8 + type);
        this.#value(kind, item);
      }
      return;
    }
    const packed = new Writer();
    for (const item of items) packed.#value(kind, item);
    this.#number(number * 8 + DELIMITED!);
    this.#bytes(packed.finish());
  }

  finish(): Uint8Array {
    this.#flush();
    return this.#parts.length === 1 ? this.#parts[0]! : concat(this.#parts);
  }

  #flush(): void {
    if (this.#tail.length > 0) this.#parts.push(Uint8Array.from(this.#tail));
    this.#tail = [];
  }

  #value(kind: Field["kind"], value: unknown): void {
    if (typeof kind === "object") return this.#bytes(kind.encode(value));
    switch (kind) {
      case "bytes":
        return this.#bytes(value as Uint8Array);
      case "string":
      case "text":
        return this.#bytes(new TextEncoder().encode(value as string));
      case "bool":
        return void this.#tail.push(value === true ? 1 : 0);
      case "int64":
      case "uint64": {
        const limit = kind === "int64" ? BigInt.asIntN : BigInt.asUintN;
        if (limit(64, value as bigint) !== value) throw new RangeError(`${value} is no ${kind}`);
        return this.#bigint(BigInt.asUintN(64, value));
      }
      default:
        if ((value as number) >>> 0 !== value) throw new RangeError(`${value} is no ${kind}`);
        return this.#number(value);
    }
  }

  #bytes(bytes: Uint8Array): void {
    this.#number(bytes.length);
    this.#flush();
    this.#parts.push(bytes);
  }

  #number(value: number): void {
    for (; value >= 0x80; value = Math.floor(value / 0x80)) this.#tail.push(value % 0x80 | 0x80);
    this.#tail.push(value);
  }

  #bigint(value: bigint): void {
    for (; value > Number.MAX_SAFE_INTEGER; value >>= 7n) this.#tail.push(Number(value & 0x7fn) | 0x80);
    this.#number(Number(value));
  }
}

class Reader {
  readonly #all: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#all = bytes;
  }

  get more(): boolean {
    return this.#at < this.#all.length;
  }

  get at(): number {
    return this.#at;
  }

  tag(): { readonly number: number; readonly type: number } {
    const begin = this.#at;
    const { low, high } = this.#varint();
    const [number, type] = [low >>> 3, low & 7];
    if (number === 0 || type > FIXED32! || high > 0 || this.#at - begin > 5) {
      throw new RangeError(`There is no field ${number} of wire type ${type}`);
    }
    return { number, type };
  }

  /** Reads a value; of a message, into the one that is there. */
  value(kind: Field["kind"], there: unknown): unknown {
    if (typeof kind === "object") return kind.decode(this.bytes(), there);
    switch (kind) {
      case "bytes":
        return this.bytes();
      case "string":
      case "text":
        return new TextDecoder("utf-8", { ignoreBOM: true, fatal: kind === "text" }).decode(this.bytes());
      default: {
        const { low, high } = this.#varint();
        if (kind === "bool") return low !== 0 || high !== 0;
        if (kind === "uint32") return low;
        if (kind === "enum") return low | 0;
        const value = high === 0 ? BigInt(low) : BigInt(high) << 32n | BigInt(low);
        return kind === "int64" ? BigInt.asIntN(64, value) : value;
      }
    }
  }

  bytes(): Uint8Array {
    return this.#take(this.#varint().low);
  }

  /** Passes over a field that is not known. */
  skip(number: number, type: number, depth: number): void {
    if (type === VARINT) this.#varint();
    else if (type === FIXED64) this.#take(8);
    else if (type === DELIMITED) this.bytes();
    else if (type === FIXED32) this.#take(4);
    else if (type === GROUP && depth > 0) {
      for (;;) {
        const inner = this.tag();
        if (inner.type !== GROUP_END) this.skip(inner.number, inner.type, depth - 1);
        else if (inner.number === number) return;
        else throw new RangeError(`A group ${number} ends as ${inner.number}`);
      }
    } else throw new RangeError(`Field ${number} ends a group that has not begun, or is nested too deeply`);
  }

  #take(length: number): Uint8Array {
    const end = this.#at + length;
    if (end > this.#all.length) throw new RangeError("It ends within a field");
    const bytes = this.#all.subarray(this.#at, end);
    this.#at = end;
    return bytes;
  }

  /** Up to ten bytes, seven bits each, lowest first; bits beyond 64 are dropped. */
  #varint(): { readonly low: number; readonly high: number } {
    let [low, high] = [0, 0];
    for (let i = 0; i < 10; i++) {
      if (!this.more) throw new RangeError("It ends within a number");
      const byte = this.#all[this.#at++]!;
      const bits = byte & 0x7f;
      if (i < 5) low |= bits << 7 * i;
      if (i === 4) high |= bits >> 4;
      else if (i > 4) high |= bits << 7 * i - 32;
      if (byte < 0x80) return { low: low >>> 0, high: high >>> 0 };
    }
    throw new RangeError("A number has more than ten bytes");
  }
}
