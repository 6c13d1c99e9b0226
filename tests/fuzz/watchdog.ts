// Looks from another thread whether a case comes to its end: one that never lets go of its own cannot say so itself.
// Given a shared place with the number of the running case, and the command that would repeat the first of a target.

/** What the watchdog is told. */
export interface Watched {
  /** The number of the running case. */
  readonly running: SharedArrayBuffer;
  /** A command that ends with the number. */
  readonly command: string;
  /** How long a case may take, in milliseconds. */
  readonly limit: number;
}

let watched: Watched | undefined;
let last = -1;
let since = 0;

self.addEventListener("message", (event) => {
  watched = (event as MessageEvent<Watched>).data;
  last = -1;
});

setInterval(() => {
  if (watched === undefined) return;
  const number = Atomics.load(new Int32Array(watched.running), 0);
  if (number !== last) {
    last = number;
    since = performance.now();
  } else if (number >= 0 && performance.now() - since > watched.limit) {
    console.error(`It hangs, and lets nothing else run: ${watched.command}${number}`);
    Deno.kill(Deno.pid, "SIGKILL");
  }
}, 500);
