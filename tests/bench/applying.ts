// What those see who change a state while something else goes on.

/** What they saw. */
export interface Applied {
  /** Changes per second. */
  readonly rate: number;
  /** How long each took, in milliseconds. */
  readonly latencies: readonly number[];
  /** How long all of it took, in milliseconds. */
  readonly duration: number;
}

/** Keeps so many changes under way, as long as something runs. */
export async function applying(
  change: () => Promise<unknown>,
  window: number,
  meanwhile: () => Promise<unknown>,
): Promise<Applied> {
  const latencies: number[] = [];
  let running = true;
  const start = performance.now();
  const other = meanwhile().finally(() => running = false);
  await Promise.all(Array.from({ length: window }, async () => {
    while (running) {
      const begun = performance.now();
      await change();
      latencies.push(performance.now() - begun);
    }
  }));
  await other;
  const duration = performance.now() - start;
  return { rate: latencies.length / duration * 1000, latencies, duration };
}

/** The value below which a share of sorted values lies. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(Math.floor(sorted.length * share), sorted.length - 1)]!;
}
