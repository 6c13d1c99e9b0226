// A siege that is measured, as a process of its own: `child.ts SEED MILLISECONDS STRANGERS`.

import { readFileSync } from "node:fs";
import process from "node:process";
import { siege, type SiegeReport } from "./siege.ts";

/** What a siege gave, with what depends on the machine. */
export interface MeasuredReport extends SiegeReport {
  /** The share of their rate alone that the honest have among strangers: of the rounds in the middle, by time. */
  readonly share: number;
  /** The longest time for which the event loop was blocked by the work of its own thread, in milliseconds. */
  readonly longestBlock: number;
  /** The most memory, in MiB. */
  readonly rss: number;
}

/** The wait between two looks at the event loop, in milliseconds. */
const EVERY = 10;
/** Linux's account of the thread that reads it, which begins with the nanoseconds on a processor. */
const ACCOUNT = "/proc/thread-self/schedstat";

function median(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[times.length >> 1] ?? NaN;
}

/** The milliseconds so far in which this thread worked; where threads have no account, in which the process did. */
function worked(): number {
  try {
    return Number(readFileSync(ACCOUNT, "utf8").split(" ", 1)[0]) / 1e6;
  } catch {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  }
}

const [, , seed, milliseconds, strangers] = process.argv;
const end = performance.now() + Number(milliseconds);
let isBesieged = false;
let [longestBlock, rss, last, before] = [0, 0, performance.now(), worked()];
const timer = setInterval(() => {
  const [now, after] = [performance.now(), worked()];
  // A machine that has others to serve delays the timer too, and so does its disk when it fetches a page of the program
  // that it had put away: blocked is only who has worked meanwhile. What
  // waits for a disk synchronously, as a look at the storage's lock does, is therefore not seen.
  if (isBesieged) longestBlock = Math.max(longestBlock, Math.min(now - last - EVERY, after - before));
  [last, before] = [now, after];
}, EVERY);
const looks = setInterval(() => rss = Math.max(rss, process.memoryUsage().rss / 2 ** 20), 200);
const goesOn = (rounds: number) => {
  isBesieged ||= rounds > 0; // the first of each work loads what it needs, and runs code that was never run before
  return performance.now() < end;
};
const report = await siege(Number(seed), goesOn, strangers === "true" ? undefined : 0);
clearInterval(timer);
clearInterval(looks);
const { alone, among } = report;
const measured: MeasuredReport = {
  ...report,
  share: median(alone) / median(among),
  longestBlock: Math.round(longestBlock),
  rss: Math.round(rss),
};
console.log(JSON.stringify(measured));
process.exit(0); // the fetches of a runtime may keep connections open for a while
