import { assert, test } from "../support/harness.ts";
import { inFakeTime } from "../support/fake_clock.ts";
import { noClusterTotals, playCluster } from "./cluster_round.ts";
import { noTotals, playRound } from "./round.ts";

test("chaos: installs through a network that does everything wrong end equal to their source", async () => {
  const totals = noTotals();
  for (let seed = 1; seed <= 40; seed++) {
    try {
      await inFakeTime(() => playRound(seed, totals)); // on a slow machine a time-out would come too early
    } catch (error) {
      throw new Error(`Seed ${seed}: deno task chaos --seed ${seed}`, { cause: error });
    }
  }
  assert.strictEqual(totals.installs, 40);
});

test("chaos: a leader, followers, promotions and a backup keep one history", async () => {
  const totals = noClusterTotals();
  for (let seed = 1; seed <= 8; seed++) {
    try {
      await inFakeTime(() => playCluster(seed, totals));
    } catch (error) {
      throw new Error(`Seed ${seed}: deno task chaos --only cluster --seed ${seed}`, { cause: error });
    }
  }
  const { steps, promotions, kills, restores } = totals;
  assert.equal(steps, 8 * 12);
  for (const count of [promotions, kills, restores]) assert.isAbove(count, 0);
});
