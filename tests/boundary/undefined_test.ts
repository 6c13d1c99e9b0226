import { checkAbsent, leavable } from "../fuzz/targets/boundary.ts";
import { assert, test } from "../support/harness.ts";

test("boundary: an option that is undefined is one that is not there", async () => {
  for (const slot of leavable) await checkAbsent(slot);
  assert.isAbove(leavable.length, 150);
});
