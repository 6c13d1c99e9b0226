import fc from "fast-check";
import { ChunkMap, ChunkMapBuilder, concat, DIGEST_SIZE, sha256, toHex, u64 } from "../../src/stream/mod.ts";
import { assert, noise, rejects, test } from "../support/harness.ts";

test("ChunkMap: offsets, lengths and positions agree", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 1000 }), { maxLength: 50 }), async (lengths) => {
      const size = lengths.reduce((a, b) => a + b, 0);
      const map = await ChunkMap.of(
        size,
        { chunkLengths: Uint32Array.from(lengths) },
        noise(lengths.length * DIGEST_SIZE, 1),
      );
      assert.deepEqual(lengths.map((_, i) => map.length(i)), lengths);
      for (let i = 0; i < map.count; i++) {
        assert.strictEqual(map.at(map.offset(i)), i);
        assert.strictEqual(map.at(map.offset(i) + map.length(i) - 1), i);
      }
      assert.strictEqual(map.at(size), map.count);
      assert.strictEqual(map.at(size + 100), map.count);
    }),
  );
});

test("ChunkMap: chunks of one size, as lengths say the same", async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 0, max: 5000 }), fc.integer({ min: 1, max: 700 }), async (size, chunkSize) => {
      const count = Math.ceil(size / chunkSize);
      const digests = noise(count * DIGEST_SIZE, 2);
      const lengths = Array.from({ length: count }, (_, i) => Math.min(chunkSize, size - i * chunkSize));
      const a = await ChunkMap.of(size, { chunkSize }, digests);
      const b = await ChunkMap.of(size, { chunkLengths: Uint32Array.from(lengths) }, digests);
      assert.strictEqual(toHex(a.root), toHex(b.root));
      for (let i = 0; i < count; i++) assert.deepEqual([a.offset(i), a.length(i)], [b.offset(i), b.length(i)]);
      assert.deepEqual([a.offset(count), b.offset(count)], [size, size]);
      for (let at = 0; at <= size; at += 37) assert.strictEqual(a.at(at), b.at(at));
    }),
  );
});

test("ChunkMap: the root is the SHA-256 of size and digests, and the checksum says so", async () => {
  const map = await ChunkMap.of(5, { chunkSize: 4 }, noise(64, 1));
  const root = toHex(await sha256(concat([u64(5), noise(64, 1)])));
  assert.strictEqual(toHex(map.root), root);
  assert.strictEqual(map.checksum, `chunks-sha256:${root}`);
});

test("ChunkMap: a file of 4 PiB", async () => {
  const size = 2 ** 52 + 1;
  const map = await ChunkMap.of(size, { chunkSize: 2 ** 51 }, noise(3 * DIGEST_SIZE, 1));
  assert.deepEqual([map.count, map.offset(2), map.length(2), map.at(size - 1)], [3, 2 ** 52, 1, 2]);
});

test("ChunkMap: what does not fit is refused", async () => {
  const digests = (count: number) => noise(count * DIGEST_SIZE, 1);
  const cases: [number, Parameters<typeof ChunkMap.of>[1], Uint8Array][] = [
    [-1, { chunkSize: 1 }, digests(0)],
    [1.5, { chunkSize: 1 }, digests(2)],
    [NaN, { chunkSize: 1 }, digests(0)],
    [2 ** 53, { chunkSize: 2 ** 53 }, digests(1)],
    [10, { chunkSize: 0 }, digests(1)],
    [10, { chunkSize: -5 }, digests(1)],
    [10, { chunkSize: 1.5 }, digests(7)],
    [10, { chunkSize: 5 }, digests(1)],
    [10, { chunkSize: 5 }, digests(3)],
    [10, { chunkSize: 5 }, noise(65, 1)],
    [0, { chunkSize: 5 }, digests(1)],
    [10, { chunkLengths: Uint32Array.of(5, 4) }, digests(2)],
    [10, { chunkLengths: Uint32Array.of(5, 5) }, digests(1)],
    [10, { chunkLengths: Uint32Array.of(10, 0) }, digests(2)],
  ];
  for (const [size, chunking, bytes] of cases) await rejects(ChunkMap.of(size, chunking, bytes), "MALFORMED");
});

test("ChunkMapBuilder: as many digests as come", async () => {
  for (const count of [0, 1, 63, 64, 65, 1000]) {
    const builder = new ChunkMapBuilder(10);
    const digests = noise(count * DIGEST_SIZE, 4);
    for (let i = 0; i < count; i++) builder.add(digests.subarray(i * DIGEST_SIZE, (i + 1) * DIGEST_SIZE), 10);
    const map = await builder.build();
    assert.deepEqual(map.digests, digests);
    assert.strictEqual(map.count, count);
  }
});
