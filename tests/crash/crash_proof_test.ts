// What `deno task crash` does at length, in short.

import { assert, test } from "../support/harness.ts";
import { noCounts, parts, SHORT } from "./proof.ts";

const counts = noCounts();
for await (const [name, run] of parts(1, SHORT, counts)) test(`crash: ${name}`, run);

test("crash: all of these looked at something", () => {
  const {
    states,
    secondCrashes,
    faults,
    slow,
    damage,
    log,
    opfsLog,
    model,
    schedules,
    schemas,
    evidence,
    durable,
    seen,
  } = counts;
  for (
    const count of [
      ...[states, secondCrashes, faults, slow, damage.cases, model.states, schedules.actions, schemas.refused],
      ...[
        seen.cases,
        seen.restored,
        log.cuts,
        opfsLog.cuts,
        opfsLog.flips,
        durable.kills,
        durable.openings,
        ...Object.values(evidence),
      ],
    ]
  ) {
    assert.isAbove(count, 0);
  }
});
