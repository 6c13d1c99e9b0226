// Files of keyed state with bytes changed anywhere.

import fc from "fast-check";
import { hasCode } from "../../src/errors.ts";
import { assert, test } from "../support/harness.ts";
import { fileOfTexts, holding, STATE_FILE, texts } from "../support/states.ts";

test("state files: bytes that were changed give what can be read or a typed error, and leave the state", async () => {
  const { bytes, keyGroups } = await fileOfTexts();
  const change = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 3 });
  let refused = 0;
  await fc.assert(
    fc.asyncProperty(change, async (changes) => {
      const changed = bytes.slice();
      for (const [at, byte] of changes) changed[at] = byte;
      const { state, value } = texts();
      value.set("old", "state");
      try {
        await state.load(await holding({ [STATE_FILE]: { bytes: changed, keyGroups } }));
      } catch (error) {
        assert.isTrue(hasCode(error, "MALFORMED", "CORRUPT", "UNSUPPORTED"), String(error));
        assert.deepEqual([...value.entries()], [["old", "state"]]);
        refused++;
      }
    }),
    { numRuns: 800 },
  );
  assert.isAbove(refused, 500);
});
