/**
 * Two logs that are not one history: where they part.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import { toHex } from "../stream/mod.ts";
import type { LogSource } from "../transfer/mod.ts";
import type { FollowerContext } from "./follow_options.ts";

/**
 * Finds out why a source's history is not the one that is here: it may only be behind.
 *
 * @param error what the source was refused with
 * @param source the source
 * @param context the replica
 * @param signal cancels it
 * @returns the error to be shown
 */
export async function explainHistory(
  error: SnapshotError,
  source: LogSource,
  { log, fsm, leadership }: FollowerContext,
  signal: AbortSignal,
): Promise<SnapshotError> {
  const { first, last, term } = await source.status(signal);
  if (term < leadership.term) return error; // that it is behind, or was superseded, is reason enough
  leadership.hear(term);
  const { index: applied } = fsm.applied;
  const isSame = async (index: bigint) => {
    const [own, other] = await Promise.all([log.digest!(index), source.digest(index, signal)]);
    return own !== undefined && other === toHex(own);
  };
  let high = last < applied ? last : applied;
  let low = (first > log.firstIndex ? first : log.firstIndex) - 1n;
  if (high < low) return error; // they have no entry in common
  if (await isSame(high)) {
    return new SnapshotError(
      "UNAVAILABLE",
      `${source.url} is behind: it has entries up to ${last}, this one ${applied}`,
      {
        source: source.url,
        index: last,
      },
    );
  }
  if (!await isSame(low)) return error;
  while (high - low > 1n) {
    const middle = (low + high) / 2n;
    if (await isSame(middle)) low = middle;
    else high = middle;
  }
  return new SnapshotError(
    "STALE",
    `Entries ${high} to ${applied} here are not in the log of ${source.url}, which has others from ${high} on: they ` +
      `were appended here after it had become another's turn to lead. They stay as they are, and nothing is mixed in. ` +
      `Look at them, move log and storage of this replica away, and follow with new ones`,
    { source: source.url, index: high, actual: applied, cause: error },
  );
}
