// What those see who change a state while something else goes on.

import { yieldTurn } from "../../src/async/mod.ts";

/** What they saw. */
export interface Applied {
  /** Changes per second. */
  readonly rate: number;
  /** How long each of the last ones took, in milliseconds. */
  readonly latencies: Float64Array;
  /** How long all of it took, in milliseconds. */
  readonly duration: number;
}

/** How many latencies are kept: in one array from the start, so that nothing grows while it is measured. */
const MAX_KEPT = 4_000_000;

/** Keeps so many changes under way, as long as something runs. */
export async function applying(
  change: () => Promise<unknown>,
  window: number,
  meanwhile: () => Promise<unknown>,
): Promise<Applied> {
  const latencies = new Float64Array(MAX_KEPT);
  let count = 0;
  let running = true;
  const start = performance.now();
  const other = meanwhile().finally(() => running = false);
  await Promise.all(Array.from({ length: window }, async () => {
    while (running) {
      const begun = performance.now();
      await change();
      latencies[count++ % MAX_KEPT] = performance.now() - begun;
    }
  }));
  await other;
  const duration = performance.now() - start;
  return { rate: count / duration * 1000, latencies: latencies.subarray(0, Math.min(count, MAX_KEPT)), duration };
}

/**
 * Applies changes that arrive one after the other, so many in a millisecond, whether they can be applied just then or not:
 * what one took is the time from its arrival until it was applied.
 */
export async function arriving(
  apply: () => void,
  perMillisecond: number,
  meanwhile: () => Promise<unknown>,
): Promise<Float64Array> {
  const latencies = new Float64Array(MAX_KEPT);
  let count = 0;
  let running = true;
  const other = meanwhile().finally(() => running = false);
  const start = performance.now();
  while (running && count < MAX_KEPT) {
    await yieldTurn();
    for (; count < MAX_KEPT; count++) {
      const arrived = start + (count + 1) / perMillisecond;
      if (performance.now() < arrived) break;
      apply();
      latencies[count] = performance.now() - arrived;
    }
  }
  await other;
  return latencies.subarray(0, count);
}

/** The value below which a share of sorted values lies. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)]!;
}
