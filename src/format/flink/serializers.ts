/**
 * Flink's serializers, as far as their snapshots describe them: what reads a value that Java wrote.
 *
 * ```text
 * snapshot   = class utf, version i32, body
 * body       of a simple one is empty; of a composite one: 911108 i32, version i32, its own part,
 *              1333245 i32, 1 i32, n i32, n snapshots
 * ```
 *
 * The length of a body is not said. A serializer that is not known counts as a simple one: what follows shows whether
 * it was.
 *
 * @module
 */

import { hashLong, hashString } from "../../state/mod.ts";
import type { JavaCursor } from "./java.ts";
import { pojoOf } from "./pojo.ts";
import type { Serializer } from "./serializer.ts";

const [OUTER, NESTED] = [911_108, 1_333_245];
/** The most serializers that may be in one another. */
const MAX_DEPTH = 32;
const MAX_PARTS = 1000;

const double = new DataView(new ArrayBuffer(8));

function hashDouble(value: number): number {
  double.setFloat64(0, value);
  return double.getInt32(0) ^ double.getInt32(4);
}

function hashFloat(value: number): number {
  double.setFloat32(0, value);
  return double.getInt32(0);
}

function simple(
  name: string,
  length: number | undefined,
  read: (cursor: JavaCursor) => unknown,
  // deno-lint-ignore no-explicit-any -- the value is what `read` gives
  hash?: (value: any) => number,
): Serializer {
  const checked = hash && ((value: unknown) => value === null ? 0 : hash(value));
  return { name, read, parts: [], ...(length !== undefined && { length }), ...(checked && { hash: checked }) };
}

/** An array of numbers: how many, and each. */
function numbers(name: string, one: (cursor: JavaCursor) => unknown): Serializer {
  return simple(name, undefined, (cursor) => {
    const found: unknown[] = [];
    for (let left = cursor.count(); left > 0; left--) found.push(one(cursor));
    return found;
  });
}

const code = (cursor: JavaCursor) => String.fromCharCode(cursor.u16());
const i16 = (cursor: JavaCursor) => cursor.u16() << 16 >> 16;

/** Those whose body is empty, by their names without packages, `Serializer` and `Snapshot`. */
const SIMPLE: ReadonlyMap<string, Serializer> = new Map([
  ["String", simple("String", undefined, (cursor) => cursor.string(), hashString)],
  ["Long", simple("Long", 8, (cursor) => cursor.i64(), hashLong)],
  ["Int", simple("Integer", 4, (cursor) => cursor.i32(), (value) => value)],
  ["Short", simple("Short", 2, i16, (value) => value)],
  ["Byte", simple("Byte", 1, (cursor) => cursor.i8(), (value) => value)],
  ["Char", simple("Character", 2, code, (value: string) => value.charCodeAt(0))],
  ["Boolean", simple("Boolean", 1, (cursor) => cursor.bool(), (value) => value ? 1231 : 1237)],
  ["Double", simple("Double", 8, (cursor) => cursor.f64(), hashDouble)],
  ["Float", simple("Float", 4, (cursor) => cursor.f32(), hashFloat)],
  ["Date", simple("Date", 8, (cursor) => cursor.i64(), hashLong)],
  ["Instant", simple("Instant", 12, (cursor) => ({ seconds: cursor.i64(), nanos: cursor.i32() }))],
  ["Void", simple("Void", 1, (cursor) => (cursor.u8(), undefined))],
  ["VoidNamespace", simple("VoidNamespace", 0, (cursor) => (cursor.u8(), undefined))],
  ["BytePrimitiveArray", simple("byte[]", undefined, (cursor) => cursor.block().slice())],
  ["BooleanPrimitiveArray", numbers("boolean[]", (cursor) => cursor.bool())],
  ["ShortPrimitiveArray", numbers("short[]", i16)],
  ["IntPrimitiveArray", numbers("int[]", (cursor) => cursor.i32())],
  ["LongPrimitiveArray", numbers("long[]", (cursor) => cursor.i64())],
  ["FloatPrimitiveArray", numbers("float[]", (cursor) => cursor.f32())],
  ["DoublePrimitiveArray", numbers("double[]", (cursor) => cursor.f64())],
  ["CharPrimitiveArray", numbers("char[]", code)],
  ["StringArray", numbers("String[]", (cursor) => cursor.string())],
  ["TimeWindow", simple("TimeWindow", 16, (cursor) => ({ start: cursor.i64(), end: cursor.i64() }))],
  ["GlobalWindow", simple("GlobalWindow", 1, (cursor) => (cursor.u8(), undefined))],
]);

/** The package and the nesting taken off: `…base.LongSerializer$LongSerializerSnapshot` is a `Long`. */
function shortName(className: string): string {
  const last = className.slice(Math.max(className.lastIndexOf("."), className.lastIndexOf("$")) + 1);
  return last.replace(/Snapshot$/, "").replace(/Serializer$/, "");
}

/** Reads a snapshot, and makes of it what reads values. */
export function readSerializer(cursor: JavaCursor, depth = 0): Serializer {
  const className = cursor.utf();
  cursor.i32(); // its version
  return bodyOf(cursor, className, depth);
}

