import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { bytesCodec, type Codec, jsonCodec, utf8Codec } from "../../mod.ts";
import { cborCodec } from "../../src/cbor.ts";
import { protobufCodec } from "../../src/protobuf.ts";
import { type StateHead, StateHeadSchema } from "../gen/state_head_pb.ts";
import { Block } from "../../src/state/codecs/block.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { runs } from "../support/random.ts";

const text = fc.string({ unit: "binary" }).filter((it) => it.isWellFormed());
const cborValue = fc.letrec((tie) => ({
  value: fc.oneof(
    fc.integer(),
    fc.double(),
    fc.maxSafeInteger(),
    fc.bigInt(),
    fc.boolean(),
    text,
    fc.uint8Array(),
    fc.constantFrom(null, undefined, -0, NaN, 2 ** 53, -(2 ** 60), 0n, -1n, 2n ** 64n, "__proto__"),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.dictionary(text, tie("value"), { maxKeys: 4 }),
  ),
})).value;

const CODECS: [Codec<never>, fc.Arbitrary<unknown>][] = [
  [bytesCodec() as Codec<never>, fc.uint8Array()],
  [utf8Codec() as Codec<never>, text],
  [jsonCodec<never>(), fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)))],
  [cborCodec<never>(), cborValue],
];

for (const [codec, values] of CODECS) {
  test(`codec ${codec.name}: a value comes back as it is, out of a larger buffer, into a larger buffer`, () => {
    fc.assert(
      fc.property(values, fc.nat(70), (value, offset) => {
        const bytes = codec.encode(value as never);
        const buffer = new Uint8Array(bytes.length + offset + 300);
        buffer.fill(0xee);
        let end = offset + bytes.length;
        if (codec.encodeInto === undefined) buffer.set(bytes, offset);
        else {
          const tight = new Uint8Array(offset + bytes.length);
          const ended = codec.encodeInto(value as never, tight, offset);
          if (ended >= 0) assert.deepEqual(tight.slice(offset, ended), bytes); // or it asked for more room
          const room = new Uint8Array(offset + bytes.length * 3 + 300);
          end = codec.encodeInto(value as never, room, offset);
          buffer.set(room.subarray(offset, end), offset);
          assert.deepEqual(room.slice(offset, end), bytes);
        }
        const part = buffer.subarray(offset, end);
        const read = codec.decode(part);
        const direct = codec.decodeFrom?.(new Block(buffer), offset, end);
        part.fill(0xdd); // it was only lent
        assert.deepEqual(read as unknown, value);
        if (codec.decodeFrom !== undefined) assert.deepEqual(direct as unknown, value);
      }),
      { numRuns: runs(500) },
    );
  });
}

test("codec cbor: the same value has the same bytes, whatever the order of its keys", () => {
  const codec = cborCodec<unknown>();
  assert.deepEqual(codec.encode({ a: 1, bb: 2, c: [3n] }), codec.encode({ c: [3n], bb: 2, a: 1 }));
});

test("codecs: what would come back as something else is refused, and so are bytes that are none of theirs", async () => {
  const cyclic: { self?: unknown } = {};
  cyclic.self = cyclic;
  for (
    const value of [
      new Date(0),
      new Map([["a", 1]]),
      new Set([1]),
      new Float64Array(1),
      () => 1,
      "\ud800",
      cyclic,
    ]
  ) {
    await rejects(() => cborCodec<unknown>().encode(value), "MALFORMED");
  }
  for (const value of [undefined, () => 1, 1n, cyclic]) {
    await rejects(() => jsonCodec<unknown>().encode(value), "MALFORMED");
  }
  await rejects(() => utf8Codec().encode("a\udc00"), "MALFORMED");
  const wrong: Record<string, Uint8Array> = {
    nothing: new Uint8Array(0),
    "cut short": Uint8Array.of(0x82, 1),
    "something behind": Uint8Array.of(1, 1),
    "an array of 2^40": Uint8Array.of(0x9b, 0, 0, 1, 0, 0, 0, 0, 0),
    "bytes of 2^40": Uint8Array.of(0x5b, 0, 0, 1, 0, 0, 0, 0, 0),
    "arrays within each other": new Uint8Array(100_000).fill(0x81),
    "a key twice": Uint8Array.of(0xa2, 0x61, 0x61, 1, 0x61, 0x61, 2),
    "an integer of an array": Uint8Array.of(0xc2, 0x80),
    "an unknown tag": Uint8Array.of(0xd8, 99, 1),
    "an end in the place of a value": Uint8Array.of(0xa1, 0x61, 0x61, 0xff), // was a symbol, which no codec can save
    "an array without a length": Uint8Array.of(0x9f, 1, 0xff),
  };
  for (const [what, bytes] of Object.entries(wrong)) {
    try {
      await rejects(() => cborCodec().decode(bytes), "MALFORMED");
    } catch (error) {
      throw new Error(what, { cause: error });
    }
  }
  await rejects(() => utf8Codec().decode(Uint8Array.of(0xff)), "MALFORMED");
  await rejects(() => utf8Codec().decode(new Uint8Array(200).fill(0xc0)), "MALFORMED");
  await rejects(() => jsonCodec().decode(Uint8Array.of(0x7b)), "MALFORMED");
});

test("codec cbor: random bytes give a value or MALFORMED", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
      try {
        cborCodec().decode(bytes);
      } catch (error) {
        assert.equal((error as { code?: string }).code, "MALFORMED");
      }
    }),
    { numRuns: runs(2000) },
  );
});

test("codec protobuf: messages of a schema, and fields that it does not know", async () => {
  const codec = protobufCodec<StateHead>(StateHeadSchema);
  const message = create(StateHeadSchema, { maxParallelism: 128, keys: "string", buildsUpon: Uint8Array.of(1, 2) });
  const bytes = codec.encode(message);
  const lent = bytes.slice();
  const read = codec.decode(lent);
  lent.fill(0);
  assert.deepEqual(toBinary(StateHeadSchema, read), bytes);
  const newer = Uint8Array.of(...bytes, 0x98, 0x06, 1); // field 99
  assert.deepEqual(codec.encode(codec.decode(newer)), newer);
  assert.equal(codec.name, "protobuf:snapstream.state.StateHead");
  await rejects(() => codec.decode(Uint8Array.of(0x0a)), "MALFORMED");
  await rejects(() => codec.encode({ ...message, maxParallelism: -1 }), "MALFORMED");
});
