/**
 * The counts of an executor.
 *
 * @module
 */

import type { ExecutorMetrics, SaveResult } from "./events.ts";

/** The counts at first. */
export const NOTHING_YET: ExecutorMetrics = {
  ...{ saves: 0, saveFailures: 0, installs: 0, installFailures: 0, purgedEntries: 0n },
  recentSaves: [],
};

/** The times of so many saves are kept. */
const RECENT_SAVES = 32;

/** The counts after another save. */
export function withSave(metrics: ExecutorMetrics, result: SaveResult): ExecutorMetrics {
  const { syncDuration, asyncDuration, snapshot } = result;
  const times = { index: snapshot!.meta.lastIncludedIndex, syncDuration, asyncDuration };
  const recentSaves = [times, ...metrics.recentSaves].slice(0, RECENT_SAVES);
  return { ...metrics, saves: metrics.saves + 1, lastSave: result, recentSaves };
}
