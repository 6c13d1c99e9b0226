import { assert, test } from "../support/harness.ts";
import { noTotals, playRound } from "./round.ts";

test("chaos: installs through a network that does everything wrong end equal to their source", async () => {
  const totals = noTotals();
  for (let seed = 1; seed <= 40; seed++) {
    try {
      await playRound(seed, totals);
    } catch (error) {
      throw new Error(`Seed ${seed}: deno task chaos --seed ${seed}`, { cause: error });
    }
  }
  assert.strictEqual(totals.installs, 40);
});
