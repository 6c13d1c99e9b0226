/**
 * Work that is other work's.
 *
 * @module
 */

import type { Operation, Tracker } from "../async/mod.ts";

/** The result of work whose progress is that of other work. */
export async function follow<T>(operation: Operation<T>, tracker: Tracker): Promise<T> {
  for await (const progress of operation) tracker.set(progress);
  return await operation.result;
}
