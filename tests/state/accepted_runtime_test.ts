// Values that no save can write: refused when they are set, in commands too, and where a migration makes them.

import {
  bytesCodec,
  type Codec,
  intKeys,
  jsonCodec,
  KeyedState,
  KeyValueMachine,
  longKeys,
  stringKeys,
  utf8Codec,
  versioned,
} from "../../mod.ts";
import { cborCodec } from "../../src/cbor.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { saved } from "../support/states.ts";

const deep = (levels: number) => JSON.parse("[".repeat(levels) + "]".repeat(levels));
const cyclic = (() => {
  const it: Record<string, unknown> = {};
  return it["it"] = it;
})();

// deno-lint-ignore no-explicit-any -- codecs of different types
const WRONG: readonly (readonly [Codec<any>, string, () => unknown])[] = [
  [jsonCodec(), "undefined", () => undefined],
  [jsonCodec(), "a function", () => () => 1],
  [jsonCodec(), "a bigint", () => 1n],
  [jsonCodec(), "a circle", () => cyclic],
  [jsonCodec(), "NaN", () => NaN],
  [jsonCodec(), "an infinity within", () => ({ a: [1, { b: -Infinity }] })],
  [jsonCodec(), "NaN that toJSON makes", () => ({ toJSON: () => [NaN] })],
  [jsonCodec(), "what toJSON throws", () => ({ toJSON: () => assert.fail("as asked") })],
  [jsonCodec(), "too many levels", () => deep(513)],
  [cborCodec(), "too many levels", () => deep(513)],
  [cborCodec(), "a function", () => () => 1],
  [cborCodec(), "a map", () => new Map([[1, 1]])],
  [cborCodec(), "a circle", () => cyclic],
  [utf8Codec(), "a number", () => 5],
  [utf8Codec(), "null", () => null],
  [utf8Codec(), "an array", () => ["a"]],
  [utf8Codec(), "half of a surrogate pair", () => "a\udc00"],
  [bytesCodec(), "a text", () => "abc"],
  [bytesCodec(), "an ArrayBuffer", () => new ArrayBuffer(3)],
  [bytesCodec(), "an array", () => [1, 2]],
  [bytesCodec(), "undefined", () => undefined],
  [intKeys(), "a fraction", () => 1.5],
  [intKeys(), "a text", () => "1"],
  [longKeys(), "a number", () => 1],
  [longKeys(), "2^63", () => 2n ** 63n],
  [
    { ...bytesCodec(), name: "plain", encodeInto: undefined!, encode: () => "abc" as never },
    "what gives no bytes",
    () => 1,
  ],
];

for (const [codec, what, make] of WRONG) {
  test(`${codec.name}: ${what} is refused when it is set, wherever, and each save works`, async () => {
    const state = new KeyedState({ keys: stringKeys() });
    const right = state.value("right", utf8Codec());
    const value = state.value("value", codec);
    const list = state.list("list", codec);
    const map = state.map("map", stringKeys(), codec);
    right.set("a", "1");
    const wrong = make() as never;
    const sets: [string, () => unknown][] = [
      ["set", () => value.set("the key", wrong)],
      ["update", () => value.update("the key", () => wrong)],
      ["add", () => list.add("the key", wrong)],
      ["set of a list", () => list.set("the key", [wrong])],
      ["set of a map", () => map.set("the key", "its key", wrong)],
      ["put", () => new KeyValueMachine(codec).put("the key", wrong)],
    ];
    for (const [how, set] of sets) {
      try {
        const error = await rejects(set, "MALFORMED");
        assert.include(error.message, how === "set of a map" ? `"its key" in "the key"` : `"the key"`);
        assert.include(error.message, `codec ${codec.name}, version 0`);
      } catch (error) {
        throw new Error(how, { cause: error });
      }
    }
    assert.strictEqual(state.size, 1);
    await saved(state);
  });
}

test("a value as deep as may be, and one with null, come back", async () => {
  for (const codec of [jsonCodec<unknown>(), cborCodec<unknown>()]) {
    const [first, second] = [0, 1].map(() => {
      const state = new KeyedState({ keys: stringKeys() });
      return { state, value: state.value("value", codec) };
    });
    first!.value.set("deep", deep(512));
    first!.value.set("null", { a: null, b: ["null", "x".repeat(2000)], c: { toJSON: 1 } });
    await second!.state.load(await saved(first!.state));
    assert.deepEqual([...second!.value.entries()], [...first!.value.entries()]);
  }
});

test("a command that puts what could be read, but not be saved, is refused before it is appended", async () => {
  const cases: [string, Codec<unknown>, string | Uint8Array][] = [
    ["a number that is infinite here", jsonCodec(), `{"a":1e999}`],
    ["one without an exponent", jsonCodec(), "9".repeat(400)],
    ["JSON of too many levels", jsonCodec(), "[".repeat(6000) + "]".repeat(6000)],
    ["CBOR of too many levels", cborCodec(), new Uint8Array(2501).fill(0x81, 0, 2500)],
  ];
  for (const [what, codec, value] of cases) {
    const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
    // As a client without any codec might make it.
    const { encodeInto: _, ...read } = codec;
    const data = new KeyValueMachine({ ...read, encode: () => bytes }).put("key", 0);
    try {
      await rejects(() => new KeyValueMachine(codec).validate(data), "MALFORMED");
    } catch (error) {
      throw new Error(what, { cause: error });
    }
  }
  const { encodeInto: _, ...lenient } = utf8Codec();
  const strict: Codec<string> = {
    ...lenient,
    encode: (text) => text === "no" ? assert.fail("as asked") : utf8Codec().encode(text),
  };
  const error = await rejects(
    () => new KeyValueMachine(strict).validate(new KeyValueMachine(utf8Codec()).put("key", "no")),
    "MALFORMED",
  );
  assert.include(error.message, `"key"`);
});

test("what a migration makes, and no save can write, is refused where it is made: by a load, and of a command", async () => {
  const nothing = versioned(jsonCodec<unknown>(), 1, () => undefined);
  const old = new KeyedState({ keys: stringKeys() });
  old.value("value", jsonCodec()).set("a", 1);
  const lists = new KeyedState({ keys: stringKeys() });
  lists.list("value", jsonCodec()).add("a", 1);
  const now = new KeyedState({ keys: stringKeys() });
  const value = now.value("value", nothing);
  value.set("old", "state");
  const error = await rejects(now.load(await saved(old)), "MALFORMED");
  assert.include(error.message, "its migration made of json, version 0");
  assert.deepEqual([...value.entries()], [["old", "state"]]);
  const list = new KeyedState({ keys: stringKeys() });
  list.list("value", nothing);
  await rejects(list.load(await saved(lists)), "MALFORMED");
  const data = new KeyValueMachine(jsonCodec()).put("a", 1);
  await rejects(() => new KeyValueMachine(nothing).validate(data), "MALFORMED");
  await rejects(() => new KeyValueMachine(nothing).apply({ index: 1n, term: 1n, data }), "MALFORMED");
});
