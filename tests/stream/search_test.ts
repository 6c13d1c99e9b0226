import { lastThat } from "../../src/stream/mod.ts";
import { assert, test } from "../support/harness.ts";

test("lastThat: the last number that fits, with few questions", () => {
  for (const count of [1, 2, 3, 4, 7, 8, 9, 100]) {
    for (let last = 0; last < count; last++) {
      let asked = 0;
      const found = lastThat(count, (i) => {
        assert.ok(i > 0 && i < count, `${i} of ${count}`);
        asked++;
        return i <= last;
      });
      assert.equal(found, last);
      assert.ok(asked <= Math.ceil(Math.log2(count)), `${asked} questions for ${count}`);
    }
  }
  assert.equal(lastThat(0, () => assert.fail("asked")), 0);
  assert.equal(lastThat(5, () => false), 0);
});
