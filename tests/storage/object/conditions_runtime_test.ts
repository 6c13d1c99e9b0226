// Whether a bucket heeds conditions is found out before anything rests on it, and a doubt about that is no proof.

import { SnapshotError } from "../../../mod.ts";
import { MemoryBucket } from "../../../src/object.ts";
import type { Bucket, PutOptions } from "../../../src/bucket/mod.ts";
import { decodeIndex } from "../../../src/storage/object/index.ts";
import { inFakeTime } from "../../support/fake_clock.ts";
import { assert, bytesOf, noise, rejects, test } from "../../support/harness.ts";
import { LimitedBucket } from "../../support/limited_bucket.ts";
import { passing } from "../../support/passing_bucket.ts";
import { objectsOf, openStorage, save } from "../../support/object_storage.ts";

const CONTENT = { a: noise(1000, 1) };

/** A bucket whose puts are done in another way. */
function putting(
  inner: Bucket,
  put: (key: string, options: PutOptions, plain: (options: PutOptions) => ReturnType<Bucket["put"]>) => ReturnType<
    Bucket["put"]
  >,
): Bucket {
  return passing(inner, {
    put: (key, body, options = {}) => put(key, options, (options) => inner.put(key, body, options)),
  });
}

for (const ignored of ["ifMatch", "ifNoneMatch"] as const) {
  test(`object storage: a bucket that ignores ${ignored} is UNSUPPORTED, each time, and nothing stays in it`, async () => {
    const inner = new MemoryBucket();
    const bucket = putting(inner, (_key, { [ignored]: _, ...options }, plain) => plain(options));
    for (let i = 0; i < 3; i++) {
      const storage = await openStorage(bucket);
      const { message } = await rejects(() => save(storage, 1n, CONTENT), "UNSUPPORTED");
      assert.match(message, ignored === "ifMatch" ? /does not heed If-Match/ : /does not heed If-None-Match/);
      await storage.close();
      assert.deepEqual(await objectsOf(inner), []);
    }
  });
}

test("object storage: a check of conditions that does not come to its end proves nothing, and leaves nothing", () =>
  inFakeTime(async () => {
    for (let failing = 1; failing <= 4; failing++) {
      const inner = new MemoryBucket();
      let puts = 0;
      let isDown = true;
      const bucket = putting(inner, async (key, options, plain) => {
        if (isDown && key.startsWith("checks/") && ++puts % 4 === failing % 4) {
          throw new SnapshotError("UNAVAILABLE", "503: nothing is known");
        }
        return await plain(options);
      });
      const storage = await openStorage(bucket);
      await rejects(() => save(storage, 1n, CONTENT), "UNAVAILABLE");
      assert.deepEqual(await objectsOf(inner), [], `put ${failing}`);
      isDown = false;
      await save(storage, 1n, CONTENT);
      await storage.close();
      const { heeded } = await decodeIndex(await bytesOf((await inner.get("index"))!.body), "index");
      assert.deepEqual(heeded, ["If-None-Match", "If-Match"]);
      assert.deepEqual((await objectsOf(inner)).filter(({ key }) => key.startsWith("checks/")), []);
    }
  }));

test("object storage: it is checked once for a bucket; also of an index that does not say so; what a crash left is collected", async () => {
  const inner = new MemoryBucket();
  let checks = 0;
  const bucket = putting(inner, (key, options, plain) => {
    if (key.startsWith("checks/")) checks++;
    return plain(options);
  });
  const first = await openStorage(bucket);
  await save(first, 1n, CONTENT);
  assert.equal(checks, 4);
  await inner.put("checks/0123456789abcdef-0123456789abcdef", noise(10, 1)); // of a process that crashed
  const second = await openStorage(bucket);
  await save(second, 2n, CONTENT);
  assert.equal(checks, 4);
  await second.collect();
  assert.deepEqual((await objectsOf(inner)).filter(({ key }) => key.startsWith("checks/")), []);
  await Promise.all([first.close(), second.close()]);
});

test("object storage: it is checked where one put a second is taken of an object", () =>
  inFakeTime(async () => {
    const bucket = new LimitedBucket(new MemoryBucket());
    const storage = await openStorage(bucket);
    await save(storage, 1n, CONTENT);
    await storage.close();
    assert.equal(bucket.puts.get("index"), 2);
  }));

test("object storage: an ETag that the bucket itself does not take back is named at once", async () => {
  const bucket = putting(new MemoryBucket(), async (_key, options, plain) => {
    if (options.ifMatch !== undefined) return undefined; // If-Match compares strongly, and a weak ETag never matches
    return await plain(options);
  });
  const storage = await openStorage(bucket);
  const { message } = await rejects(() => save(storage, 1n, CONTENT), "UNSUPPORTED");
  assert.match(message, /gives an object the ETag .* and does not take it in If-Match/);
  await storage.close();
});
