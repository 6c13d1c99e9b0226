import { assert, test } from "../harness.ts";
import { inTemp } from "../temp.ts";
import { playKills } from "./kills.ts";
import { noTotals } from "./round.ts";

// A process of another runtime would need a bundle of its own: `deno task chaos` and the demo are for that.
if ("Deno" in globalThis) {
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
}
