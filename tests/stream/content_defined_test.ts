import fc from "fast-check";
import { contentDefined } from "../../mod.ts";
import { concat, sha256, toHex } from "../../src/stream/mod.ts";
import { assert, bytesOf, noise, pieces, rejects, test } from "../support/harness.ts";
import { runs } from "../support/random.ts";

async function cut(bytes: Uint8Array, average: number, piece = 100_000): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of pieces(bytes, piece).pipeThrough(contentDefined({ average }))) chunks.push(chunk);
  return chunks;
}

const lengths = (chunks: readonly Uint8Array[]) => chunks.map(({ length }) => length);

test("content-defined chunks: vectors", async () => {
  const bytes = noise(1_500_000, 1); // xorshift32 from 1, little-endian
  assert.deepEqual(lengths(await cut(bytes, 16_384)).slice(0, 6), [18_753, 15_115, 20_105, 21_171, 19_274, 25_140]);
  assert.deepEqual(lengths(await cut(bytes, 65_536)).slice(0, 6), [33_868, 74_161, 20_682, 83_764, 69_254, 79_845]);
  assert.deepEqual(lengths(await cut(bytes, 262_144)).slice(0, 4), [281_729, 343_644, 290_661, 270_793]);
  assert.deepEqual(lengths(await cut(new Uint8Array(300_000), 16_384)), [65_536, 65_536, 65_536, 65_536, 37_856]);
});

test("content-defined chunks: the same whatever the pieces, within their bounds, and nothing lost", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 400_000 }),
      fc.integer({ min: 1, max: 1000 }),
      fc.integer({ min: 1, max: 200_000 }),
      async (length, seed, piece) => {
        const bytes = noise(length, seed);
        const chunks = await cut(bytes, 16_384, Math.max(piece, 20));
        assert.deepEqual(lengths(chunks), lengths(await cut(bytes, 16_384, length || 1)));
        assert.strictEqual(toHex(await sha256(concat(chunks))), toHex(await sha256(bytes)));
        for (const { length } of chunks.slice(0, -1)) assert.isTrue(length > 4096 && length <= 65_536);
        assert.isTrue(chunks.every(({ length }) => length > 0 && length <= 65_536));
      },
    ),
    { numRuns: runs(60) },
  );
});

test("content-defined chunks: what is put in changes the chunks around it, and no others", async () => {
  const bytes = noise(4_000_000, 7);
  const changed = concat([bytes.subarray(0, 1_234_567), noise(100, 9), bytes.subarray(1_234_567)]);
  const digests = async (bytes: Uint8Array) =>
    new Set(await Promise.all((await cut(bytes, 65_536)).map(async (chunk) => toHex(await sha256(chunk)))));
  const [before, after] = [await digests(bytes), await digests(changed)];
  const fresh = [...after].filter((digest) => !before.has(digest));
  assert.isAtMost(fresh.length, 3);
  assert.isAtLeast(after.size, 40);
});

test("content-defined chunks: a piece may be changed as soon as it was taken in", async () => {
  const stage = contentDefined({ average: 16_384 });
  const read = bytesOf(stage.readable);
  const writer = stage.writable.getWriter();
  const piece = new Uint8Array(1000);
  const expected: Uint8Array[] = [];
  for (let i = 0; i < 200; i++) {
    piece.set(noise(1000, i + 1));
    expected.push(piece.slice());
    await writer.write(piece);
  }
  await writer.close();
  assert.strictEqual(toHex(await sha256(await read)), toHex(await sha256(concat(expected))));
});

test("content-defined chunks: averages that are not possible", async () => {
  for (const average of [0, -1, 1024, 8192, 65_537, 2 ** 21, NaN, Infinity]) {
    await rejects(() => contentDefined({ average }), "MALFORMED");
  }
});
