import { MemoryBucket } from "../../src/bucket/mod.ts";
import { bucketConformance } from "../../src/testing/mod.ts";
import { testAll } from "../support/harness.ts";

const cleanUp = () => Promise.resolve();

testAll("MemoryBucket", bucketConformance(() => Promise.resolve({ bucket: new MemoryBucket(), cleanUp })));
