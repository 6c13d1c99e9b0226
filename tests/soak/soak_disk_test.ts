import { assert, test } from "../harness.ts";
import { soak } from "./soak.ts";

test("soak: nothing is left of saves, installs and transfers that succeed, fail, and are given up", async () => {
  const end = performance.now() + 5000; // a look may take some seconds more, on a machine that is busy
  const { seed, leaks, cycles } = await soak(1, (cycles) => cycles < 1000 && performance.now() < end);
  assert.deepEqual(leaks, [], `deno task soak --seed ${seed}`);
  assert.isAtLeast(cycles, 50);
});
