import { bucketConformance } from "../../src/testing/bucket.ts";
import { test } from "../support/harness.ts";
import { ask, theWorker } from "../support/miniflare.ts";

for (const [number, { name }] of bucketConformance(() => Promise.reject(new Error("Not here"))).entries()) {
  test(`R2BindingBucket: ${name}`, async () => {
    await ask(`${(await theWorker()).url}/bucket/${number}`);
  });
}
