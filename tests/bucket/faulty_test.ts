import { MemoryBucket } from "../../src/bucket/mod.ts";
import { bucketConformance } from "../../src/testing/mod.ts";
import { assert, bytesOf, noise, rejects, test, testAll } from "../support/harness.ts";
import { type BucketFault, bySeed, FaultyBucket } from "../support/faulty_bucket.ts";

const cleanUp = () => Promise.resolve();

testAll(
  "FaultyBucket without a fault",
  bucketConformance(() => Promise.resolve({ bucket: new FaultyBucket(new MemoryBucket(), () => undefined), cleanUp })),
);

/** A bucket with two objects, whose next call fails. */
async function failing(fault: BucketFault): Promise<FaultyBucket> {
  let arm = false;
  const bucket = new FaultyBucket(new MemoryBucket(), () => arm ? fault : undefined);
  await bucket.put("a", noise(300_000, 1));
  await bucket.put("b", noise(300_000, 2));
  arm = true;
  return bucket;
}

test("FaultyBucket fails before and after it does what was asked", async () => {
  const before = await failing("before");
  const error = await rejects(before.put("c", noise(10, 3)), "UNAVAILABLE");
  assert.equal(error.fields.status, 503);
  assert.equal(await before.bucket.get("c"), undefined);
  const after = await failing("after");
  await rejects(after.put("c", noise(10, 3)), "UNAVAILABLE");
  assert.equal((await bytesOf((await after.bucket.get("c"))!.body)).length, 10);
  await rejects(after.delete(["a"]), "UNAVAILABLE");
  assert.equal(await after.bucket.get("a"), undefined);
  await rejects(after.get("b"), "UNAVAILABLE");
});

test("FaultyBucket puts twice, and says what came of the second", async () => {
  const bucket = await failing("twice");
  assert.equal(await bucket.put("c", noise(10, 3), { ifNoneMatch: "*" }), undefined);
  assert.equal((await bytesOf((await bucket.bucket.get("c"))!.body)).length, 10);
});

test("FaultyBucket hangs until the signal fires", async () => {
  const bucket = await failing("hang");
  const controller = new AbortController();
  const list = bucket.list({ signal: controller.signal });
  controller.abort();
  await rejects(list, "CANCELLED");
});

test("FaultyBucket lists what was there a while ago", async () => {
  const bucket = await failing("stale");
  assert.deepEqual((await bucket.list()).objects, []);
  for (let i = 0; i < 30; i++) await bucket.put(`many/${i}`, noise(10, i + 1));
  await bucket.delete(["a"]);
  const keys = (await bucket.list()).objects.map(({ key }) => key);
  assert.include(keys, "a");
  assert.include(keys, "many/0");
  assert.notInclude(keys, "many/29");
});

test("FaultyBucket spoils bodies", async () => {
  const read = async (fault: BucketFault) => await bytesOf((await (await failing(fault)).get("a"))!.body);
  assert.deepEqual(await read("cut"), noise(300_000, 1).slice(0, 150_000));
  await rejects(read("broken"), "UNAVAILABLE");
  assert.deepEqual(await read("other"), noise(300_000, 2));
  const [flipped, right] = [await read("flipped"), noise(300_000, 1)];
  assert.equal(flipped.findIndex((byte, i) => byte !== right[i]), 150_000);
});

test("Faults by a seed come as often as they are to, and the same each time", () => {
  const calls = Array.from({ length: 10_000 }, (_, number) => ({ verb: "get", key: "a", number }) as const);
  const once = calls.map(bySeed(5, 0.1, ["before", "after"]));
  assert.deepEqual(calls.map(bySeed(5, 0.1, ["before", "after"])), once);
  assert.notDeepEqual(calls.map(bySeed(6, 0.1, ["before", "after"])), once);
  const faults = once.filter((fault) => fault !== undefined);
  assert.approximately(faults.length, 1000, 150);
  assert.approximately(faults.filter((fault) => fault === "after").length, 500, 100);
});
