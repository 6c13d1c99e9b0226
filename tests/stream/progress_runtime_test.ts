import { type PassedBytes, progress } from "../../src/stream/mod.ts";
import { assert, bytesOf, noise, pieces, test } from "../support/harness.ts";

test("progress: totals after each piece, and the bytes as they were", async () => {
  const seen: PassedBytes[] = [];
  const whole = noise(1050, 1);
  const got = await bytesOf(pieces(whole, 500).pipeThrough(progress((passed) => seen.push(passed))));
  assert.deepEqual(got, whole);
  assert.deepEqual(seen, [{ bytes: 500, pieces: 1 }, { bytes: 1000, pieces: 2 }, { bytes: 1050, pieces: 3 }]);
});

test("progress: what the callback throws fails the stream both ways", async () => {
  const error = new Error("enough");
  let cancelled: unknown;
  const source = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(noise(10, 1)),
    cancel: (reason) => void (cancelled = reason),
  });
  const stage = progress(({ bytes }) => {
    if (bytes > 25) throw error;
  });
  const thrown = await bytesOf(source.pipeThrough(stage)).catch((thrown) => thrown);
  assert.strictEqual(thrown, error);
  assert.strictEqual(cancelled, error);
});
