// R2's errors by their numbers (developers.cloudflare.com/r2/api/error-codes), which workerd's double has few of.

import { R2BindingBucket, type R2BucketLike } from "../../src/object.ts";
import type { SnapshotErrorCode } from "../../mod.ts";
import { assert, rejects, test } from "../support/harness.ts";

test("R2BindingBucket: an error has the code of its number, and a lock of the bucket is no contention", async () => {
  const cases: [message: string, code: SnapshotErrorCode, status?: number][] = [
    ["put: We encountered an internal error. Please try again. (10001)", "UNAVAILABLE"],
    ["put: Access denied (10003)", "FORBIDDEN"],
    ["put: The specified bucket does not exist. (10006)", "NOT_FOUND"],
    ["put: The specified object name is not valid. (10020)", "MALFORMED"],
    ["put: Service unavailable (10043)", "UNAVAILABLE"],
    ["put: Client disconnected (10054)", "UNAVAILABLE"],
    ["put: Reduce your concurrent request rate for the same object. (10058)", "UNAVAILABLE", 429],
    ["put: The object is locked by the bucket policy. (10069)", "FORBIDDEN"],
    ["put: Your proposed upload exceeds the maximum allowed object size. (100100)", "UNSUPPORTED"],
    ["put: something new (19999)", "UNAVAILABLE"],
  ];
  for (const [message, code, status] of cases) {
    const fails = () => Promise.reject(new Error(message));
    const binding = { get: fails, head: fails, put: fails, delete: fails, list: fails, createMultipartUpload: fails };
    const bucket = new R2BindingBucket(binding as R2BucketLike);
    const puts = [() => bucket.put("a", new Uint8Array(1)), () => bucket.delete(["a"]), () => bucket.list()];
    for (const put of puts) {
      const error = await rejects(put, code);
      assert.include(error.message, message);
      assert.equal(error.fields.status, status);
    }
  }
});
