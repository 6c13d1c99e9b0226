// The windows of a file that are under way: few from a quick bucket, more from a slow one, never too many.

import { MemoryBucket } from "../../../src/object.ts";
import { equal } from "../../../src/stream/mod.ts";
import { assert, bytesOf, closing, noise, test, turns } from "../../support/harness.ts";
import { openStorage, save } from "../../support/object_storage.ts";
import { passing } from "../../support/passing_bucket.ts";

const STATE = noise(6 * 4 * 1024 * 1024, 21); // six packs

test("object storage: a reader that waits for its bucket has more windows under way, up to six", async () => {
  const inner = new MemoryBucket();
  let [isSlow, running, most] = [false, 0, 0];
  const waiting: (() => void)[] = [];
  const bucket = passing(inner, {
    async get(key, options) {
      if (!key.includes("packs/")) return await inner.get(key, options);
      most = Math.max(most, ++running);
      if (isSlow) await new Promise<void>((resolve) => waiting.push(resolve));
      running--;
      return await inner.get(key, options);
    },
  });
  const storage = closing(await openStorage(bucket));
  await save(storage, 1n, { state: STATE });
  const mostOf = async () => {
    most = 0;
    const reader = await storage.open();
    assert.isTrue(equal(await bytesOf(reader.file("state")), STATE));
    await reader.close();
    return most;
  };
  assert.isAtMost(await mostOf(), 3);

  isSlow = true;
  let isDone = false;
  const answering = (async () => {
    while (!isDone) {
      await turns(); // each request is answered when nothing else happens any more: the reader waits then
      waiting.shift()?.();
    }
  })();
  const slow = await mostOf();
  isDone = true;
  await answering;
  assert.isAbove(slow, 3);
  assert.isAtMost(slow, 6);
});
