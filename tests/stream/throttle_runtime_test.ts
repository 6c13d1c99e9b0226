import { Throttle, throttled } from "../../src/stream/mod.ts";
import { inFrozenTime } from "../support/fake_clock.ts";
import { assert, bytesOf, gate, noise, pieces, rejects, test, turns } from "../support/harness.ts";

/** Notes which of several have passed. */
function follow(passes: Promise<void>[]): number[] {
  const passed: number[] = [];
  passes.forEach((pass, i) => void pass.then(() => passed.push(i), () => {}));
  return passed;
}

test("Throttle: no more passes than the rate and a twentieth of a second, and one chunk", async () => {
  await inFrozenTime(async (clock) => {
    const throttle = new Throttle(1000);
    let passed = 0;
    const stop = new AbortController();
    const all = Array.from({ length: 40 }, () => throttle.take(100, stop.signal).then(() => passed += 100, () => {}));
    for (let elapsed = 0; elapsed <= 2000; elapsed += 100) {
      await turns(1);
      assert.isAtMost(passed, elapsed + 50 + 100, `after ${elapsed} ms`);
      assert.isAtLeast(passed, Math.min(elapsed - 100, 4000), `after ${elapsed} ms`);
      clock.advance(100);
    }
    stop.abort();
    await Promise.all(all);
  });
});

test("Throttle: a pause is not made up for with a burst", async () => {
  await inFrozenTime(async (clock) => {
    const throttle = new Throttle(1000);
    await throttle.take(10);
    clock.advance(60_000);
    const stop = new AbortController();
    const passes = Array.from({ length: 10 }, () => throttle.take(50, stop.signal));
    const passed = follow(passes);
    await turns(1);
    assert.isAtMost(passed.length, 2);
    stop.abort();
    await Promise.allSettled(passes);
  });
});

test("Throttle: first come, first served, whatever the sizes", async () => {
  const throttle = new Throttle(1);
  const passes = [100, 1, 1_000_000, 1].map((bytes) => throttle.take(bytes));
  const passed = follow(passes);
  await turns(2);
  assert.deepEqual(passed, [0]);
  throttle.bytesPerSecond = Infinity;
  await Promise.all(passes);
  assert.deepEqual(passed, [0, 1, 2, 3]);
});

test("Throttle: who gives up leaves the line, and those behind keep their places", async () => {
  const throttle = new Throttle(1);
  const stop = new AbortController();
  const passes = [throttle.take(1000), throttle.take(1, stop.signal), throttle.take(1)];
  const passed = follow(passes);
  await turns(2);
  stop.abort("enough");
  const error = await rejects(passes[1]!, "CANCELLED");
  assert.strictEqual(error.cause, "enough");
  assert.deepEqual(passed, [0]);
  throttle.bytesPerSecond = Infinity;
  await passes[2];
  await rejects(throttle.take(1, AbortSignal.abort()), "CANCELLED");
});

test("Throttle: a higher rate wakes who waits, a lower one does not", async () => {
  await inFrozenTime(async (clock) => {
    const throttle = new Throttle(10);
    await throttle.take(1000);
    const waiting = throttle.take(1);
    const passed = follow([waiting]);
    throttle.bytesPerSecond = 1;
    await turns(1);
    assert.deepEqual(passed, []);
    throttle.bytesPerSecond = 1_000_000;
    clock.advance(2);
    throttle.bytesPerSecond = 1_000_000;
    await waiting;
  });
});

// The clock of workerd stands still between I/O, and those of browsers are coarse.
test("Throttle: the rate may go from infinite to finite while the clock stands still", async () => {
  await inFrozenTime(async (clock) => {
    const throttle = new Throttle(Infinity);
    throttle.bytesPerSecond = 1000;
    throttle.bytesPerSecond = Infinity;
    throttle.bytesPerSecond = 1000;
    await throttle.take(10);
    const waiting = throttle.take(10);
    clock.advance(100);
    throttle.bytesPerSecond = 1000;
    await waiting;
  });
});

test("Throttle: rates that are none", async () => {
  for (const rate of [0, -1, NaN]) {
    await rejects(() => new Throttle(rate), "MALFORMED");
    await rejects(() => {
      new Throttle(1).bytesPerSecond = rate;
    }, "MALFORMED");
  }
});

test("throttled: the bytes as they were", async () => {
  const whole = noise(100_000, 1);
  assert.deepEqual(await bytesOf(pieces(whole, 999).pipeThrough(throttled(new Throttle(1e9)))), whole);
});

test("throttled: cancelling it while it waits takes it out of the line", async () => {
  const throttle = new Throttle(1);
  await throttle.take(1_000_000);
  const cancelled = gate<unknown>();
  const source = new ReadableStream<Uint8Array>({
    pull: (controller) => controller.enqueue(noise(10, 1)),
    cancel: (reason) => cancelled.open(reason),
  });
  const reader = source.pipeThrough(throttled(throttle)).getReader();
  reader.read().catch(() => {});
  await turns(3);
  await reader.cancel("enough");
  assert.strictEqual(await cancelled.promise, "enough");
  const next = throttle.take(1);
  throttle.bytesPerSecond = Infinity;
  await next;
});
