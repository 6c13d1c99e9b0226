import { InFlight } from "../../src/async/mod.ts";
import { chunked, digested, sha256, toHex } from "../../src/stream/mod.ts";
import { assert, gate, noise, pieces, test } from "../support/harness.ts";

test("digested: each chunk with its digest, in the order of the chunks", async () => {
  const whole = noise(1_000_003, 7);
  for (const inFlight of [1, 2, 4, 100]) {
    let at = 0;
    const stream = pieces(whole, 33_333).pipeThrough(chunked(10_000)).pipeThrough(digested({ inFlight }));
    for await (const { bytes, digest } of stream) {
      const expected = whole.subarray(at, at + bytes.length);
      assert.deepEqual(bytes, expected);
      assert.strictEqual(toHex(digest), toHex(await sha256(expected)));
      at += bytes.length;
    }
    assert.strictEqual(at, whole.length);
  }
});

test("digested: the order is kept though a large chunk takes longer than the small ones after it", async () => {
  const sizes = [5_000_000, 1, 2, 3, 4_000_000, 5, 6];
  const got: number[] = [];
  for await (const { bytes } of ReadableStream.from(sizes.map((size) => noise(size, 1))).pipeThrough(digested())) {
    got.push(bytes.length);
  }
  assert.deepEqual(got, sizes);
});

test("digested: empty pieces have no digest", async () => {
  const stream = ReadableStream.from([new Uint8Array(0), noise(1, 1), new Uint8Array(0)]).pipeThrough(digested());
  let count = 0;
  for await (const _ of stream) count++;
  assert.strictEqual(count, 1);
});

test("digested: no more are held than asked for", async () => {
  let pulled = 0;
  const source = new ReadableStream<Uint8Array>({
    pull(controller) {
      pulled++;
      controller.enqueue(new Uint8Array(8));
    },
  }, { highWaterMark: 0 });
  const reader = source.pipeThrough(digested({ inFlight: 4 })).getReader();
  for (let i = 0; i < 10; i++) await reader.read();
  assert.isAtMost(pulled, 10 + 4 + 3); // the hop holds one or two of its own
  await reader.cancel();
});

test("InFlight: results in the order in which work began, whatever ends first", async () => {
  const gates = [gate<number>(), gate<number>(), gate<number>()];
  const queue = new InFlight<number>();
  for (const { promise } of gates) queue.add(promise);
  for (const i of [2, 1, 0]) gates[i]!.open(i);
  assert.deepEqual([await queue.next(), await queue.next(), await queue.next()], [0, 1, 2]);
  assert.strictEqual(queue.size, 0);
});

test("InFlight: a failure is seen where it is taken, and nowhere else", async () => {
  const queue = new InFlight<number>();
  queue.add(Promise.resolve(1));
  queue.add(Promise.reject(new Error("second")));
  assert.strictEqual(await queue.next(), 1);
  assert.strictEqual((await queue.next().catch((error) => error)).message, "second");
  queue.add(Promise.reject(new Error("nobody looks")));
  await queue.settled();
  assert.strictEqual(queue.size, 0);
});
