// In a page or a worker: runs the tests that its module has, and tells the page's console, or the page.

import { runAll, type RunAllOptions } from "../../support/harness.ts";

/** CORS itself is tested with the browser's own requests: sites and servers of snapshots are of different origins. */
const ORIGIN = "a page may not set the header `Origin` of a `Request`";

/** Tests that cannot be run by a page, and why. */
const NOT_HERE: Readonly<Record<string, string>> = {
  "HTTP: CORS with a list of origins": ORIGIN,
  "HTTP: CORS with any origin, and none": ORIGIN,
  "HTTP: a preflight is answered before authorize, which has no credentials to see; what follows is not": ORIGIN,
  "attack: an address that is none": "Chromium takes `http://a b/` for an address",
  "pull: from many sources at once no more is in memory than from a few":
    "its sources wait by timers, which take 4 ms or more here: they look stalled, and stalled ones do not count",
};

const scope = globalThis as unknown as { document?: unknown; postMessage(line: string): void };
const say = (line: string) => scope.document === undefined ? scope.postMessage(line) : console.log(line);

/** Runs all tests; those that cannot be run here are named, and not counted. */
export async function runInPage(options: RunAllOptions): Promise<void> {
  const known = new Set<string>();
  let [passed, failed] = [0, 0];
  await runAll((line) => {
    const name = /^\n?FAILED (.*)/.exec(line)?.[1];
    const counts = /^(\d+) passed, (\d+) failed$/.exec(line);
    if (counts !== null) [passed, failed] = [Number(counts[1]), Number(counts[2])];
    else if (name === undefined || !Object.hasOwn(NOT_HERE, name)) say(line);
    else if (!known.has(name)) {
      known.add(name);
      say(`not in a page: ${name}: ${NOT_HERE[name]}`);
    }
  }, options);
  say(`${passed} passed, ${failed - known.size} failed`);
}
