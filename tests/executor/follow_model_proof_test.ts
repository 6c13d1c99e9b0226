// Leaders, followers and promotions at random: nothing that a promoted follower had is lost, and no history is mixed.
// `deno task chaos --only cluster` plays as many as there are minutes, through a bad network and with backups.

import { noClusterTotals, playCluster } from "../chaos/cluster_round.ts";
import { inFakeTime } from "../support/fake_clock.ts";
import { assert, test } from "../support/harness.ts";

test("promotions without a bad network: one history, and nothing lost that the promoted one had", async () => {
  const totals = noClusterTotals();
  for (let seed = 1; seed <= 3; seed++) await inFakeTime(() => playCluster(seed, totals, "promotions"));
  assert.equal(totals.promotions, 36);
  assert.isAbove(totals.parted, 0, "some histories were others");
});
