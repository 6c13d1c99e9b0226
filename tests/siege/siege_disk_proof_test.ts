import { assert, test } from "../support/harness.ts";
import { siege } from "./siege.ts";
import { Stranger } from "./strangers.ts";

/** Every kind comes once or more. */
const ROUNDS = 3;

test("siege: honest work goes on among strangers of every sort, and all that they had is given back", async () => {
  const { violations, rounds, strangers, work } = await siege(1, (rounds) => rounds < ROUNDS);
  assert.deepEqual(violations, [], "deno task siege --seed 1");
  assert.equal(rounds, ROUNDS);
  assert.sameMembers(Object.keys(strangers), [...Stranger.kinds]);
  for (const { done } of Object.values(work)) assert.equal(done, ROUNDS + 1);
});
