import fc from "fast-check";
import { DIGEST_SIZE, DigestIndex, toHex } from "../../src/stream/mod.ts";
import { assert, noise, test } from "../support/harness.ts";

/** An index, and how often it has looked at a digest: its work. */
function counted(count: number, digest: (i: number) => Uint8Array): { index: DigestIndex; work: () => number } {
  let looks = 0;
  const index = new DigestIndex(count, (i) => {
    looks++;
    return digest(i);
  });
  return { index, work: () => looks };
}

const pool = (all: Uint8Array) => (i: number) => all.subarray(i * DIGEST_SIZE, (i + 1) * DIGEST_SIZE);

test("DigestIndex: finds all positions of a digest, and none of others", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 20 }), { maxLength: 60 }), (picks) => {
      const digest = pool(noise(22 * DIGEST_SIZE, 9));
      const index = new DigestIndex(picks.length, (i) => digest(picks[i]!));
      for (let pick = 0; pick < 22; pick++) {
        const expected = picks.flatMap((other, i) => other === pick ? [i] : []);
        assert.deepEqual([...index.find(digest(pick))].sort((a, b) => a - b), expected);
      }
    }),
  );
});

test("DigestIndex: digests that differ in one bit", () => {
  const digests = Array.from({ length: DIGEST_SIZE * 8 }, (_, bit) => {
    const digest = new Uint8Array(DIGEST_SIZE);
    digest[bit >> 3] = 1 << (bit & 7);
    return digest;
  });
  const index = new DigestIndex(digests.length, (i) => digests[i]!);
  digests.forEach((digest, i) => assert.deepEqual([...index.find(digest)], [i], toHex(digest)));
  assert.deepEqual([...index.find(new Uint8Array(DIGEST_SIZE))], []);
});

test("DigestIndex: none at all", () => {
  const index = new DigestIndex(0, () => assert.fail("nothing is there to look at"));
  assert.deepEqual([...index.find(new Uint8Array(DIGEST_SIZE))], []);
});

const COUNT = 200_000;

test("DigestIndex: 200,000 equal digests cost no more than others", () => {
  const zero = new Uint8Array(DIGEST_SIZE);
  const { index, work } = counted(COUNT, () => zero);
  assert.isBelow(work(), 4 * COUNT);
  let found = 0;
  for (const _ of index.find(zero)) found++;
  assert.strictEqual(found, COUNT);
});

test("DigestIndex: random digests", () => {
  const { index, work } = counted(COUNT, pool(noise(COUNT * DIGEST_SIZE, 11)));
  assert.isBelow(work(), 6 * COUNT);
  assert.deepEqual([...index.find(pool(noise(COUNT * DIGEST_SIZE, 11))(777))], [777]);
});

// A manifest comes from elsewhere, and nobody can tell that its digests are not hashes of anything.
for (const mask of [0x80000000, 0xc0000000, 0xff000000, 0x000000ff, 0x00010001]) {
  test(`DigestIndex: digests chosen to collide, differing only in the bits ${mask.toString(16)} of words`, () => {
    const count = 20_000;
    const all = noise(count * DIGEST_SIZE, 13);
    const words = new Uint32Array(all.buffer);
    const view = new DataView(all.buffer);
    for (let i = 0; i < words.length; i++) view.setUint32(i * 4, view.getUint32(i * 4) & mask);
    const { work } = counted(count, pool(all));
    assert.isBelow(work(), 20 * count);
  });
}
