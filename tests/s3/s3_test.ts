import { bucketConformance } from "../../src/testing/mod.ts";
import { testAll } from "../support/harness.ts";
import { newBucket } from "./kit.ts";

testAll(
  "S3Bucket",
  bucketConformance(async () => ({ bucket: await newBucket(), cleanUp: () => Promise.resolve() })),
);
