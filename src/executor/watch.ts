/**
 * Giving up what takes too long.
 *
 * @module
 */

import { SnapshotError } from "../errors.ts";
import type { Tracker } from "../async/mod.ts";
import type { Clock } from "./clock.ts";
import type { ExecutorOptions } from "./options.ts";

/**
 * Watches work: a save may take so long in all, a save or an install so long without coming further.
 *
 * @param kind what it is; an install takes as long as it takes, while it goes on
 * @param stop gives it up, with `TIMEOUT`
 * @param tracker says how far it is
 * @param clock time
 * @param options the limits
 * @returns what stops watching
 */
export function watchWork(
  kind: "save" | "install",
  stop: AbortController,
  tracker: Tracker,
  clock: Clock,
  options: Pick<ExecutorOptions, "saveTimeout" | "stallTimeout">,
): () => void {
  const { saveTimeout = 600_000, stallTimeout = 60_000 } = options;
  const giveUp = (what: string, limit: number) =>
    stop.abort(new SnapshotError("TIMEOUT", `The ${kind} ${what} ${limit} ms, and was given up`, { expected: limit }));
  const cancelTimeout = kind === "save"
    ? clock.after(saveTimeout, () => giveUp("took more than", saveTimeout))
    : () => {};
  let cancelStall = () => {};
  let seen = -1;
  const look = () => {
    if (tracker.version === seen) giveUp("came no further for", stallTimeout);
    seen = tracker.version;
    cancelStall = clock.after(stallTimeout, look);
  };
  look();
  return () => {
    cancelTimeout();
    cancelStall();
  };
}
