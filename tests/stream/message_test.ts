// The messages of src, held against the code that protoc-gen-es makes of the .proto files.

import {
  create,
  type DescMessage,
  fromBinary,
  isFieldSet,
  type Message as Generated,
  toBinary,
} from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import fc from "fast-check";
import { FILE_EXTENSION, LOCAL_SNAPSHOT_PB_META, SNAPSHOT_EXTENSION } from "../../src/snapshot/messages.ts";
import { OBJECT_INDEX, STORED_MANIFEST } from "../../src/storage/object/messages.ts";
import { STATE_HEAD } from "../../src/state/format/head.ts";
import { type Field, list, type Message, message, one } from "../../src/stream/mod.ts";
import { FileExtensionSchema, LocalSnapshotPbMetaSchema, SnapshotExtensionSchema } from "../gen/manifest_pb.ts";
import { ObjectIndexSchema, StoredManifestSchema } from "../gen/object_pb.ts";
import { StateHeadSchema } from "../gen/state_head_pb.ts";
import { assert, test } from "../support/harness.ts";

// deno-lint-ignore no-explicit-any -- the values of six kinds of messages
type Any = any;

const PAIRS: Readonly<Record<string, readonly [ours: Message<Any>, theirs: DescMessage]>> = {
  "the manifest": [LOCAL_SNAPSHOT_PB_META, LocalSnapshotPbMetaSchema],
  "the extension of a snapshot": [SNAPSHOT_EXTENSION, SnapshotExtensionSchema],
  "the extension of a file": [FILE_EXTENSION, FileExtensionSchema],
  "the index of a bucket": [OBJECT_INDEX, ObjectIndexSchema],
  "the manifest in a bucket": [STORED_MANIFEST, StoredManifestSchema],
  "the head of a state": [STATE_HEAD, StateHeadSchema],
};

/** `FeatureSet_FieldPresence.LEGACY_REQUIRED` */
const LEGACY_REQUIRED = 3;

const SCALARS = {
  uint32: fc.oneof(fc.nat(200), fc.integer({ min: 0, max: 2 ** 32 - 1 })),
  uint64: fc.oneof(fc.bigInt(0n, 300n), fc.bigInt(0n, 2n ** 64n - 1n), fc.constant(2n ** 53n)),
  int64: fc.oneof(fc.bigInt(-300n, 300n), fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n)),
  enum: fc.nat(1),
  bool: fc.boolean(),
  string: fc.oneof(fc.string({ unit: "grapheme", maxLength: 8 }), fc.constantFrom("", "\ufeff", "ä\u{1f600}")),
  text: fc.oneof(fc.string({ unit: "grapheme", maxLength: 8 }), fc.constantFrom("", "\ufeff", "ä\u{1f600}")),
  bytes: fc.uint8Array({ maxLength: 200 }),
};

/** Not the place for fields that are not known. */
function isKnown([, { number }]: readonly [string, Field]): boolean {
  return number !== 0;
}

/** Any value of a message. */
function valuesOf({ fields }: Message<unknown>, desc: DescMessage): fc.Arbitrary<Any> {
  const required: string[] = [];
  const members = Object.entries<Field>(fields).filter(isKnown).map(([name, { kind, list, accepts }]) => {
    const field = desc.field[name]!;
    if (field.presence === LEGACY_REQUIRED) required.push(name);
    const value: fc.Arbitrary<unknown> = typeof kind === "object"
      ? valuesOf(kind, field.message!)
      : kind === "bytes" && accepts !== undefined // an extension, which begins so
      ? SCALARS.bytes.map((bytes) => Uint8Array.of(0x08, ...bytes))
      : SCALARS[kind];
    return [name, list ? fc.array(value, { maxLength: 4 }) : value] as const;
  });
  return fc.record(Object.fromEntries(members), { requiredKeys: required });
}

/** Whether proto3 would write it: what is 0 or empty is absent. */
function isSaid(value: unknown): boolean {
  return value !== 0 && value !== "" && (value as Uint8Array).length !== 0;
}

/** The generated code's message as ours, and ours as itself; what is 0 or empty is left out of those of proto3. */
function plain({ fields }: Message<unknown>, desc: DescMessage, value: Any, isTheirs: boolean): unknown {
  const entries = Object.entries<Field>(fields).filter(isKnown).flatMap(([name, { kind, list }]) => {
    const field = desc.field[name]!;
    let it = value[name];
    if (isTheirs ? !isFieldSet(value as Generated, field) : it === undefined) return [];
    if (field.fieldKind === "enum" && !field.enum.open && field.enum.value[it] === undefined) return [];
    if (typeof kind === "object") {
      const inner = (one: unknown) => plain(kind, field.message!, one, isTheirs);
      it = list ? (it as unknown[]).map(inner) : inner(it);
    }
    if (list && it.length === 0 || desc.file.edition === 999 && !isSaid(it)) return [];
    return [[name, it instanceof Uint8Array ? [...it] : it]];
  });
  return Object.fromEntries(entries);
}

/** Without what may be the extension to the one, and an unknown field to the other: it may begin as anything now. */
function withoutExtensions(value: Any): unknown {
  const text = (_: string, it: unknown) => typeof it === "bigint" ? `${it}n` : it;
  return JSON.parse(JSON.stringify(value, text), (name, it) => name === "extension" ? undefined : it);
}

/**
 * Whether each field that is known has its wire type. One that has another is unknown to ours, as protobuf says; the
 * generated code reads it all the same, as whatever its bytes come to.
 */
