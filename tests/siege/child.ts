// A siege that is measured, as a process of its own: `child.ts SEED MILLISECONDS STRANGERS`.

import { readFileSync } from "node:fs";
import process from "node:process";
import { siege, type SiegeReport } from "./siege.ts";

/** What a siege gave, with what depends on the machine. */
export interface MeasuredReport extends SiegeReport {
  /** The share of their rate alone that the honest have among strangers: of the rounds in the middle, by time. */
  readonly share: number;
  /** The longest time for which the event loop was blocked by the process itself, in milliseconds. */
  readonly longestBlock: number;
  /** The part of it in which its thread was on a processor; in the rest it slept. */
  readonly worked: number;
  /** The most memory, in MiB. */
  readonly rss: number;
}

/** The wait between two looks at the event loop, in milliseconds. */
const EVERY = 10;
/** Linux's account of the thread that reads it: nanoseconds on a processor, and waiting for one. */
const ACCOUNT = "/proc/thread-self/schedstat";

function median(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[times.length >> 1] ?? NaN;
}

/**
 * The milliseconds so far in which this thread was on a processor, and in which it waited for one: a machine that has
 * others to serve delays the timer too, and that is no block. Where nobody accounts for threads, what the process did
 * not work counts as waiting.
 */
function account(): { readonly worked: number; readonly waited: number } {
  try {
    const [worked, waited] = readFileSync(ACCOUNT, "utf8").split(" ").map((nanoseconds) => Number(nanoseconds) / 1e6);
    return { worked: worked!, waited: waited! };
  } catch {
    const { user, system } = process.cpuUsage();
    const worked = (user + system) / 1000;
    return { worked, waited: performance.now() - worked };
  }
}

const [, , seed, milliseconds, strangers] = process.argv;
const end = performance.now() + Number(milliseconds);
let [longestBlock, worked, rss, last, before] = [0, 0, 0, performance.now(), account()];
const timer = setInterval(() => {
  const [now, after] = [performance.now(), account()];
  const block = now - last - EVERY - Math.max(after.waited - before.waited, 0);
  if (block > longestBlock) [longestBlock, worked] = [block, after.worked - before.worked];
  [last, before] = [now, after];
}, EVERY);
const looks = setInterval(() => rss = Math.max(rss, process.memoryUsage().rss / 2 ** 20), 200);
const report = await siege(Number(seed), () => performance.now() < end, strangers === "true" ? undefined : 0);
clearInterval(timer);
clearInterval(looks);
const { alone, among } = report;
const measured: MeasuredReport = {
  ...report,
  share: median(alone) / median(among),
  longestBlock: Math.round(longestBlock),
  worked: Math.round(worked),
  rss: Math.round(rss),
};
console.log(JSON.stringify(measured));
process.exit(0); // the fetches of a runtime may keep connections open for a while
