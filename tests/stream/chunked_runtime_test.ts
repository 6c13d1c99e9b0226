import fc from "fast-check";
import { chunked, concat } from "../../src/stream/mod.ts";
import { assert, bytesOf, noise, pieces, rejects, test } from "../support/harness.ts";

async function all(stream: ReadableStream<Uint8Array>): Promise<Uint8Array[]> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part);
  return parts;
}

test("chunked: any pieces give the same chunks", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 30 }),
      fc.integer({ min: 1, max: 50 }),
      async (parts, size) => {
        const whole = concat(parts);
        const chunks = await all(ReadableStream.from(parts).pipeThrough(chunked(size)));
        assert.deepEqual(concat(chunks), whole);
        assert.deepEqual(
          chunks.map(({ length }) => length),
          Array.from({ length: Math.ceil(whole.length / size) }, (_, i) => Math.min(size, whole.length - i * size)),
        );
      },
    ),
  );
});

test("chunked: a chunk that stands in one piece is not copied", async () => {
  const whole = noise(100, 1);
  for (const chunk of await all(ReadableStream.from([whole]).pipeThrough(chunked(50)))) {
    assert.strictEqual(chunk.buffer, whole.buffer);
  }
});

test("chunked: nothing of a stream that fails is flushed", async () => {
  const error = new Error("broken");
  const source = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(noise(3, 1));
    },
    pull: (controller) => controller.error(error),
  });
  const got = await bytesOf(source.pipeThrough(chunked(10))).catch((thrown) => thrown);
  assert.strictEqual(got, error);
});

test("chunked: sizes that are none", async () => {
  for (const size of [0, -1, 1.5, NaN, Infinity]) await rejects(() => chunked(size), "MALFORMED");
});

test("chunked: cancelling it cancels the source", async () => {
  let cancelled: unknown;
  const source = pieces(noise(100, 1), 10);
  const watched = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const reader = source.getReader();
      controller.enqueue((await reader.read()).value!);
      reader.releaseLock();
    },
    cancel: (reason) => void (cancelled = reason),
  });
  const reader = watched.pipeThrough(chunked(10)).getReader();
  await reader.read();
  await reader.cancel("enough");
  assert.strictEqual(cancelled, "enough");
});
