import fc from "fast-check";
import {
  defaultMaxParallelism,
  intKeys,
  type KeyCodec,
  keyGroupOf,
  keyGroupRange,
  longKeys,
  stringKeys,
  workerOf,
} from "../../mod.ts";
import { hashLong, hashString } from "../../src/extend.ts";
import { murmurHash } from "../../src/state/key_groups.ts";
import { assert, rejects, test } from "../support/harness.ts";

// facts/flink.md, section 2: what Java gives on JDK 17.
test("key groups: hashes and groups are Flink's", () => {
  const vectors: [number, number, number][] = [
    [0, 593689054, 94],
    [97, 1455541201, 81],
    [1, 68075478, 86],
    [42, 1134849565, 29],
    [-7, 206585249, 33],
    [7, 1343918321, 113],
    [101943363, 23124534, 54],
    [-147170163, 986252555, 11],
    [-2147483648, 1718298732, 108],
  ];
  for (const [hash, murmur, group] of vectors) {
    assert.equal(murmurHash(hash), murmur);
    assert.equal(keyGroupOf(hash, 128), group);
  }
  assert.equal(hashString("a"), 97);
  assert.equal(hashString("key-1"), 101943363);
  assert.equal(hashString("user:42"), -147170163);
  assert.equal(hashLong(2n ** 63n - 1n), -2147483648);
  assert.equal(hashLong(-7n), 6);
  assert.equal(hashLong(42n), 42);
});

test("key groups: ranges and owners are Flink's", () => {
  const ranges = (max: number, parallelism: number) =>
    Array.from({ length: parallelism }, (_, worker) => Object.values(keyGroupRange(max, parallelism, worker)));
  assert.deepEqual(ranges(128, 3), [[0, 42], [43, 85], [86, 127]]);
  assert.deepEqual(ranges(128, 5), [[0, 25], [26, 51], [52, 76], [77, 102], [103, 127]]);
  assert.deepEqual(ranges(10, 3), [[0, 3], [4, 6], [7, 9]]);
  assert.deepEqual([1, 85, 86, 171, 21_845, 21_846, 32_768].map(defaultMaxParallelism), [
    128,
    128,
    256,
    256,
    32_768,
    32_768,
    32_768,
  ]);
  fc.assert(fc.property(fc.integer({ min: 1, max: 32_768 }), fc.integer({ min: 1, max: 300 }), (max, workers) => {
    fc.pre(workers <= max);
    let next = 0;
    for (let worker = 0; worker < workers; worker++) {
      const { first, last } = keyGroupRange(max, workers, worker);
      assert.equal(first, next);
      assert.equal(workerOf(first, max, workers), worker);
      assert.equal(workerOf(last, max, workers), worker);
      next = last + 1;
    }
    assert.equal(next, max);
  }));
});

test("key groups: what cannot be is refused", async () => {
  await rejects(() => keyGroupRange(128, 129, 0), "MALFORMED");
  await rejects(() => keyGroupRange(128, 3, 3), "MALFORMED");
  await rejects(() => keyGroupRange(0, 1, 0), "MALFORMED");
  await rejects(() => keyGroupRange(32_769, 1, 0), "MALFORMED");
  await rejects(() => defaultMaxParallelism(0), "MALFORMED");
  await rejects(() => intKeys().hash(2 ** 31), "MALFORMED");
  await rejects(() => intKeys().hash(1.5), "MALFORMED");
  await rejects(() => longKeys().hash(2n ** 63n), "MALFORMED");
  await rejects(() => stringKeys().hash("\ud800"), "MALFORMED");
  await rejects(() => stringKeys().hash(1 as unknown as string), "MALFORMED");
  await rejects(() => longKeys().hash(1 as unknown as bigint), "MALFORMED");
});

test("keys: bytes and back, texts and back", () => {
  const same = <K>({ encode, decode, text, ofText }: KeyCodec<K>, keys: fc.Arbitrary<K>) => {
    fc.assert(fc.property(keys, (key) => {
      assert.strictEqual(decode(encode(key)), key);
      assert.strictEqual(ofText(text(key)), key);
    }));
  };
  same(stringKeys(), fc.string({ unit: "binary" }).filter((key) => key.isWellFormed()));
  same(intKeys(), fc.integer());
  same(longKeys(), fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }));
});
