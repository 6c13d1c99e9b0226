import { checkAbsent, leavable } from "../fuzz/targets/boundary.ts";
import { assert, test } from "../support/harness.ts";

const PARTS = 4;

for (let part = 0; part < PARTS; part++) {
  test(`boundary: an option that is undefined is one that is not there, part ${part + 1}`, async () => {
    const some = leavable.filter((_, i) => i % PARTS === part);
    for (const slot of some) await checkAbsent(slot);
    assert.isAbove(some.length, 150 / PARTS);
  });
}
