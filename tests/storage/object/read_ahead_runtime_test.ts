// The windows of a file that are under way: few from a quick bucket, more from a slow one, never too many.

import { MemoryBucket } from "../../../src/object.ts";
import { equal } from "../../../src/stream/mod.ts";
import { assert, closing, noise, test, turns } from "../../support/harness.ts";
import { openStorage, save } from "../../support/object_storage.ts";
import { passing } from "../../support/passing_bucket.ts";

const STATE = noise(6 * 4 * 1024 * 1024, 21); // six packs

test("object storage: a reader that waits for its bucket has more windows under way, up to six", async () => {
  const inner = new MemoryBucket();
  let [isSlow, running, most] = [false, 0, 0];
  let [answered, received] = [0, 0];
  const waiting: (() => void)[] = [];
  const bucket = passing(inner, {
    async get(key, options) {
      if (!key.includes("packs/")) return await inner.get(key, options);
      most = Math.max(most, ++running);
      if (isSlow) await new Promise<void>((resolve) => waiting.push(resolve));
      running--;
      const { start = 0, end = 0 } = options!.range!;
      answered += end - start;
      return await inner.get(key, options);
    },
  });
  const storage = closing(await openStorage(bucket));
  await save(storage, 1n, { state: STATE });
  const mostOf = async () => {
    most = answered = received = 0;
    const reader = await storage.open();
    for await (const piece of reader.file("state")) {
      assert.isTrue(equal(piece, STATE.subarray(received, received + piece.length)));
      received += piece.length;
    }
    await reader.close();
    assert.deepEqual([received, answered], [STATE.length, STATE.length]);
    return most;
  };
  assert.isAtMost(await mostOf(), 3);

  isSlow = true;
  let isDone = false;
  const answering = (async () => {
    while (!isDone) {
      await turns();
      if (received === answered) waiting.shift()?.(); // the reader has all that came, and waits for this
    }
  })();
  const slow = await mostOf();
  isDone = true;
  await answering;
  assert.isAbove(slow, 3);
  assert.isAtMost(slow, 6);
});
