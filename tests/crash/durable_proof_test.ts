import { assert, test } from "../support/harness.ts";
import { COURSE, killAtEachStep, playHistory } from "./durable_histories.ts";
import { KeptDatabase } from "./durable_kept.ts";

const make = () => Promise.resolve(new KeptDatabase());
const noCounts = () => ({ kills: 0, openings: 0, refused: 0 });

test("applied once: killed at every step, whatever rots and whichever writes a power failure takes back", async () => {
  const counts = noCounts();
  const fates = [0, 3].map((lostWrites) => ({ rot: true, lostWrites }));
  await killAtEachStep(COURSE, make, fates, counts);
  assert.isAbove(counts.openings, 100);
});

test("applied once: random histories of commands, saves, installs, restarts, kills and rot", async () => {
  const counts = noCounts();
  for (let seed = 1; seed <= 60; seed++) await playHistory(seed, make, counts);
  assert.isAbove(counts.kills, 60);
});
