/**
 * Cancelling saves and installs that take too long.
 *
 * @module
 */

import { limitOf } from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import type { Tracker } from "../async/mod.ts";
import type { Clock } from "./clock.ts";
import type { ExecutorOptions } from "./options.ts";

/**
 * Watches work: a save is limited in all, a save or an install without progress.
 *
 * @param kind the kind of work; an install may take any time, as long as it makes progress
 * @param stop cancels it, with `TIMEOUT`
 * @param tracker has the progress
 * @param clock the clock
 * @param options the limits
 * @returns stops watching
 */
export function watchWork(
  kind: "save" | "install",
  stop: AbortController,
  tracker: Tracker,
  clock: Clock,
  options: Pick<ExecutorOptions, "saveTimeout" | "stallTimeout">,
): () => void {
  const saveLimit = kind === "save" ? limitOf(options.saveTimeout ?? 600_000) : Infinity;
  const stallLimit = limitOf(options.stallTimeout ?? 60_000);
  const cancel = (what: string, limit: number) =>
    stop.abort(new SnapshotError("TIMEOUT", `The ${kind} ${what} ${limit} ms, and was cancelled`, { expected: limit }));
  const cancelTimeout = saveLimit < Infinity
    ? clock.after(saveLimit, () => cancel("took more than", saveLimit))
    : () => {};
  let cancelStall = () => {};
  let seen = -1;
  const look = () => {
    if (tracker.version === seen) cancel("came no further for", stallLimit);
    seen = tracker.version;
    cancelStall = clock.after(stallLimit, look);
  };
  if (stallLimit < Infinity) look();
  return () => {
    cancelTimeout();
    cancelStall();
  };
}
