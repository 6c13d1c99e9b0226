import { SnapshotError } from "../../src/errors.ts";
import { onEnd, Operation, type Progress } from "../../src/async/mod.ts";
import { assert, gate, rejects, test, turns, unhandled } from "../support/harness.ts";

test("Operation: gives its result, and iterates to its end", async () => {
  const operation = new Operation<number>(async (tracker) => {
    tracker.phase("save", 30);
    for (let i = 0; i < 3; i++) {
      tracker.add(10);
      await turns(1);
    }
    return 7;
  });
  const seen: Progress[] = [];
  for await (const progress of operation) seen.push(progress);
  assert.strictEqual(await operation.result, 7);
  const { phase, bytes, total, chunks, reused } = seen.at(-1)!;
  assert.deepEqual({ phase, bytes, total, chunks, reused }, {
    phase: "save",
    bytes: 30,
    total: 30,
    chunks: 3,
    reused: 0,
  });
  assert.deepEqual(seen.map(({ bytes }) => bytes), seen.map(({ bytes }) => bytes).sort((a, b) => a - b));
});

test("Operation: a slow watcher skips", async () => {
  const go = gate();
  const operation = new Operation<void>(async (tracker) => {
    await go.promise;
    for (let i = 0; i < 10_000; i++) tracker.add(1);
  });
  const watcher = operation[Symbol.asyncIterator]();
  await watcher.next();
  go.open();
  await operation.result;
  let count = 0;
  for (let next = await watcher.next(); !next.done; next = await watcher.next()) {
    count++;
    assert.strictEqual(next.value.bytes, 10_000);
  }
  assert.isAtMost(count, 2);
});

test("Operation: iterating throws what the work failed with, after the last progress", async () => {
  const error = new SnapshotError("NO_SPACE", "full");
  const operation = new Operation<void>(async (tracker) => {
    tracker.add(5);
    await turns(1);
    throw error;
  });
  const seen: number[] = [];
  const thrown = await (async () => {
    for await (const { bytes } of operation) seen.push(bytes);
  })().catch((thrown) => thrown);
  assert.strictEqual(thrown, error);
  assert.strictEqual(seen.at(-1), 5);
  await rejects(operation.result, "NO_SPACE");
});

test("Operation: several watchers, also after the end", async () => {
  const go = gate();
  const operation = new Operation<void>(async (tracker) => {
    await go.promise;
    tracker.add(3);
  });
  const last = async () => {
    let bytes = -1;
    for await (const progress of operation) bytes = progress.bytes;
    return bytes;
  };
  const watchers = [last(), last()];
  await turns(2);
  go.open();
  assert.deepEqual(await Promise.all(watchers), [3, 3]);
  assert.strictEqual(await last(), 3);
});

test("Operation: await gives its result, or throws what it failed with", async () => {
  assert.strictEqual(await new Operation<number>(async () => 7), 7);
  assert.strictEqual(await (async () => new Operation<number>(async () => 8))(), 8);
  await rejects(async () => await new Operation<void>(() => Promise.reject(new SnapshotError("BUSY", "no"))), "BUSY");
});

test("Operation: a failure that nobody awaits is an unhandled rejection like any other", async () => {
  const error = new Error("nobody looks");
  const failing = () => new Operation<void>(() => Promise.reject(error));
  let ended = 0;
  const watched = (operation: Operation<void>) => onEnd(operation, () => ended++);
  assert.deepEqual(await unhandled(() => void failing()), [error]);
  assert.deepEqual(await unhandled(() => watched(failing())), [error]); // only told of its end
  assert.strictEqual(ended, 1);
  for (
    const handled of [
      () => failing().then(() => {}, () => {}),
      () => failing().result.catch(() => {}),
      () => void failing()[Symbol.asyncIterator](), // its consumer may be slow to come to the end
    ]
  ) {
    assert.deepEqual(await unhandled(handled), []);
  }
});

test("Operation: work that throws before it gives a promise rejects the result", async () => {
  const operation = new Operation<void>(() => {
    throw new SnapshotError("MALFORMED", "at once");
  });
  await rejects(operation.result, "MALFORMED");
  await rejects(async () => {
    for await (const _ of operation);
  }, "MALFORMED");
});
