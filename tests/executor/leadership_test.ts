// Telling a former leader that it is one.

import type { LogStatus } from "../../src/log/mod.ts";
import { tellLeader } from "../../src/executor/leadership.ts";
import type { LogSource } from "../../src/transfer/mod.ts";
import { inFakeTime } from "../support/fake_clock.ts";
import { assert, test } from "../support/harness.ts";

/** Tells one that answers so; resolves with the number of times that it was told until it had heard it. */
function asked(...answers: readonly (Pick<LogStatus, "term" | "role"> | undefined)[]): Promise<number> {
  let count = 0;
  const supersede = () => {
    const answer = answers[count++];
    return answer === undefined ? Promise.reject(new TypeError("connection refused")) : Promise.resolve(answer);
  };
  const source = { supersede } as unknown as LogSource;
  return inFakeTime(() =>
    new Promise<number>((resolve) => {
      void tellLeader(source, 2n, undefined, new AbortController().signal, () => resolve(count));
    })
  );
}

test("a former leader is told until it answers, and has heard it once it does not lead any more", async () => {
  assert.equal(await asked({ term: 2n, role: "superseded" }), 1);
  assert.equal(await asked(undefined, { term: 1n, role: "leader" }, { term: 2n, role: "follower" }), 3);
});

test("one that leads in the same term has not heard it", async () => {
  assert.equal(
    await asked({ term: 2n, role: "leader" }, { term: 2n, role: "leader" }, { term: 3n, role: "leader" }),
    3,
  );
});
