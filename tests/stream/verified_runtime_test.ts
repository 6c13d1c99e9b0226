import fc from "fast-check";
import { type Chunking, ChunkMap, concat, sha256, verified } from "../../src/stream/mod.ts";
import { assert, bytesOf, noise, pieces, rejects, test } from "../support/harness.ts";

async function mapOf(whole: Uint8Array, chunking: Chunking): Promise<ChunkMap> {
  const digests: Uint8Array[] = [];
  const lengths = "chunkSize" in chunking
    ? Array.from({ length: Math.ceil(whole.length / chunking.chunkSize) }, () => chunking.chunkSize)
    : [...chunking.chunkLengths];
  let at = 0;
  for (const length of lengths) digests.push(await sha256(whole.subarray(at, at += length)));
  return await ChunkMap.of(whole.length, chunking, concat(digests));
}

test("verified: any pieces, any chunks", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 20 }),
      fc.integer({ min: 1, max: 100 }),
      async (lengths, piece) => {
        const whole = noise(lengths.reduce((a, b) => a + b, 0), 5);
        const chunks = await mapOf(whole, { chunkLengths: Uint32Array.from(lengths) });
        const got: number[] = [];
        const stream = pieces(whole, piece).pipeThrough(verified({ name: "f", chunks }));
        const parts: Uint8Array[] = [];
        for await (const part of stream) {
          got.push(part.length);
          parts.push(part);
        }
        assert.deepEqual(got, lengths);
        assert.deepEqual(concat(parts), whole);
      },
    ),
    { numRuns: 50 },
  );
});

test("verified: not a byte of a wrong chunk, nor of one after it, is handed on", async () => {
  const whole = noise(10_000, 3);
  const chunks = await mapOf(whole, { chunkSize: 1000 });
  for (const chunk of [0, 3, 9]) {
    for (const piece of [7, 1000, 10_000]) {
      const damaged = whole.slice();
      damaged[chunk * 1000 + 500]! ^= 1;
      const got: Uint8Array[] = [];
      const error = await rejects(async () => {
        for await (const part of pieces(damaged, piece).pipeThrough(verified({ name: "f", chunks }))) got.push(part);
      }, "CORRUPT");
      assert.strictEqual(error.chunk, chunk);
      assert.strictEqual(error.file, "f");
      assert.isAtMost(got.length, chunk);
      assert.deepEqual(concat(got), whole.slice(0, got.length * 1000));
    }
  }
});

test("verified: short at every length, and surplus", async () => {
  const whole = noise(100, 3);
  const chunks = await mapOf(whole, { chunkSize: 30 });
  for (let length = 0; length < whole.length; length++) {
    const stream = pieces(whole.slice(0, length), 7).pipeThrough(verified({ name: "f", chunks }));
    await rejects(bytesOf(stream), "CORRUPT");
  }
  for (const piece of [7, 1000]) {
    const stream = pieces(concat([whole, noise(1, 1)]), piece).pipeThrough(verified({ name: "f", chunks }));
    await rejects(bytesOf(stream), "CORRUPT");
  }
});

test("verified: a part of a file", async () => {
  const whole = noise(100, 3);
  const chunks = await mapOf(whole, { chunkSize: 30 });
  const part = (first: number, end: number, from: number, to: number) =>
    bytesOf(pieces(whole.slice(from, to), 9).pipeThrough(verified({ name: "f", chunks }, first, end)));
  assert.deepEqual(await part(1, 3, 30, 90), whole.slice(30, 90));
  assert.deepEqual(await part(3, 4, 90, 100), whole.slice(90));
  assert.deepEqual(await part(2, 2, 0, 0), new Uint8Array(0));
  await rejects(part(1, 3, 0, 60), "CORRUPT");
  await rejects(part(2, 2, 0, 1), "CORRUPT");
});

test("verified: an empty file", async () => {
  const chunks = await ChunkMap.of(0, { chunkSize: 10 }, new Uint8Array(0));
  assert.strictEqual((await bytesOf(pieces(noise(0, 1)).pipeThrough(verified({ name: "f", chunks })))).length, 0);
  await rejects(bytesOf(pieces(noise(1, 1)).pipeThrough(verified({ name: "f", chunks }))), "CORRUPT");
});
