import { assert, test } from "../support/harness.ts";
import { soak } from "./soak.ts";

/** About twice each kind: how long that takes is the machine's affair. */
const CYCLES = 60;

test("soak: nothing is left of saves, installs and transfers that succeed, fail, and are given up", async () => {
  const { seed, leaks, cycles } = await soak(1, (cycles) => cycles < CYCLES);
  assert.deepEqual(leaks, [], `deno task soak --seed ${seed}`);
  assert.equal(cycles, CYCLES);
});
