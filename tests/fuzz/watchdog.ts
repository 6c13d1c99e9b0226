// Looks from another thread whether a case comes to its end: one that never lets go of its own cannot say so itself.
// Given a shared place with the number of the running case, and the command that would repeat the first of a target.

import process from "node:process";

/** What the watchdog is told. */
export interface Watched {
  /** The number of the running case. */
  readonly running: SharedArrayBuffer;
  /** A command that ends with the number. */
  readonly command: string;
  /** How much of a processor a case may take, in milliseconds: on a busy machine, time passes without it. */
  readonly limit: number;
}

let watched: Watched | undefined;
let last = -1;
let since = 0;

self.addEventListener("message", (event) => {
  watched = (event as MessageEvent<Watched>).data;
  last = -1;
});

/** The milliseconds that this process has worked. */
function worked(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

setInterval(() => {
  if (watched === undefined) return;
  const number = Atomics.load(new Int32Array(watched.running), 0);
  if (number !== last) {
    last = number;
    since = worked();
  } else if (number >= 0 && worked() - since > watched.limit) {
    console.error(`It hangs, and lets nothing else run: ${watched.command}${number}`);
    Deno.kill(Deno.pid, "SIGKILL");
  }
}, 500);
