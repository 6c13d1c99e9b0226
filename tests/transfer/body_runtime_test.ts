// Reading bodies: whoever watches over one is told when the other side is waited for, and when it is not any more.

import { readBody } from "../../src/transfer/body.ts";
import { assert, rejects, test } from "../support/harness.ts";

/** How each body ends. */
const ENDS: Readonly<Record<string, (controller: ReadableStreamDefaultController<Uint8Array>) => void>> = {
  "ends": (controller) => controller.close(),
  "breaks off": (controller) => controller.error(new TypeError("reset")),
};

for (const [how, end] of Object.entries(ENDS)) {
  test(`body: a watch waits for nobody after one that ${how}`, async () => {
    let isWaiting = false;
    const told: boolean[] = [];
    const watch = {
      signal: new AbortController().signal,
      resume: () => void told.push(isWaiting = true),
      pause: () => void (isWaiting = false),
    };
    let sent = 0;
    const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
      pull: (controller) => sent++ < 2 ? controller.enqueue(new Uint8Array(10)) : end(controller),
    }, { highWaterMark: 0 });
    const visits: boolean[] = [];
    await readBody(new Response(body), () => void visits.push(isWaiting), watch)
      .catch((error) => assert.strictEqual(error.message, "reset"));
    assert.deepEqual(visits, [false, false], "it is not waited for while its bytes are used");
    assert.lengthOf(told, 3);
    assert.isFalse(isWaiting);
  });
}

test("body: one that comes in empty pieces for ever is waited for, as one that does not come", async () => {
  const watched = new AbortController();
  let resumed = 0;
  let sent = 0;
  const watch = { signal: watched.signal, resume: () => void resumed++, pause: () => {} };
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      if (sent++ === 100) watched.abort(new Error("It sent nothing for long enough"));
      controller.enqueue(new Uint8Array(0));
    },
  }, { highWaterMark: 0 });
  await rejects(readBody({ body }, () => assert.fail("a piece"), watch), "CANCELLED");
  assert.strictEqual(resumed, 1);
});
