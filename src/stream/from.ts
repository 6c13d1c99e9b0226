/**
 * Streams from iterables.
 *
 * @module
 */

/**
 * `ReadableStream.from`, which Chromium and Safari lack: it pulls an item only when one is read, and cancelling the
 * stream ends the iteration.
 */
export function streamFrom<T>(source: Iterable<T> | AsyncIterable<T>): ReadableStream<T> {
  const iterator = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  return new ReadableStream<T>({
    async pull(controller) {
      const { done, value } = await iterator.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel(reason) {
      await iterator.return?.(reason);
    },
  }, { highWaterMark: 0 });
}
