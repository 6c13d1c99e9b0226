import { storageConformance } from "../../src/testing/storage.ts";
import { test } from "../support/harness.ts";
import { ask, theWorker } from "../support/miniflare.ts";

for (const [number, { name }] of storageConformance(() => Promise.reject(new Error("Not here"))).entries()) {
  test(`ObjectStorage on R2: ${name}`, async () => {
    await ask(`${(await theWorker()).url}/storage/${number}`);
  });
}
