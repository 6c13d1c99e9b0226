import { bucketConformance } from "../../src/testing/mod.ts";
import { rejects, test, testAll } from "../support/harness.ts";
import { KIND, newBucket } from "./kit.ts";

/**
 * What some servers do not do, and the library does without: where keys are paths of a file system, none goes on below
 * another, nor has an empty name in it, and a prefix may be there as if it were an object.
 */
const KEYS_ARE_PATHS: Readonly<Record<string, readonly string[]>> = {
  "versitygw": ["odd keys", "keys that lead elsewhere"],
  "SeaweedFS": ["odd keys", "keys that lead elsewhere", "what was put is there"],
};
const others = KEYS_ARE_PATHS[KIND];

testAll(
  "S3Bucket",
  bucketConformance(async () => ({ bucket: await newBucket(), cleanUp: () => Promise.resolve() }))
    .filter(({ name }) => !others?.includes(name)),
);

if (others !== undefined) {
  test("S3Bucket: where keys are paths, one that goes on below another is refused at once", async () => {
    const bucket = await newBucket();
    await bucket.put("a/b", new Uint8Array(5));
    await rejects(bucket.put("a/b/", new Uint8Array(5)), "MALFORMED");
    await bucket.delete(["a/b"]);
    await bucket.put("a/b", new Uint8Array(5));
  });
}
