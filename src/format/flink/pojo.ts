/**
 * Flink's serializer of plain classes (POJOs).
 *
 * ```text
 * snapshot = class utf, fields, registered subclasses, other subclasses: each an optional map
 * map      = 0x4f2c69a3d70 i64, n i32, n { name utf, twice: present bool, length i32, bytes }
 * value    = flags u8: 1 null, 2 of this class, 4 of a subclass (name utf), 8 of a registered one (number u8)
 *            then, for each field: null bool, value
 * ```
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { JavaCursor } from "./java.ts";
import type { Serializer } from "./serializer.ts";

const HEADER = 0x4f2_c69a_3d70n;
const [NULL, SUBCLASS, TAGGED] = [1, 4, 8];

/** The names of a map, and the serializers that are its values. */
function optionalMap(cursor: JavaCursor, nested: (cursor: JavaCursor) => Serializer): [string, Serializer][] {
  if (cursor.i64() !== HEADER) throw cursor.malformed("the fields of a class do not begin as such");
  const found: [string, Serializer][] = [];
  for (let left = cursor.count(); left > 0; left--) {
    const name = cursor.utf();
    if (cursor.bool()) cursor.block(); // the field, as Java's reflection names it
    const value = cursor.bool() ? cursor.block() : undefined;
    found.push([
      name,
      value === undefined ? { name, parts: [] } : nested(new JavaCursor(value, "a field's serializer")),
    ]);
  }
  return found;
}

/** Reads the snapshot, and makes of it what reads objects. */
export function pojoOf(cursor: JavaCursor, nested: (cursor: JavaCursor) => Serializer): Serializer {
  const className = cursor.utf();
  const fields = optionalMap(cursor, nested);
  const registered = optionalMap(cursor, nested);
  const others = new Map(optionalMap(cursor, nested));
  const name = className.split(/[.$]/).at(-1)!;
  const parts = fields.map(([, part]) => part);
  const described = `${name} { ${fields.map(([field, part]) => `${field}: ${part.name}`).join(", ")} }`;
  if (parts.some((part) => part.read === undefined)) return { name: described, parts };
  const read = (cursor: JavaCursor): unknown => {
    const flags = cursor.u8();
    if ((flags & NULL) !== 0) return null;
    if ((flags & (SUBCLASS | TAGGED)) !== 0) {
      const [of, subclass] = (flags & SUBCLASS) !== 0 ? byName(cursor.utf()) : registered[cursor.u8()] ?? [];
      if (subclass?.read !== undefined) return subclass.read(cursor);
      // A heap writes its head before it has met all subclasses: then nothing says what a value of one consists of.
      throw new SnapshotError("UNSUPPORTED", `There is no serializer of ${of}, a subclass of ${className}`);
    }
    const object = Object.create(null) as Record<string, unknown>;
    for (const [field, part] of fields) object[field] = cursor.bool() ? null : part.read!(cursor);
    return object;
  };
  const byName = (of: string): [string, Serializer | undefined] => [of, others.get(of)];
  return { name: described, parts, read };
}
