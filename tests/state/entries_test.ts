import fc from "fast-check";
import { bytesCodec, type Codec, jsonCodec, utf8Codec } from "../../mod.ts";
import { hasCode } from "../../src/errors.ts";
import { decodeEntries, encodeEntries } from "../../src/state/entries.ts";
import { concat } from "../../src/stream/mod.ts";
import { assert, noise, pieces, rejects, test } from "../harness.ts";

function encode<V>(entries: Iterable<readonly [string, V]>, codec: Codec<V>): Uint8Array {
  return concat([...encodeEntries(entries, codec)]);
}

async function decode<V>(bytes: Uint8Array, codec: Codec<V>, length?: number): Promise<[string, V][]> {
  const entries: [string, V][] = [];
  await decodeEntries(pieces(bytes, length), codec, (key, value) => entries.push([key, value]));
  return entries;
}

const text = fc.string({ unit: "binary", maxLength: 200 }).filter((text) => text.isWellFormed());
const codecs: [Codec<never>, fc.Arbitrary<unknown>][] = [
  [bytesCodec() as Codec<never>, fc.uint8Array({ maxLength: 300 })],
  [utf8Codec() as Codec<never>, text],
  [jsonCodec<never>(), fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)))],
];

for (const [codec, value] of codecs) {
  test(`entries: what was encoded (${codec.name}) comes back, however the stream is cut`, async () => {
    const entries = fc.uniqueArray(fc.tuple(text, value), { selector: ([key]) => key, maxLength: 20 });
    await fc.assert(
      fc.asyncProperty(entries, fc.integer({ min: 1, max: 50 }), async (entries, length) => {
        const bytes = encode(entries as [string, never][], codec);
        assert.deepEqual(await decode(bytes, codec, length) as unknown, entries);
      }),
      { numRuns: 150 },
    );
  });
}

test("entries: keys and values of every size around the limits of varints and blocks", async () => {
  const sizes = [0, 1, 41, 42, 43, 125, 126, 127, 128, 16_382, 16_383, 16_384, 65_400, 65_536, 65_537, 3_000_000];
  for (const letter of ["x", "é", "€"]) {
    const entries = sizes.map((size, i): [string, Uint8Array] => [letter.repeat(size), noise(sizes.at(-1 - i)!, 1)]);
    const bytes = encode(entries, bytesCodec());
    assert.deepEqual(await decode(bytes, bytesCodec(), 70_000), entries);
  }
});

test("entries: nothing is encoded ahead, and what was handed on is not touched any more", () => {
  let asked = 0;
  const source = (function* () {
    for (let i = 0; i < 100; i++) yield [`${asked++}`, noise(10_000, i + 1)] as const;
  })();
  const blocks = encodeEntries(source, bytesCodec());
  const first = blocks.next().value as Uint8Array;
  const copy = first.slice();
  assert.isAtMost(asked, 8);
  blocks.next();
  assert.deepEqual(first, copy);
});

const small: [string, string][] = [["", ""], ["key", "value"], ["ключ", "😀".repeat(50)], ["x".repeat(130), ""]];

test("entries: a stream that was cut is CORRUPT, wherever", async () => {
  const bytes = encode(small, utf8Codec());
  for (let length = 0; length < bytes.length; length++) {
    await rejects(decode(bytes.slice(0, length), utf8Codec()), "CORRUPT");
  }
});

