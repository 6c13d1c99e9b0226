/**
 * Several at a time, in order.
 *
 * @module
 */

import { InFlight } from "./in_flight.ts";

/**
 * Works on items, several at a time, and gives the results in the order of the items. When it ends, early too, no work
 * runs any more.
 *
 * @param items the items, taken no further ahead than `limit`
 * @param limit how many are worked on at a time
 * @param work makes a result of an item
 */
export async function* mapAhead<T, R>(
  items: Iterable<T> | AsyncIterable<T>,
  limit: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R, void, undefined> {
  const running = new InFlight<R>();
  try {
    for await (const item of items) {
      running.add(work(item));
      if (running.size >= limit) yield await running.next();
    }
    while (running.size > 0) yield await running.next();
  } finally {
    await running.settled();
  }
}
