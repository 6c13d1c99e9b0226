/**
 * Operations that pass on the progress of another.
 *
 * @module
 */

import type { Operation, Tracker } from "../async/mod.ts";

/** Waits for the result of an operation, and passes on its progress. */
export async function follow<T>(operation: Operation<T>, tracker: Tracker): Promise<T> {
  for await (const progress of operation) tracker.set(progress);
  return await operation.result;
}
