import fc from "fast-check";
import { type RetryOptions, type TriggerOptions, Triggers, type TriggerState } from "../../src/executor/triggers.ts";
import { assert, test } from "../support/harness.ts";
import { FakeClock } from "../support/fake_clock.ts";

const MIB = 1024 * 1024;
const none: TriggerOptions = { interval: 0, entries: 0 };

interface Made {
  readonly triggers: Triggers;
  readonly clock: FakeClock;
  readonly calls: number[];
}

function make(options: TriggerOptions = {}, retry: RetryOptions = {}): Made {
  const clock = new FakeClock();
  const start = clock.now();
  const calls: number[] = [];
  const triggers = new Triggers(options, retry, clock, () => calls.push(clock.now() - start));
  triggers.start();
  return { triggers, clock, calls };
}

const rules: [rule: string, options: TriggerOptions, state: Partial<TriggerState>, due: boolean][] = [
  ["nothing is asked for", none, { appliedIndex: 1_000_000n, logBytes: 2 ** 40 }, false],
  ["400000 entries by default", { interval: 0 }, { appliedIndex: 400_000n }, true],
  ["one fewer", { interval: 0 }, { appliedIndex: 399_999n }, false],
  ["entries since the last snapshot", { ...none, entries: 10 }, { snapshotIndex: 90n, appliedIndex: 100n }, true],
  ["and one fewer", { ...none, entries: 10 }, { snapshotIndex: 91n, appliedIndex: 100n }, false],
  ["entries that are never enough", { ...none, entries: Infinity }, { appliedIndex: 1_000_000n }, false],
  ["bytes", { ...none, logBytes: 1000 }, { appliedIndex: 1n, logBytes: 1000 }, true],
  ["one byte fewer", { ...none, logBytes: 1000 }, { appliedIndex: 1n, logBytes: 999 }, false],
  ["nothing new, whatever the bytes", { ...none, logBytes: 1 }, { logBytes: 5 }, false],
  ["a snapshot ahead of what is applied", { ...none, entries: 1 }, { appliedIndex: 5n, snapshotIndex: 9n }, false],
  ["a factor", { ...none, logFactor: 2 }, { appliedIndex: 1n, snapshotBytes: MIB, logBytes: 2 * MIB }, true],
  ["below it", { ...none, logFactor: 2 }, { appliedIndex: 1n, snapshotBytes: MIB, logBytes: 2 * MIB - 1 }, false],
  ["a factor of nothing is a megabyte", { ...none, logFactor: 2 }, { appliedIndex: 1n, logBytes: MIB }, true],
  ["and not less", { ...none, logFactor: 2 }, { appliedIndex: 1n, snapshotBytes: 10, logBytes: MIB - 1 }, false],
  ["any one of them", { ...none, entries: 5, logBytes: 100 }, { appliedIndex: 1n, logBytes: 100 }, true],
];

for (const [rule, options, state, due] of rules) {
  test(`triggers: ${rule}`, () => {
    const { triggers, calls } = make(options);
    triggers.applied({ appliedIndex: 0n, snapshotIndex: 0n, snapshotBytes: 0, logBytes: 0, ...state });
    assert.equal(calls.length, due ? 1 : 0);
  });
}

test("triggers: the first interval is a random part of it, the others vary by the jitter", () => {
  const firsts = new Set<number>();
  fc.assert(
    fc.property(
      fc.integer({ min: 1000, max: 10_000_000 }),
      fc.double({ min: 0, max: 0.5, noNaN: true }),
      (interval, jitter) => {
        const { triggers, clock, calls } = make({ ...none, interval, jitter });
        clock.advance(interval * 10);
        assert.isAtMost(calls[0]!, interval);
        for (let i = 1; i < calls.length; i++) {
          const wait = calls[i]! - calls[i - 1]!;
          assert.isAtLeast(wait, interval * (1 - jitter) - 0.001);
          assert.isAtMost(wait, interval * (1 + jitter) + 0.001);
        }
        assert.isAtLeast(calls.length, 6);
        firsts.add(calls[0]! / interval);
        triggers.stop();
        assert.deepEqual(clock.waiting, []);
      },
    ),
    { numRuns: 100 },
  );
  assert.isAbove(firsts.size, 90);
});

test("triggers: an hour and a tenth by default", () => {
  const { clock, calls } = make();
  clock.advance(3_600_000);
  assert.isAtLeast(calls.length, 1);
  const [wait] = clock.waiting;
  assert.isAtMost(wait!, 1.1 * 3_600_000);
});

test("triggers: a failure is met by waits that double, up to a limit", () => {
  const { triggers, clock, calls } = make(none, { initial: 100, max: 1000 });
  const waits: number[] = [];
  for (let i = 0; i < 6; i++) {
    triggers.failed();
    waits.push(clock.waiting[0]!);
    clock.advance(waits.at(-1)!);
  }
  assert.deepEqual(waits, [100, 200, 400, 800, 1000, 1000]);
  assert.equal(calls.length, 6);
  triggers.succeeded();
  triggers.failed();
  assert.deepEqual(clock.waiting, [100]);
});

test("triggers: after a thousand failures the wait is still the longest", () => {
  const { triggers, clock } = make(none);
  for (let i = 0; i < 1100; i++) triggers.failed();
  assert.deepEqual(clock.waiting, [60_000]);
});

test("triggers: while a failure is waited out, what is applied is not taken for a reason", () => {
  const { triggers, clock, calls } = make({ ...none, entries: 1 });
  const state = { appliedIndex: 5n, snapshotIndex: 0n, snapshotBytes: 0, logBytes: 0 };
  triggers.failed();
  triggers.applied(state);
  assert.equal(calls.length, 0);
  clock.advance(1000);
  assert.equal(calls.length, 1);
  triggers.applied(state);
  assert.equal(calls.length, 2);
});

test("triggers: a success takes the retry back, and a stop all timers", () => {
  const { triggers, clock, calls } = make({ ...none, interval: 1000, jitter: 0 });
  triggers.failed();
  triggers.succeeded();
  assert.equal(clock.waiting.length, 1);
  triggers.failed();
  triggers.stop();
  clock.advance(1_000_000);
  assert.equal(calls.length, 0);
});
