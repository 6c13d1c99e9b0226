// Protobuf as a tree of fields, so that a change in the depth keeps the lengths around it right.

import type { Random } from "../support/random.ts";
import { concat, equal } from "../../src/stream/mod.ts";
import { mutate, someBytes, someNumber } from "./mutate.ts";

/** Which fields are messages. */
export interface Shape {
  readonly [field: number]: Shape;
}

/** A field. */
export interface Field {
  number: number;
  /** A varint, bytes, fields, or what stands behind its tag as it is. */
  value: bigint | Uint8Array | Field[] | { readonly type: number; readonly raw: Uint8Array };
}

/** The tree of a message, from which its bytes can be made again; nothing if it is none, or has what is not plain. */
export function treeOf(bytes: Uint8Array, shape: Shape): Field[] | undefined {
  try {
    const fields = parseFields(bytes, shape);
    return equal(encodeFields(fields), bytes) ? fields : undefined;
  } catch {
    return undefined;
  }
}

function parseFields(bytes: Uint8Array, shape: Shape): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n;; shift += 7n) {
      const byte = bytes[at++];
      if (byte === undefined) throw new Error("A varint is cut short");
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(varint());
    const number = tag >>> 3;
    if ((tag & 7) === 0) {
      fields.push({ number, value: varint() });
      continue;
    }
    if ((tag & 7) !== 2) throw new Error(`A field of type ${tag & 7}`);
    const length = Number(varint());
    const content = bytes.slice(at, at += length);
    const inner = shape[number];
    fields.push({ number, value: inner === undefined ? content : parseFields(content, inner) });
  }
  return fields;
}

/** A message as bytes. */
export function encodeFields(fields: readonly Field[]): Uint8Array {
  return concat(fields.flatMap(({ number, value }) => {
    const tag = (type: number) => varint(BigInt(number) << 3n | BigInt(type));
    if (typeof value === "bigint") return [tag(0), varint(value)];
    if ("raw" in value) return [tag(value.type), value.raw];
    const content = Array.isArray(value) ? encodeFields(value) : value;
    return [tag(2), varint(BigInt(content.length)), content];
  }));
}

/** A varint; of a number below 0 as if it had 64 bits. */
export function varint(value: bigint, least = 1): Uint8Array {
  const bytes: number[] = [];
  let left = BigInt.asUintN(64, value);
  do {
    bytes.push(Number(left & 0x7fn) | 0x80);
    left >>= 7n;
  } while (left > 0n || bytes.length < least);
  bytes[bytes.length - 1]! &= 0x7f;
  return Uint8Array.from(bytes);
}

/** The field with a number, of a message in a message. */
export function fieldsAt(fields: readonly Field[], ...path: number[]): Field[] | undefined {
  let found: Field[] | undefined = fields as Field[];
  for (const number of path) {
    const value: Field["value"] | undefined = found?.find((field) => field.number === number)?.value;
    found = Array.isArray(value) ? value : undefined;
  }
  return found;
}

/** Sets a field that may be there or not; behind all with lower numbers. */
export function setField(fields: Field[], number: number, value: Field["value"] | undefined): void {
  const at = fields.findIndex((field) => field.number === number);
  if (at >= 0) fields.splice(at, 1);
  if (value === undefined) return;
  const behind = fields.findIndex((field) => field.number > number);
  fields.splice(behind < 0 ? fields.length : behind, 0, { number, value });
}

/** Changes a tree in one place or in a few; fields of `others` are spliced in. */
export function mutateFields(fields: Field[], random: Random, others: readonly Field[][] = []): void {
  for (let times = random.pick([1, 1, 1, 2, 3]); times > 0; times--) mutateField(fields, random, others);
}

/** All places of a tree, however deep. */
function placesOf(fields: Field[]): (readonly [list: Field[], at: number])[] {
  return fields.flatMap((
    field,
    at,
  ) => [[fields, at] as const, ...Array.isArray(field.value) ? placesOf(field.value) : []]);
}

function mutateField(root: Field[], random: Random, others: readonly Field[][]): void {
  const places = placesOf(root);
  if (places.length === 0) {
    root.push({ number: 1 + random.below(8), value: random.chance(0.5) ? someNumber(random) : someBytes(random, 40) });
    return;
  }
  const [fields, at] = random.pick(places);
  const field = fields[at]!;
  switch (random.below(14)) {
    case 0:
      fields.splice(at, 1);
      return;
    case 1:
      fields.splice(random.below(fields.length + 1), 0, structuredClone(field));
      return;
    case 2: {
      const to = random.below(fields.length);
      [fields[at], fields[to]] = [fields[to]!, field];
      return;
    }
    case 3:
      field.number = random.pick([1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 999, 1000, 1001, 536_870_911]);
      return;
    case 4: {
      const spliced = random.pick([root, ...others].flatMap(placesOf));
      fields.splice(at, random.below(2), structuredClone(spliced[0][spliced[1]]!));
      return;
    }
    case 5: // a longer encoding of the same, or of nothing
      if (typeof field.value === "bigint") field.value = { type: 0, raw: varint(field.value, 2 + random.below(9)) };
      return;
    case 6:
      field.value = { type: random.below(8), raw: someBytes(random, 12) };
      return;
    case 7: { // a length that is not that of what follows
      const content = Array.isArray(field.value) ? encodeFields(field.value) : field.value;
      if (content instanceof Uint8Array) {
        const length = someNumber(random, BigInt(content.length));
        field.value = { type: 2, raw: concat([varint(length), content]) };
      }
      return;
    }
    case 8: // longer than it can be
      if (field.value instanceof Uint8Array) field.value = concat([field.value, new Uint8Array(random.below(4096))]);
      return;
    default:
      if (typeof field.value === "bigint") field.value = someNumber(random, field.value);
      else if (field.value instanceof Uint8Array) field.value = mutate(field.value, random);
      else if (Array.isArray(field.value)) field.value = mutate(encodeFields(field.value), random);
  }
}
