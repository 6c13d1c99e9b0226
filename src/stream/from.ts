/**
 * Streams of what is iterated over.
 *
 * @module
 */

/**
 * What `ReadableStream.from` does, which Chromium and Safari do not have: nothing is asked for before it is wanted, and
 * who leaves off ends the iteration.
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
