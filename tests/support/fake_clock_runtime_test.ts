import { pause } from "../../src/async/mod.ts";
import { equal, sha256 } from "../../src/stream/mod.ts";
import { inFakeTime, inFrozenTime } from "./fake_clock.ts";
import { assert, bytesOf, noise, test, turns } from "./harness.ts";

test("fake time: an hour is over at once, and the clocks say so", async () => {
  const { setTimeout, clearTimeout } = globalThis;
  const { now } = performance;
  await inFakeTime(async (clock) => {
    const begun = [performance.now(), Date.now()];
    const order: string[] = [];
    const timer = globalThis.setTimeout(() => order.push("cleared"), 1000);
    globalThis.setTimeout((text: string) => order.push(text), 3000, "last");
    globalThis.setTimeout(() => order.push("first"), 2000);
    globalThis.clearTimeout(timer);
    let beats = 0;
    const interval = globalThis.setInterval(() => ++beats === 3 && globalThis.clearInterval(interval), 100);
    await pause(3600_000, undefined);
    assert.deepEqual([order, beats], [["first", "last"], 3]);
    assert.deepEqual([performance.now() - begun[0]!, Date.now() - begun[1]!], [3600_000, 3600_000]);
    assert.strictEqual(clock.passed, 3600_000);
    const signal = AbortSignal.timeout(5000);
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
    assert.strictEqual(signal.reason.name, "TimeoutError");
    assert.strictEqual(clock.passed, 3605_000);
  });
  assert.isTrue(globalThis.setTimeout === setTimeout && globalThis.clearTimeout === clearTimeout);
  assert.strictEqual(performance.now, now);
});

test("fake time: it stands still while digests are computed, and while turns are taken", () =>
  inFakeTime(async (clock) => {
    const timedOut: number[] = [];
    globalThis.setTimeout(() => timedOut.push(clock.passed), 1);
    for (let i = 0; i < 20; i++) await sha256(noise(1_000_000, i));
    await turns(20);
    assert.deepEqual(timedOut, []);
    await pause(1, undefined);
    assert.deepEqual(timedOut, [1]);
  }));

test("fake time: it stands still while bodies are read, of which a page reads some in other threads", () => {
  const text = "x".repeat(3_000_000);
  const [ofText, ofJson] = [new Response(text), Response.json({})].map(({ headers }) => headers.get("Content-Type"));
  return inFakeTime(async (clock) => {
    const timedOut: number[] = [];
    globalThis.setTimeout(() => timedOut.push(clock.passed), 1);
    const bytes = noise(3_000_000, 1);
    const response = new Response(bytes, { status: 201, headers: { "X-Kept": "yes" } });
    assert.deepEqual([response.status, response.headers.get("X-Kept")], [201, "yes"]);
    const again = new Response(await response.bytes(), response);
    assert.deepEqual([again.status, again.headers.get("X-Kept")], [201, "yes"]);
    assert.isTrue(equal(await bytesOf(again.body!), bytes));
    const request = new Request("http://there/", { method: "PUT", body: bytes, headers: { "X-Kept": "yes" } });
    assert.deepEqual([request.method, request.headers.get("X-Kept")], ["PUT", "yes"]);
    assert.isTrue(equal(await bytesOf(new Request(request).body!), bytes));
    const said = new Response(text);
    assert.strictEqual(said.headers.get("Content-Type"), ofText);
    assert.strictEqual(await said.text(), text);
    const json = Response.json({ text }, { status: 500 });
    assert.deepEqual([json.status, json.headers.get("Content-Type")], [500, ofJson]);
    assert.strictEqual((await json.json()).text, text);
    assert.isTrue(again instanceof Response && json instanceof Response && request instanceof Request);
    assert.deepEqual(timedOut, []);
    await pause(1, undefined);
    assert.deepEqual(timedOut, [1]);
  });
});

test("fake time: what fails while it runs fails, and the clock is back", async () => {
  const { setTimeout } = globalThis;
  const error = await inFakeTime(() => Promise.reject(new Error("as asked"))).catch((error) => error);
  assert.strictEqual(error.message, "as asked");
  assert.strictEqual(globalThis.setTimeout, setTimeout);
});

test("fake time: frozen, it passes when it is told to", () =>
  inFrozenTime(async (clock) => {
    let fired = false;
    globalThis.setTimeout(() => fired = true, 10);
    await turns(100);
    assert.isFalse(fired);
    clock.advance(10);
    assert.isTrue(fired);
    assert.strictEqual(clock.passed, 10);
  }));

test("fake time: a wall clock that is set lets no timer fire sooner, or later", () =>
  inFakeTime(async (clock) => {
    for (const jump of [86_400_000, -86_400_000]) {
      const [passed, wall] = [clock.passed, Date.now()];
      clock.jumped += jump;
      let timedOut = false;
      const timer = globalThis.setTimeout(() => timedOut = true, 1000);
      for (let i = 0; i < 20; i++) await sha256(noise(1_000_000, i));
      await turns(20);
      assert.isFalse(timedOut);
      assert.deepEqual([clock.passed - passed, Date.now() - wall], [0, jump]);
      await pause(999, undefined);
      assert.deepEqual([timedOut, clock.passed - passed], [false, 999]);
      globalThis.clearTimeout(timer);
    }
  }));
