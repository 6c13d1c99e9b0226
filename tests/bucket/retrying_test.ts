// A read that a list must agree with, while others replace the object.

import { MemoryBucket } from "../../src/bucket/mod.ts";
import { RetryingBucket } from "../../src/bucket/retrying.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { overriding } from "../support/overriding.ts";

const bytes = (size: number) => new Uint8Array(size).fill(size);

/** A bucket in which an object is replaced, by a longer one each time, before so many of its reads. */
async function replaced(times: number): Promise<{ readonly bucket: RetryingBucket; readonly reads: () => number }> {
  const memory = new MemoryBucket();
  await memory.put("index", bytes(10));
  let reads = 0;
  const bucket = overriding(memory, {
    async get(key, options) {
      if (reads++ < times) await memory.put("index", bytes(10 + reads));
      return await memory.get(key, options);
    },
  });
  return { bucket: new RetryingBucket(bucket, ""), reads: () => reads };
}

test("retrying bucket: an object that is replaced between the list and the read is read again", async () => {
  for (const times of [0, 1, 2, 7]) {
    const { bucket, reads } = await replaced(times);
    const found = await bucket.readAgain("index", { limit: 100 });
    assert.deepEqual(found.bytes, bytes(10 + times));
    assert.equal(reads(), times + 1);
  }
});

test("retrying bucket: one that is replaced for ever, or is read otherwise than it is listed, is suspect", async () => {
  const { bucket, reads } = await replaced(Infinity);
  await rejects(bucket.readAgain("index", { limit: 1000 }), "UNAVAILABLE");
  assert.equal(reads(), 20);

  const memory = new MemoryBucket();
  await memory.put("index", bytes(10));
  await memory.put("other", bytes(11));
  const lying = new RetryingBucket(overriding(memory, { get: (_, options) => memory.get("other", options) }), "");
  const error = await rejects(lying.readAgain("index", { limit: 100 }), "UNAVAILABLE");
  assert.include(error.message, "listed with 10 bytes");
});

test("retrying bucket: a list that goes round in a circle of any length ends", async () => {
  for (const length of [1, 2, 3, 7, 50]) {
    let pages = 0;
    const list = () => Promise.resolve({ objects: [], cursor: `${pages++ % length}` });
    const bucket = new RetryingBucket(overriding(new MemoryBucket(), { list }), "p/");
    await rejects(Array.fromAsync(bucket.list("")), "UNAVAILABLE");
    assert.isAtMost(pages, 4 * length + 1);
  }
});

test("retrying bucket: a list of many pages comes to its end", async () => {
  let pages = 0;
  const list = () => Promise.resolve({ objects: [], ...(pages++ < 300 && { cursor: `${pages}` }) });
  const bucket = new RetryingBucket(overriding(new MemoryBucket(), { list }), "p/");
  await Array.fromAsync(bucket.list(""));
  assert.strictEqual(pages, 301);
});
