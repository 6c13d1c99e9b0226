import { rm } from "node:fs/promises";
import { DirectoryBucket } from "../../src/bucket/directory/bucket.ts";
import { bucketConformance } from "../../src/testing/mod.ts";
import { testAll } from "../support/harness.ts";
import { tempDirectory } from "../support/temp.ts";

testAll(
  "DirectoryBucket",
  bucketConformance(async () => {
    const directory = await tempDirectory();
    const bucket = await DirectoryBucket.open(`${directory}/bucket`);
    return { bucket, cleanUp: () => rm(directory, { recursive: true }) };
  }),
);
