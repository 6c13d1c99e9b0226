import fc from "fast-check";
import {
  bytesCodec,
  type Codec,
  jsonCodec,
  KeyedState,
  MemoryStorage,
  stringKeys,
  utf8Codec,
  versioned,
} from "../../mod.ts";
import { StateDecoder } from "../../src/state/format/decoder.ts";
import { StateEncoder } from "../../src/state/format/encoder.ts";
import { concat } from "../../src/stream/mod.ts";
import { assert, bytesOf, noise, rejects, test } from "../support/harness.ts";
import { runs } from "../support/random.ts";
import { fileOfTexts, holding, saved, saveTo, STATE_FILE, texts } from "../support/states.ts";

const text = fc.string({ unit: "binary", maxLength: 200 }).filter((text) => text.isWellFormed());
const codecs: [Codec<never>, fc.Arbitrary<unknown>][] = [
  [bytesCodec() as Codec<never>, fc.uint8Array({ maxLength: 300 })],
  [utf8Codec() as Codec<never>, text],
  [jsonCodec<never>(), fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)))],
  [{ ...utf8Codec(), encodeInto: undefined, decodeFrom: undefined } as unknown as Codec<never>, text], // the slow way
];

/** Encodes entries of one key group, and decodes them, cut anyhow. */
async function roundTrip(entries: readonly [string, unknown][], codec: Codec<never>, cut: number): Promise<unknown> {
  const chunks: Uint8Array[] = [];
  const encoder = new StateEncoder({ first: 5, last: 7 }, (chunk) => {
    chunks.push(chunk.slice());
    return Promise.resolve();
  });
  await encoder.head(new Uint8Array(3));
  encoder.beginGroup(6);
  encoder.beginSection(0, true);
  for (const [key, value] of entries) {
    encoder.put("state", stringKeys(), key, codec, value as never);
    if (encoder.due) await encoder.turn();
  }
  encoder.endSection();
  await encoder.endGroup();
  const bytes = concat(chunks);
  assert.deepEqual([...encoder.offsets], [3, 3, bytes.length]);
  const read: [string, unknown][] = [];
  const decode = codec.decodeFrom ?? (({ bytes }, start, end) => codec.decode(bytes.subarray(start, end)));
  const decoder = new StateDecoder(
    "file",
    bytes.length,
    { first: 5, last: 7, offsets: encoder.offsets },
    {
      first: 5,
      last: 7,
    },
    1,
    {
      section: (keyGroup, state, replaces) => assert.deepEqual([keyGroup, state, replaces], [6, 0, true]),
      put: (block, a, b, c, d) => read.push([block.text(a, b), decode(block, c, d)]),
      delete: () => assert.fail(),
    },
  );
  for (let at = 3; at < bytes.length; at += cut) decoder.push(bytes.slice(at, at + cut));
  decoder.end();
  return read;
}

