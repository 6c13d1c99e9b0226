import { SnapshotError } from "../../src/errors.ts";
import { pump } from "../../src/stream/mod.ts";
import { assert, gate, rejects, test, turns } from "../support/harness.ts";

/** A source that gives some values and then waits; it says what it was cancelled with. */
function stalling<T>(...values: T[]): { stream: ReadableStream<T>; cancelled: Promise<unknown> } {
  const cancelled = gate<unknown>();
  const stream = new ReadableStream<T>({
    start: (controller) => values.forEach((value) => controller.enqueue(value)),
    cancel: (reason) => cancelled.open(reason),
  });
  return { stream, cancelled: cancelled.promise };
}

/** A sink that says what it got, and what it was aborted with. */
function recording<T>(write: (value: T, signal: AbortSignal) => void | Promise<void> = () => {}, highWaterMark = 1) {
  const got: T[] = [];
  const aborted = gate<unknown>();
  let closed = false;
  const stream = new WritableStream<T>({
    async write(value, controller) {
      await write(value, controller.signal);
      got.push(value);
    },
    close: () => void (closed = true),
    abort: (reason) => aborted.open(reason),
  }, { highWaterMark });
  return { stream, got, aborted: aborted.promise, isClosed: () => closed };
}

async function thrownBy(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error("Nothing was thrown");
}

function unlocked(...streams: { readonly locked: boolean }[]): void {
  for (const { locked } of streams) assert.isFalse(locked);
}

test("pump: all in order, closed, unlocked", async () => {
  const sink = recording<number>();
  const source = ReadableStream.from([1, 2, 3]);
  await pump(source, sink.stream);
  assert.deepEqual(sink.got, [1, 2, 3]);
  assert.isTrue(sink.isClosed());
  unlocked(source, sink.stream);
});

test("pump: an empty source closes the sink", async () => {
  const sink = recording<number>();
  await pump(ReadableStream.from<number>([]), sink.stream);
  assert.isTrue(sink.isClosed());
});

test("pump: an abort ends a stalled read, and both ends get the reason", async () => {
  const source = stalling(1);
  const sink = recording<number>();
  const stop = new AbortController();
  const work = pump(source.stream, sink.stream, { signal: stop.signal });
  await turns(2);
  const reason = new Error("enough");
  stop.abort(reason);
  const error = await rejects(work, "CANCELLED");
  assert.strictEqual(error.cause, reason);
  assert.strictEqual(error.name, "AbortError");
  assert.strictEqual(await source.cancelled, reason);
  assert.strictEqual(await sink.aborted, reason);
  unlocked(source.stream, sink.stream);
});

test("pump: an abort ends a stalled write by way of the sink's signal", async () => {
  const source = stalling(1, 2, 3);
  const sink = recording<number>((_, signal) =>
    new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))
  );
  const stop = new AbortController();
  const work = pump(source.stream, sink.stream, { signal: stop.signal });
  await turns(2);
  stop.abort("enough");
  await rejects(work, "CANCELLED");
  assert.strictEqual(await source.cancelled, "enough");
  assert.deepEqual(sink.got, []);
  unlocked(source.stream, sink.stream);
});

test("pump: an abort while the sink is closing is told to it, and what it did counts for nothing", async () => {
  const closing = gate();
  const stop = new AbortController();
  const sink = new WritableStream<number>({
    start: (controller) => controller.signal.addEventListener("abort", () => closing.open()),
    close: () => closing.promise,
  });
  const work = pump(ReadableStream.from([1]), sink, { signal: stop.signal });
  await turns(2);
  stop.abort();
  await rejects(work, "CANCELLED");
});

test("pump: an error of the library's own that aborts is thrown as it is", async () => {
  const stop = new AbortController();
  const reason = new SnapshotError("TIMEOUT", "too slow");
  const work = pump(stalling().stream, recording().stream, { signal: stop.signal });
  stop.abort(reason);
  assert.strictEqual(await thrownBy(work), reason);
});

test("pump: a signal that fired before touches nothing, and leaves nothing locked", async () => {
  const source = stalling(1);
  const sink = recording<number>();
  await rejects(pump(source.stream, sink.stream, { signal: AbortSignal.abort("no") }), "CANCELLED");
  assert.strictEqual(await source.cancelled, "no");
  assert.strictEqual(await sink.aborted, "no");
  assert.deepEqual(sink.got, []);
  unlocked(source.stream, sink.stream);
});

test("pump: the source's error reaches the caller and the sink as it is", async () => {
  const error = new Error("disk on fire");
  const source = new ReadableStream<number>({
    pull: (controller) => controller.error(error),
  });
  const sink = recording<number>();
  assert.strictEqual(await thrownBy(pump(source, sink.stream)), error);
  assert.strictEqual(await sink.aborted, error);
  assert.isFalse(sink.isClosed());
});

for (const highWaterMark of [1, 2, 8]) {
  test(`pump: the sink's error reaches the caller and the source as it is (${highWaterMark} ahead)`, async () => {
    const error = new Error("no space");
    const source = stalling(1, 2, 3);
    const sink = recording<number>(() => Promise.reject(error), highWaterMark);
    assert.strictEqual(await thrownBy(pump(source.stream, sink.stream)), error);
    assert.strictEqual(await source.cancelled, error);
  });

  // As `pipeTo` does: who waits for a slow source learns at once that it waits in vain.
  test(`pump: a sink that fails while the source is stalled ends it (${highWaterMark} ahead)`, async () => {
    const error = new Error("no space");
    const failing = gate();
    const source = stalling(1);
    const sink = recording<number>(() => failing.promise.then(() => Promise.reject(error)), highWaterMark);
    const work = thrownBy(pump(source.stream, sink.stream));
    await turns(3);
    failing.open();
    assert.strictEqual(await work, error);
    assert.strictEqual(await source.cancelled, error);
  });

  test(`pump: a sink that failed just before the source ends fails it with its own error (${highWaterMark})`, async () => {
    const error = new Error("no space");
    const end = gate();
    const source = new ReadableStream<number>({
      async pull(controller) {
        controller.enqueue(1);
        await end.promise;
        controller.close();
      },
    });
    const failed = gate();
    const sink = recording<number>(() => {
      failed.open();
      return Promise.reject(error);
    }, highWaterMark);
    const work = thrownBy(pump(source, sink.stream));
    await failed.promise;
    end.open();
    assert.strictEqual(await work, error);
  });
}

test("pump: a source that fails while a write is stalled tells the sink at once", async () => {
  const error = new Error("connection reset");
  let fail!: () => void;
  const source = new ReadableStream<number>({
    start(controller) {
      controller.enqueue(1);
      fail = () => controller.error(error);
    },
  });
  const told = gate<unknown>();
  const sink = new WritableStream<number>({
    write: (_, controller) =>
      new Promise((_, reject) =>
        controller.signal.addEventListener("abort", () => {
          told.open(controller.signal.reason);
          reject(controller.signal.reason);
        })
      ),
  });
  const work = thrownBy(pump(source, sink));
  await turns(2);
  fail();
  assert.strictEqual(await work, error);
  assert.strictEqual(await told.promise, error);
});
