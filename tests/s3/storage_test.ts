// Snapshots in a real server.

import { ObjectStorage } from "../../src/object.ts";
import { storageConformance } from "../../src/testing/mod.ts";
import { testAll } from "../support/harness.ts";
import { spoil } from "../support/object_storage.ts";
import { newBucket } from "./kit.ts";

testAll(
  "ObjectStorage in S3",
  storageConformance(async () => {
    const bucket = await newBucket();
    const storage = await ObjectStorage.open(bucket, { grace: 0 });
    return {
      storage,
      spoil: async (index) => void await spoil(bucket, index),
      cleanUp: () => storage.close(),
    };
  }),
);
