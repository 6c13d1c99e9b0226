// What waits: for a time, for a signal, for a turn.

import { backoff, IdleTimer, LinkedAbort, LONGEST_WAIT, onAbort, pause, Semaphore } from "../../src/async/mod.ts";
import { SnapshotError } from "../../src/errors.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { inFakeTime } from "../support/fake_clock.ts";

/** The error of a server that asks for a wait. */
function busy(retryAfter: number): SnapshotError {
  return new SnapshotError("UNAVAILABLE", "busy", { retryAfter });
}

test("backoff: each wait is longer, up to the longest", () => {
  const waits = (retry: Parameters<typeof backoff>[1]) => [0, 1, 2, 3, 2000].map((n) => backoff(n, retry));
  assert.deepEqual(waits({ first: 50, longest: 300 }), [50, 100, 200, 300, 300]);
  assert.deepEqual(waits({ first: 1, longest: 10, factor: 3 }), [1, 3, 9, 10, 10]);
});

test("backoff: jitter lies within its bounds, and is not always the same", () => {
  const waits = Array.from({ length: 200 }, () => backoff(3, { first: 10, longest: 40, jitter: [0.5, 1.5] }));
  assert.ok(waits.every((wait) => wait >= 20 && wait <= 60), `${Math.min(...waits)} … ${Math.max(...waits)}`);
  assert.ok(new Set(waits).size > 100);
});

test("backoff: whoever asks for a longer wait gets it, within limits; nobody gets a shorter one", () => {
  const retry = { first: 100, longest: 1000, longestAsked: 5000 };
  assert.equal(backoff(0, retry, busy(700)), 700);
  assert.equal(backoff(0, retry, busy(10)), 100);
  assert.equal(backoff(0, retry, busy(1e9)), 5000);
  assert.equal(backoff(0, { first: 100, longest: 1000 }, busy(700)), 100);
  assert.equal(backoff(0, retry, new Error("retryAfter")), 100);
});

test("IdleTimer: silence since the last time that something was heard", () =>
  inFakeTime(async (clock) => {
    let idle = 0;
    const timer = new IdleTimer(1000, () => idle++);
    await pause(5000, undefined);
    assert.equal(idle, 0, "not before it is begun");
    for (let i = 0; i < 5; i++) {
      timer.resume();
      await pause(900, undefined);
    }
    assert.equal(idle, 0);
    timer.pause();
    await pause(5000, undefined);
    assert.equal(idle, 0, "the other side is not waited for");
    timer.resume(500);
    await pause(1400, undefined);
    assert.equal(idle, 0, "with something extra");
    await pause(200, undefined);
    assert.equal(idle, 1);
    await pause(5000, undefined);
    assert.equal(idle, 1, "once");
    assert.deepEqual(clock.waiting, []);
  }));

test("IdleTimer: any silence, and one that is longer than a timer", () =>
  inFakeTime(async (clock) => {
    new IdleTimer(Infinity, () => assert.fail("idle")).resume();
    assert.deepEqual(clock.waiting, []);
    const timer = new IdleTimer(LONGEST_WAIT, () => {});
    timer.resume(LONGEST_WAIT);
    assert.deepEqual(clock.waiting, [LONGEST_WAIT]);
    timer.pause();
    await pause(0, undefined);
  }));

/** A signal that counts its listeners. */
function counted(): { readonly controller: AbortController; readonly signal: AbortSignal; listeners: number } {
  const controller = new AbortController();
  const { signal } = controller;
  const counted = { controller, signal, listeners: 0 };
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args: unknown[]) => {
    counted.listeners++;
    return addEventListener.apply(signal, args as Parameters<typeof addEventListener>);
  };
  signal.removeEventListener = (...args: unknown[]) => {
    counted.listeners--;
    return removeEventListener.apply(signal, args as Parameters<typeof removeEventListener>);
  };
  return counted;
}

test("onAbort: calls back once with the reason, at once if it fired before, never without a signal", () => {
  const seen: unknown[] = [];
  onAbort(undefined, () => seen.push("none"))();
  const { controller, signal } = counted();
  onAbort(signal, (reason) => seen.push(reason));
  controller.abort("first");
  controller.abort("again");
  onAbort(signal, (reason) => seen.push(`late: ${reason}`));
  assert.deepEqual(seen, ["first", "late: first"]);
});

test("onAbort: nothing is left of it on a signal that lives on", () => {
  const long = counted();
  onAbort(long.signal, () => assert.fail("called"))();
  assert.equal(long.listeners, 0);
  long.controller.abort();
});

test("LinkedAbort: follows a signal with its reason, and has an end of its own", () => {
  const long = counted();
  const followed = new LinkedAbort(long.signal);
  const ended = new LinkedAbort(long.signal);
  const own = new LinkedAbort(long.signal);
  assert.ok(own instanceof AbortController);
  own.abort("own");
  assert.deepEqual([own.signal.reason, long.signal.aborted, followed.signal.aborted], ["own", false, false]);
  ended.unlink();
  own.unlink();
  assert.equal(long.listeners, 1);
  long.controller.abort("all");
  assert.deepEqual([followed.signal.reason, own.signal.reason, ended.signal.aborted], ["all", "own", false]);
  assert.equal(new LinkedAbort(long.signal).signal.reason, "all");
  assert.equal(new LinkedAbort(undefined).signal.aborted, false);
});

test("Semaphore: in order; who is cancelled while waiting takes no place", async () => {
  const places = new Semaphore(1);
  assert.equal(places.take(undefined), undefined);
  const order: number[] = [];
  const stop = new AbortController();
  const second = places.take(stop.signal)!;
  const third = places.take(undefined)!.then(() => order.push(3));
  const fourth = places.take(undefined)!.then(() => order.push(4));
  stop.abort();
  await rejects(second, "CANCELLED");
  places.leave();
  await third;
  assert.deepEqual(order, [3]);
  places.leave();
  await fourth;
  places.leave();
  assert.equal(places.take(undefined), undefined);
});
