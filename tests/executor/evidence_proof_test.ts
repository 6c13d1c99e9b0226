// What `deno task crash` does at length, in short: no doubt destroys anything.

import { type Histories, playCases, playHistory } from "../crash/evidence_histories.ts";
import { assert, test } from "../support/harness.ts";

const counts: Histories = { histories: 0, steps: 0, cases: 0 };

test("evidence: each grade, of each snapshot, with each log, at each moment", () => playCases(counts));

test("evidence: random histories of saves, installs, rot, doubts, restarts of older and newer programs", async () => {
  for (let seed = 1; seed <= 150; seed++) await playHistory(seed, 25, counts);
});

test("evidence: all of these looked at something", () => {
  for (const count of Object.values(counts)) assert.isAbove(count, 0);
});