test("entries: bytes that were changed give what can be read or a typed error, and never hang", async () => {
  const bytes = encode(small, utf8Codec());
  const change = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 3 });
  await fc.assert(
    fc.asyncProperty(change, fc.integer({ min: 1, max: 400 }), async (changes, length) => {
      const changed = bytes.slice();
      for (const [at, byte] of changes) changed[at] = byte;
      try {
        await decode(changed, utf8Codec(), length);
      } catch (error) {
        assert.isTrue(hasCode(error, "MALFORMED", "CORRUPT", "UNSUPPORTED"), String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

test("entries: random bytes behind a right head give typed errors", async () => {
  const head = encode([], utf8Codec()).slice(0, -2);
  await fc.assert(fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 60 }), async (rest) => {
    try {
      await decode(concat([head, rest]), utf8Codec(), 7);
    } catch (error) {
      assert.isTrue(hasCode(error, "MALFORMED", "CORRUPT"), String(error));
    }
  }));
});

test("entries: what is wrong with it", async () => {
  const end = [0, 0];
  const head = encode([], utf8Codec()).slice(0, -2);
  const decoded = (...rest: number[]) => decode(concat([head, Uint8Array.from(rest)]), utf8Codec());
  await rejects(decode(new TextEncoder().encode("Something else altogether"), utf8Codec()), "MALFORMED");
  await rejects(decoded(...end, 0), "MALFORMED"); // something follows
  await rejects(decoded(0, 1), "MALFORMED"); // the count
  await rejects(decoded(2, 0xff, 0, ...end), "MALFORMED"); // a key that is not UTF-8
  await rejects(decoded(2, 0x61, 1, 0xff, ...end), "MALFORMED"); // a value that is not
  await rejects(decoded(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1), "MALFORMED"); // a length beyond 2^49
  await rejects(decoded(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), "MALFORMED"); // a length beyond the limit
  await rejects(decoded(0x80, 0x80, 0x80, 0x80, 4), "CORRUPT"); // the longest that may be, and it is not there
});

test("entries: another version or codec is UNSUPPORTED", async () => {
  const bytes = encode(small, utf8Codec());
  const error = await rejects(decode(bytes, bytesCodec()), "UNSUPPORTED");
  assert.deepEqual([error.expected, error.actual], ["bytes", "utf-8"]);
  bytes[4] = 2;
  await rejects(decode(bytes, utf8Codec()), "UNSUPPORTED");
});

test("entries: a value that could not be read back is not written", async () => {
  const huge: Codec<number> = {
    name: "huge",
    encode: (length) => Object.defineProperty(new Uint8Array(0), "length", { value: length }),
    decode: () => 0,
  };
  await rejects(() => encode([["a", 2 ** 30 + 1]], huge), "MALFORMED");
});

test("entries: a length that promises a gigabyte costs no more than what comes", async () => {
  const head = encode([], utf8Codec()).slice(0, -2);
  const stream = ReadableStream.from((function* () {
    yield concat([head, Uint8Array.of(0x80, 0x80, 0x80, 0x80, 4)]);
    for (let i = 0; i < 20_000; i++) yield new Uint8Array(1); // were it put together each time, this took minutes
  })());
  await rejects(decodeEntries(stream, utf8Codec(), () => {}), "CORRUPT");
});

test("codecs: what they cannot hold is MALFORMED", async () => {
  const circle: { it?: unknown } = {};
  circle.it = circle;
  await rejects(() => utf8Codec().encode("\ud800"), "MALFORMED");
  await rejects(() => utf8Codec().encode("a\udc00b"), "MALFORMED");
  await rejects(() => utf8Codec().decode(Uint8Array.of(0xed, 0xa0, 0x80)), "MALFORMED");
  for (const value of [undefined, () => {}, Symbol("x"), 1n, circle]) {
    await rejects(() => jsonCodec().encode(value), "MALFORMED");
  }
  await rejects(() => jsonCodec().decode(Uint8Array.of(0x7b)), "MALFORMED");
  await rejects(() => jsonCodec().decode(Uint8Array.of(0xff)), "MALFORMED");
  // JSON writes half of a pair as \ud800, and so can hold it.
  assert.equal(jsonCodec().decode(jsonCodec().encode("\ud800")), "\ud800");
  assert.equal(utf8Codec().decode(utf8Codec().encode("\ufeffa")), "\ufeffa", "a byte order mark is text too");
});

test("codecs: bytes are only lent", () => {
  const lent = Uint8Array.of(1, 2, 3);
  const value = bytesCodec().decode(lent);
  lent.fill(0);
  assert.deepEqual(value, Uint8Array.of(1, 2, 3));
});