for (const [i, [codec, value]] of codecs.entries()) {
  test(`state files: what was encoded (${codec.name}, ${i}) comes back, however the stream is cut`, async () => {
    const entries = fc.array(fc.tuple(text, value), { maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(entries, fc.integer({ min: 1, max: 50 }), async (entries, cut) => {
        assert.deepEqual(await roundTrip(entries, codec, cut), entries);
      }),
      { numRuns: runs(150) },
    );
  });
}

test("state files: keys and values of every size around the limits of varints, windows and chunks", async () => {
  const sizes = [
    0,
    1,
    62,
    63,
    64,
    65,
    127,
    128,
    129,
    4095,
    4096,
    4097,
    8191,
    8192,
    65_536,
    262_143,
    262_144,
    3_000_000,
  ];
  for (const letter of ["x", "é", "€"]) {
    const entries = sizes.map((size, i): [string, string] => [letter.repeat(size), letter.repeat(sizes.at(-1 - i)!)]);
    assert.deepEqual(await roundTrip(entries, utf8Codec() as Codec<never>, 70_000), entries);
    const bytes = sizes.map((size, i): [string, Uint8Array] => [letter.repeat(size), noise(sizes.at(-1 - i)!, 1)]);
    assert.deepEqual(await roundTrip(bytes, bytesCodec() as Codec<never>, 262_144), bytes);
  }
});

test("state files: tables of key groups that are wrong", async () => {
  const { bytes, keyGroups } = await fileOfTexts();
  const { offsets } = keyGroups;
  const { state } = texts();
  const used = [...offsets.keys()].filter((i) => offsets[i] !== (offsets[i + 1] ?? bytes.length));
  const wrong: [string, Float64Array][] = [
    ["one byte too far", offsets.map((offset) => offset === offsets[used[1]!] ? offset + 1 : offset)],
    ["one byte too near", offsets.map((offset) => offset === offsets[used[1]!] ? offset - 1 : offset)],
    ["a group is said to be empty", offsets.map((offset, i) => i === used[1]! + 1 ? offsets[used[1]!]! : offset)],
    ["shifted by a group", offsets.map((_, i) => offsets[i + 1] ?? bytes.length)],
    ["all at the end", offsets.map((_, i) => i === 0 ? offsets[0]! : bytes.length)],
  ];
  for (const [what, offsets] of wrong) {
    try {
      await rejects(
        state.load(await holding({ [STATE_FILE]: { bytes, keyGroups: { ...keyGroups, offsets } } })),
        "MALFORMED",
      );
    } catch (error) {
      throw new Error(what, { cause: error });
    }
  }
  for (const offsets of [[-1], [1.5], [5, 4], [bytes.length + 1]]) {
    const keyGroups = { first: 0, last: offsets.length - 1, offsets: Float64Array.from(offsets) };
    await rejects(holding({ [STATE_FILE]: { bytes, keyGroups } }), "MALFORMED");
  }
  await rejects(state.load(await holding({ [STATE_FILE]: { bytes } })), "MALFORMED"); // none at all
});

test("state files: a key group that holds a key of another is MALFORMED, and says which", async () => {
  const { state, value } = texts();
  const [a, b] = ["a", "b"].map((key) => state.keyGroup(key));
  value.set("a", "1");
  const reader = await saved(state);
  const bytes = await bytesOf(reader.file(STATE_FILE));
  bytes[bytes.lastIndexOf(0x61)] = 0x62; // a becomes b
  const error = await rejects(
    state.load(await holding({ [STATE_FILE]: { bytes, keyGroups: reader.info(STATE_FILE).keyGroups! } })),
    "MALFORMED",
  );
  assert.deepEqual([error.keyGroup, error.actual], [a, b]);
  assert.equal(value.get("a"), "1");
});

test("state files: a delta without its base, upon another base, twice, or out of its place", async () => {
  const { state, value } = texts({ incremental: true });
  const storage = new MemoryStorage();
  for (let i = 0; i < 50; i++) value.set(`key ${i}`, "x");
  await saveTo(state, storage, 1n);
  value.set("a", "y");
  await saveTo(state, storage, 2n);
  const reader = await storage.open();
  const [base, delta] = await Promise.all(["state/0000", "state/0001"].map(async (name) => ({
    bytes: await bytesOf(reader.file(name)),
    keyGroups: reader.info(name).keyGroups!,
  })));
  value.set("b", "y");
  const other = await saved(state).then(async (reader) => ({
    bytes: await bytesOf(reader.file(STATE_FILE)),
    keyGroups: reader.info(STATE_FILE).keyGroups!,
  }));
  const target = texts();
  target.value.set("old", "state");
  const wrong: Record<string, Record<string, typeof other>> = {
    "without its base": { "state/0000": delta! },
    "without its base, in its place": { "state/0001": delta! },
    "upon another base": { "state/0000": other, "state/0001": delta! },
    "upon an empty base": { "state/0000": { ...base!, bytes: new Uint8Array(0) }, "state/0001": delta! },
    "twice": { "state/0000": base!, "state/0001": delta!, "state/0002": delta! },
    "a base where a delta should be": { "state/0000": base!, "state/0001": other },
    "one is missing": { "state/0000": base!, "state/0002": delta! },
    "what is no number": { "state/0000": base!, "state/x": delta! },
    "nothing": {},
    "something else": { "data": base! },
  };
  for (const [what, files] of Object.entries(wrong)) {
    try {
      const keyGroups = files[STATE_FILE]?.bytes.length === 0
        ? { ...base!.keyGroups, offsets: base!.keyGroups.offsets.map(() => 0) }
        : undefined;
      const fixed = keyGroups ? { ...files, [STATE_FILE]: { bytes: new Uint8Array(0), keyGroups } } : files;
      await rejects(target.state.load(await holding(fixed)), "MALFORMED");
    } catch (error) {
      throw new Error(what, { cause: error });
    }
  }
  assert.deepEqual([...target.value.entries()], [["old", "state"]]);
  await target.state.load(await holding({ "state/0000": base!, "state/0001": delta! }));
  assert.equal(target.value.get("a"), "y");
});

test("state files: other key groups, other keys, other states, other codecs", async () => {
  const { state, value } = texts({ range: { first: 0, last: 127 } });
  value.set("a", "1");
  const reader = await saved(state);
  const load = (make: (state: KeyedState<string>) => void, maxParallelism = 128, name = "state") => {
    const other = new KeyedState({ keys: stringKeys(), maxParallelism, name });
    make(other);
    return other.load(reader);
  };
  await rejects(load((it) => it.value("value", utf8Codec()), 256), "MALFORMED");
  await rejects(load((it) => it.value("value", utf8Codec()), 128, "other"), "MALFORMED");
  const undeclared = await rejects(load((it) => it.value("other", utf8Codec())), "UNSUPPORTED");
  assert.equal(undeclared.actual, "value");
  await rejects(load((it) => it.list("value", utf8Codec())), "UNSUPPORTED");
  await rejects(load((it) => it.map("value", stringKeys(), utf8Codec())), "UNSUPPORTED");
  await rejects(load((it) => it.value("value", jsonCodec())), "UNSUPPORTED");
  await load((it) => (it.value("before", jsonCodec()), it.value("value", utf8Codec())));
  const ints = new KeyedState({ keys: { ...stringKeys(), name: "other" } });
  ints.value("value", utf8Codec());
  await rejects(ints.load(reader), "UNSUPPORTED");
});

test("state files: ranges that are missing or there twice", async () => {
  const part = async (first: number, last: number) => {
    const { state, value } = texts({ range: { first, last } });
    for (let i = 0; i < 100; i++) if (state.owns(`${i}`)) value.set(`${i}`, "x");
    return await saved(state);
  };
  const [low, middle, high, wide] = await Promise.all([part(0, 40), part(41, 80), part(81, 127), part(70, 127)]);
  const { state, value } = texts();
  value.set("old", "state");
  assert.equal((await rejects(state.load(low, high), "MALFORMED")).keyGroup, 41);
  assert.equal((await rejects(state.load(low, middle), "MALFORMED")).keyGroup, 81);
  assert.equal((await rejects(state.load(middle, high), "MALFORMED")).keyGroup, 0);
  assert.equal((await rejects(state.load(low, middle, wide), "MALFORMED")).keyGroup, 70);
  assert.equal((await rejects(state.load(low, low, middle, high), "MALFORMED")).keyGroup, 0);
  assert.equal((await rejects(state.load(), "MALFORMED")).keyGroup, 0);
  assert.deepEqual([...value.entries()], [["old", "state"]]);
  await state.load(high, low, middle);
  assert.equal(value.size, 100);
  const inside = texts({ range: { first: 50, last: 60 } });
  await inside.state.load(middle); // and what it does not need may be missing
});

test("state files: a value that its codec refuses only when it is saved is named, and the save leaves nothing", async () => {
  const state = new KeyedState({ keys: stringKeys() });
  const value = state.value("amounts", jsonCodec<unknown>());
  const changed: Record<string, unknown> = {};
  value.set("good", 1);
  value.set("bad", changed);
  changed["of"] = 1n; // which is not allowed: values are replaced, not changed
  const storage = new MemoryStorage();
  const error = await rejects(saveTo(state, storage, 1n), "MALFORMED");
  assert.include(error.message, `"bad"`);
  assert.include(error.message, `"amounts"`);
  assert.deepEqual(await storage.list(), []);
  value.set("bad", 2);
  await saveTo(state, storage, 2n);
});

test("state files: older values are migrated, also under newer deltas; newer ones are UNSUPPORTED", async () => {
  interface Old {
    readonly name: string;
  }
  interface New extends Old {
    readonly mail: string | null;
  }
  const storage = new MemoryStorage();
  const old = new KeyedState({ keys: stringKeys(), incremental: true });
  const names = old.value("users", jsonCodec<Old>());
  const tags = old.list("tags", utf8Codec());
  for (let i = 0; i < 20; i++) names.set(`${i}`, { name: `${i}` });
  tags.add("a", "one");
  await saveTo(old, storage, 1n);

  const froms: unknown[] = [];
  const users = versioned(jsonCodec<New>(), 2, (bytes, from) => {
    froms.push(from);
    return { ...jsonCodec<Old>().decode(bytes), mail: null };
  });
  const open = () => {
    const state = new KeyedState({ keys: stringKeys(), incremental: true });
    const upper = versioned(utf8Codec(), 1, (bytes) => utf8Codec().decode(bytes).toUpperCase());
    return { state, users: state.value("users", users), tags: state.list("tags", upper) };
  };
  const middle = open();
  await middle.state.load(await storage.open());
  assert.deepEqual(middle.users.get("7"), { name: "7", mail: null });
  assert.deepEqual(middle.tags.get("a"), ["ONE"]);
  assert.deepEqual(froms[0], { name: "json", version: 0 });
  middle.users.set("7", { name: "7", mail: "7@x" });
  assert.equal((await saveTo(middle.state, storage, 2n)).files, 2);

  const last = open();
  await last.state.load(await storage.open());
  assert.deepEqual(last.users.get("7"), { name: "7", mail: "7@x" });
  assert.deepEqual(last.users.get("8"), { name: "8", mail: null });
  const error = await rejects(old.load(await storage.open()), "UNSUPPORTED");
  assert.include(error.message, "newer release");
  await rejects(() => versioned(utf8Codec(), 0, () => ""), "MALFORMED");
});

test("state files: a list has the version of its items, and is migrated once", async () => {
  const open = () => {
    const state = new KeyedState({ keys: stringKeys() });
    return { state, list: state.list("list", versioned(utf8Codec(), 2, () => assert.fail("it is not older"))) };
  };
  const [first, second] = [open(), open()];
  first.list.add("a", "one", "two");
  await second.state.load(await saved(first.state));
  assert.deepEqual(second.list.get("a"), ["one", "two"]);
});

test("state files: a codec that is a class, with a version", async () => {
  class Doubled implements Codec<number> {
    readonly name = "doubled";
    readonly #factor = 2;
    encode(value: number): Uint8Array {
      return Uint8Array.of(value * this.#factor);
    }
    decode(bytes: Uint8Array): number {
      return bytes[0]! / this.#factor;
    }
    encodeInto(value: number, target: Uint8Array, at: number): number {
      if (at === target.length) return -1;
      target[at] = value * this.#factor;
      return at + 1;
    }
  }
  for (const codec of [new Doubled(), versioned(new Doubled(), 1, () => 0)]) {
    const [first, second] = [0, 1].map(() => {
      const state = new KeyedState({ keys: stringKeys() });
      return { state, value: state.value("value", codec), list: state.list("list", codec) };
    });
    first!.value.set("a", 7);
    first!.list.add("a", 8, 9);
    await second!.state.load(await saved(first!.state));
    assert.deepEqual([second!.value.get("a"), second!.list.get("a")], [7, [8, 9]]);
  }
});

test("state files: what a codec says of its end is not believed blindly", async () => {
  const ends: Record<string, (target: Uint8Array, at: number) => number> = {
    "beyond the buffer": (target) => target.length + 1,
    "before its beginning": (_, at) => at - 1,
    "nowhere": () => NaN,
    "nothing": () => undefined as unknown as number,
    "another negative number": () => -2,
  };
  for (const [what, end] of Object.entries(ends)) {
    for (const inList of [false, true]) {
      const state = new KeyedState({ keys: stringKeys() });
      let lies = false;
      const honest = utf8Codec();
      const codec: Codec<string> = {
        ...honest,
        encodeInto: (value, target, at) => lies ? end(target, at) : honest.encodeInto!(value, target, at),
      };
      const add = inList
        ? ((list) => () => list.add("a", "x", "y"))(state.list("list", codec))
        : ((value) => () => value.set("a", "x"))(state.value("value", codec));
      add();
      lies = true;
      try {
        assert.include((await rejects(saveTo(state, new MemoryStorage(), 1n), "MALFORMED")).message, `"a"`);
        assert.include((await rejects(add, "MALFORMED")).message, `"a"`);
      } catch (error) {
        throw new Error(`${what}${inList ? ", in a list" : ""}`, { cause: error });
      }
    }
  }
});

test("state files: a list that no chunk holds is written without an object for each item, if its codec can", async () => {
  const quick: Codec<number> = { ...jsonCodec<number>(), encode: () => assert.fail("an object for each item") };
  const { encodeInto: _, ...plain } = jsonCodec<number>();
  for (const codec of [quick, plain]) {
    const [first, second] = [0, 1].map(() => {
      const state = new KeyedState({ keys: stringKeys() });
      return { state, list: state.list("list", codec) };
    });
    for (let i = 0; i < 100_000; i++) first!.list.add("a", i);
    first!.list.add("b", 1);
    await second!.state.load(await saved(first!.state));
    assert.equal(second!.list.get("a").reduce((sum, item) => sum + item), 4_999_950_000);
    assert.deepEqual(second!.list.get("b"), [1]);
  }
});

test("state files: a codec that throws while it is loaded, or its migration, leaves the state", async () => {
  const { state, value } = texts();
  value.set("a", "x");
  const reader = await saved(state);
  const fail = () => assert.fail("as asked");
  for (const codec of [versioned(utf8Codec(), 1, fail), { ...utf8Codec(), decodeFrom: fail }]) {
    const other = new KeyedState({ keys: stringKeys() });
    const values = other.value<string>("value", codec);
    values.set("old", "state");
    const error = await rejects(other.load(reader), "MALFORMED");
    assert.deepEqual([error.fields.file, error.keyGroup], [STATE_FILE, state.keyGroup("a")]);
    assert.include(error.message, "as asked");
    assert.deepEqual([...values.entries()], [["old", "state"]]);
  }
});

test("state files: names and versions that would not come back are refused when a state is declared", async () => {
  const half = "\ud83d";
  const wrong: Record<string, (state: KeyedState<string>) => unknown> = {
    "a state": (state) => state.value(half, utf8Codec()),
    "a codec": (state) => state.list("list", { ...utf8Codec(), name: half }),
    "a version": (state) => state.value("value", { ...utf8Codec(), version: -1 }),
    "keys of a map": (state) => state.map("map", { ...stringKeys(), name: half }, utf8Codec()),
    "more than a head can hold": (state) => {
      for (let i = 0; i < 5000; i++) state.value("x".repeat(240) + i, utf8Codec());
    },
  };
  for (const [what, declare] of Object.entries(wrong)) {
    const state = new KeyedState({ keys: stringKeys() });
    const value = state.value("right", utf8Codec());
    value.set("a", "x");
    try {
      await rejects(() => declare(state), "MALFORMED");
      await saved(state); // which does not know of it
    } catch (error) {
      throw new Error(what, { cause: error });
    }
  }
});
