// What a follower receives, on its way to its log: how many writes it makes.

import type { LogBatch } from "../../src/log/mod.ts";
import { Appends } from "../../src/executor/appends.ts";
import { inFakeTime } from "../support/fake_clock.ts";
import { assert, test } from "../support/harness.ts";

const batch = (bytes: number): LogBatch => ({
  entries: [{ index: 1n, term: 1n, data: new Uint8Array(bytes) }],
  previous: new Uint8Array(32),
  digest: new Uint8Array(32),
});
const pause = (duration: number) => new Promise((resolve) => setTimeout(resolve, duration));

/** Does something with what appends, in fake time; the writes are told by the number of their batches. */
function within(work: (appends: Appends, writes: readonly number[]) => Promise<void>): Promise<void> {
  const writes: number[] = [];
  const append = (batches: readonly LogBatch[]) => Promise.resolve(void writes.push(batches.length));
  return inFakeTime(() => work(new Appends(append, assert.fail), writes));
}

async function add(appends: Appends, count: number, bytes = 100): Promise<void> {
  for (let i = 0; i < count; i++) {
    appends.add(batch(bytes));
    await appends.step(false);
  }
}

test("what comes after a pause is written at once, and what comes right after it in one more write", () =>
  within(async (appends, writes) => {
    await add(appends, 10);
    assert.deepEqual(writes, [1]);
    await pause(10);
    assert.deepEqual(writes, [1, 9]);
    await pause(10);
    await add(appends, 1);
    assert.deepEqual(writes, [1, 9, 1]);
    await appends.end();
    assert.deepEqual(writes, [1, 9, 1]);
  }));

test("the end writes all that waits", () =>
  within(async (appends, writes) => {
    await add(appends, 10);
    await appends.end();
    assert.deepEqual(writes, [1, 9]);
  }));

test("a megabyte does not wait", () =>
  within(async (appends, writes) => {
    await add(appends, 9, 300_000);
    assert.deepEqual(writes.slice(0, 2), [1, 4]);
    await appends.end();
    assert.equal(writes.reduce((sum, count) => sum + count), 9);
  }));