function hasItsWireTypes({ fields }: Message<unknown>, bytes: Uint8Array): boolean {
  const reader = new BinaryReader(bytes);
  try {
    while (reader.pos < reader.len) {
      const [number, type] = reader.tag();
      const { kind, list } = Object.values<Field>(fields).find((field) => field.number === number) ?? {};
      const isDelimited = typeof kind === "object" || ["string", "text", "bytes"].includes(kind ?? "");
      const isPacked = list && type === WireType.LengthDelimited;
      const wanted = isDelimited ? WireType.LengthDelimited : WireType.Varint;
      if (kind !== undefined && number !== 0 && type !== wanted && !isPacked) return false;
      if (typeof kind !== "object") reader.skip(type, number);
      else if (!hasItsWireTypes(kind, reader.bytes())) return false;
    }
  } catch {
    // Neither of the two reads it.
  }
  return true;
}

/** What something gives, or that it throws. */
function outcome(work: () => unknown): { readonly value?: unknown; readonly threw: boolean } {
  try {
    return { value: work(), threw: false };
  } catch {
    return { threw: true };
  }
}

for (const [what, [ours, theirs]] of Object.entries(PAIRS)) {
  const isProto3 = theirs.file.edition === 999;

  test(`messages: ${what} is written byte for byte as by the generated code, and read as by it`, () => {
    fc.assert(fc.property(valuesOf(ours, theirs), (value) => {
      const said = isProto3 ? plain(ours, theirs, value, false) as Any : value;
      const bytes = toBinary(theirs, create(theirs, value));
      // Bytes became arrays: `create` has those of the value.
      const own = isProto3 ? ours.encode(revived(ours, said)) : ours.encode(value);
      assert.deepEqual(own, bytes);
      assert.deepEqual(plain(ours, theirs, ours.decode(bytes), false), plain(ours, theirs, value, false));
      assert.deepEqual(plain(ours, theirs, fromBinary(theirs, bytes), true), plain(ours, theirs, value, false));
    }));
  });

  test(`messages: ${what}, changed, is read as by the generated code, or refused`, () => {
    let [read, refused] = [0, 0];
    const change = fc.tuple(fc.nat(), fc.nat(255), fc.constantFrom("set", "insert", "cut", "repeat"));
    fc.assert(
      fc.property(valuesOf(ours, theirs), fc.array(change, { minLength: 1, maxLength: 3 }), (value, changes) => {
        let bytes = [...toBinary(theirs, create(theirs, value))];
        for (const [at, byte, how] of changes) {
          const place = at % (bytes.length + 1);
          if (how === "set") bytes[place] = byte;
          else if (how === "insert") bytes.splice(place, 0, byte);
          else if (how === "cut") bytes = bytes.slice(0, place);
          else bytes = [...bytes, ...bytes];
        }
        const changed = Uint8Array.from(bytes);
        const own = outcome(() => plain(ours, theirs, ours.decode(changed), false));
        const its = outcome(() => plain(ours, theirs, fromBinary(theirs, changed), true));
        if (own.threw) return void refused++;
        if (!hasItsWireTypes(ours, changed)) return;
        read++;
        assert.isFalse(its.threw);
        assert.deepEqual(withoutExtensions(own.value), withoutExtensions(its.value));
      }),
      { numRuns: 500 },
    );
    assert.isAbove(read, 50);
    assert.isAbove(refused, 20);
  });
}

/** What `plain` has made arrays of numbers, as bytes again. */
function revived({ fields }: Message<unknown>, value: Any): unknown {
  return Object.fromEntries(
    Object.entries(value as Record<string, Any>).map(([name, it]) => {
      const { kind, list } = fields[name]!;
      if (kind === "bytes") return [name, Uint8Array.from(it)];
      if (typeof kind !== "object") return [name, it];
      return [name, list ? it.map((one: unknown) => revived(kind, one)) : revived(kind, it)];
    }),
  );
}

test("messages: all fields of the .proto files are there, with their numbers", () => {
  const compare = ({ fields }: Message<unknown>, desc: DescMessage): void => {
    assert.deepEqual(
      Object.entries<Field>(fields).filter(isKnown).map(([name, { number }]) => [name, number]),
      desc.fields.map(({ localName, number }) => [localName, number]),
    );
    for (const [name, { kind }] of Object.entries<Field>(fields)) {
      if (typeof kind === "object") compare(kind, desc.field[name]!.message!);
    }
  };
  for (const [ours, theirs] of Object.values(PAIRS)) compare(ours, theirs);
});

test("messages: numbers that a field cannot have are not written", () => {
  const numbers = message<{ a?: number; b?: bigint; c?: bigint; d?: number[] }>({
    a: one(1, "uint32"),
    b: one(2, "uint64"),
    c: one(3, "int64"),
    d: list(4, "uint32"),
  });
  for (
    const wrong of [{ a: -1 }, { a: 2 ** 32 }, { a: 0.5 }, { b: -1n }, { b: 2n ** 64n }, { c: 2n ** 63n }, { d: [NaN] }]
  ) {
    assert.throws(() => numbers.encode(wrong), RangeError);
  }
});

test("messages: groups are passed over, and no deeper than a stack allows", () => {
  const nothing = message<Record<never, never>>({});
  assert.deepEqual(nothing.decode(Uint8Array.of(0x0b, 0x10, 1, 0x0c)), {});
  assert.throws(() => nothing.decode(Uint8Array.of(0x0b, 0x14)), RangeError); // another one's end
  assert.throws(() => nothing.decode(new Uint8Array(1_000_000).fill(0x0b)), RangeError);
});
