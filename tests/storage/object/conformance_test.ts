import { MemoryBucket, ObjectStorage } from "../../../src/object.ts";
import { storageConformance } from "../../conformance/mod.ts";
import { testAll } from "../../harness.ts";

testAll(
  "ObjectStorage, in memory",
  storageConformance(async () => ({
    storage: await ObjectStorage.open(new MemoryBucket(), { prefix: "a/b/", grace: 0 }),
    async cleanUp() {},
  })),
);