function bodyOf(cursor: JavaCursor, className: string, depth: number): Serializer {
  if (depth > MAX_DEPTH) throw cursor.malformed("serializers are in one another too deep");
  const unknown = { name: className, parts: [] };
  if (!className.startsWith("org.apache.flink.")) return unknown;
  const name = shortName(className);
  const known = SIMPLE.get(name);
  if (known !== undefined) return known;
  const nested = (cursor: JavaCursor) => readSerializer(cursor, depth + 1);
  switch (name) {
    case "List": {
      const [, [element]] = composite(cursor, 1, nested);
      return listOf(element!);
    }
    case "Map": {
      const [, [key, value]] = composite(cursor, 2, nested);
      return mapOf(key!, value!);
    }
    case "Tuple": {
      const [, parts] = composite(cursor, undefined, nested, (cursor) => cursor.utf());
      return tupleOf(parts);
    }
    case "GenericArray": {
      const [, [element]] = composite(cursor, 1, nested, (cursor) => cursor.utf());
      return arrayOf(element!);
    }
    case "Nullable": {
      const [padding, [inner]] = composite(cursor, 1, nested, (cursor) => cursor.i32());
      return nullableOf(inner!, padding as number);
    }
    case "Timer": {
      const [, [key, namespace]] = composite(cursor, 2, nested);
      return timerOf(key!, namespace!);
    }
    case "Enum":
      return enumOf(cursor);
    case "Pojo":
      return pojoOf(cursor, nested);
    case "Kryo": {
      const type = cursor.utf();
      for (let maps = 3; maps > 0; maps--) skipOptionalMap(cursor);
      return { name: `Kryo<${type}>`, parts: [] };
    }
    default:
      return unknown;
  }
}

/** The parts of a composite serializer, and what it says of itself. */
function composite(
  cursor: JavaCursor,
  count: number | undefined,
  nested: (cursor: JavaCursor) => Serializer,
  own: (cursor: JavaCursor) => unknown = () => undefined,
): [unknown, Serializer[]] {
  if (cursor.i32() !== OUTER) throw cursor.malformed("a composite serializer does not begin as one");
  cursor.i32();
  const said = own(cursor);
  if (cursor.i32() !== NESTED) throw cursor.malformed("the parts of a serializer do not begin as such");
  cursor.i32();
  const found = cursor.count();
  if (found > MAX_PARTS || (count !== undefined && found !== count)) {
    throw cursor.malformed(`a serializer has ${found} parts`);
  }
  return [said, Array.from({ length: found }, () => nested(cursor))];
}

/** A map of framed keys and values, which is not needed. */
function skipOptionalMap(cursor: JavaCursor): void {
  cursor.i64();
  for (let left = cursor.count(); left > 0; left--) {
    cursor.utf();
    if (cursor.bool()) cursor.block();
    if (cursor.bool()) cursor.block();
  }
}

/** One that reads only if its parts do. */
function made(
  name: string,
  parts: readonly Serializer[],
  read: (cursor: JavaCursor) => unknown,
  more: Pick<Serializer, "hash" | "length"> = {},
): Serializer {
  return { name, parts, ...(parts.every((part) => part.read !== undefined) && { read, ...more }) };
}

function listOf(element: Serializer): Serializer {
  return made(`List<${element.name}>`, [element], (cursor) => {
    const found: unknown[] = [];
    for (let left = cursor.count(); left > 0; left--) found.push(element.read!(cursor));
    return found;
  });
}

function mapOf(key: Serializer, value: Serializer): Serializer {
  return made(`Map<${key.name}, ${value.name}>`, [key, value], (cursor) => {
    const found = new Map<unknown, unknown>();
    for (let left = cursor.count(); left > 0; left--) {
      const one = key.read!(cursor);
      found.set(one, cursor.bool() ? null : value.read!(cursor));
    }
    return found;
  });
}

function arrayOf(element: Serializer): Serializer {
  return made(`${element.name}[]`, [element], (cursor) => {
    const found: unknown[] = [];
    for (let left = cursor.count(); left > 0; left--) found.push(cursor.bool() ? element.read!(cursor) : null);
    return found;
  });
}

function lengthOf(parts: readonly Serializer[], more: number): Pick<Serializer, "length"> {
  const sum = parts.reduce((sum, { length = NaN }) => sum + length, more);
  return Number.isNaN(sum) ? {} : { length: sum };
}

function tupleOf(parts: readonly Serializer[]): Serializer {
  const hash = (value: unknown) => {
    let sum = 0;
    for (const [i, part] of parts.entries()) {
      const one = part.hash?.((value as unknown[])[i]);
      if (one === undefined) return undefined;
      sum = (Math.imul(31, sum) + one) | 0;
    }
    return sum;
  };
  const name = `Tuple${parts.length}<${parts.map(({ name }) => name).join(", ")}>`;
  const read = (cursor: JavaCursor) => parts.map((part) => part.read!(cursor));
  return made(name, parts, read, { hash, ...lengthOf(parts, 0) });
}

function nullableOf(inner: Serializer, padding: number): Serializer {
  return made(`${inner.name}?`, [inner], (cursor) => {
    if (!cursor.bool()) return inner.read!(cursor);
    cursor.bytes(padding);
    return null;
  }, { hash: (value) => value === null ? 0 : inner.hash?.(value), ...(padding > 0 && { length: padding + 1 }) });
}

/** A timer: its time with the sign flipped, so that bytes are in the order of times; its key; its namespace. */
function timerOf(key: Serializer, namespace: Serializer): Serializer {
  return made(`Timer<${key.name}, ${namespace.name}>`, [key, namespace], (cursor) => {
    const timestamp = BigInt.asIntN(64, cursor.u64() ^ 1n << 63n);
    const [of, space] = [key.read!(cursor), namespace.read!(cursor)];
    return { key: of, timestamp, ...(space !== undefined && { namespace: space }) };
  });
}

function enumOf(cursor: JavaCursor): Serializer {
  const name = cursor.utf();
  const names = Array.from({ length: cursor.count() }, () => cursor.utf());
  return simple(`enum ${name}`, 4, (cursor) => {
    const ordinal = cursor.i32();
    const found = names[ordinal];
    if (found === undefined) throw cursor.malformed(`${name} has no constant ${ordinal}`);
    return found;
  });
}
