import { assert, test } from "../support/harness.ts";
import { killAtEachStep, playHistory } from "./durable_histories.ts";
import { KeptDatabase } from "./durable_kept.ts";

const make = () => Promise.resolve(new KeptDatabase());
const noCounts = () => ({ kills: 0, openings: 0, refused: 0 });

test("applied once: killed at every step, whatever rots and whichever writes a power failure takes back", async () => {
  const counts = noCounts();
  const fates = [false, true].flatMap((rot) => [0, 1, 3].map((lostWrites) => ({ rot, lostWrites })));
  await killAtEachStep(make, fates, counts);
  assert.isAbove(counts.openings, 300);
});

test("applied once: random histories of commands, saves, installs, restarts, kills and rot", async () => {
  const counts = noCounts();
  for (let seed = 1; seed <= 200; seed++) await playHistory(seed, make, counts);
  assert.isAbove(counts.kills, 300);
  console.log(counts);
});
