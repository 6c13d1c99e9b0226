import { assert, test } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { playKills } from "./kills.ts";
import { noTotals } from "./round.ts";

test("chaos: installs by a process that is killed again and again", async () => {
  const totals = noTotals();
  for (const seed of [10, 20, 30]) {
    try {
      await inTemp((directory) => playKills(`${directory}/round`, seed, totals));
    } catch (error) {
      throw new Error(`Seed ${seed}: deno task chaos --seed ${seed}`, { cause: error });
    }
  }
  assert.strictEqual(totals.installs, 3);
});
