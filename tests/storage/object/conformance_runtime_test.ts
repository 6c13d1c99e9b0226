import { EncryptedStorage } from "../../../mod.ts";
import { MemoryBucket, ObjectStorage } from "../../../src/object.ts";
import { storageConformance } from "../../../src/testing/mod.ts";
import { noise, testAll } from "../../support/harness.ts";
import { spoil } from "../../support/object_storage.ts";

testAll(
  "ObjectStorage, in memory",
  storageConformance(async () => {
    const bucket = new MemoryBucket();
    return {
      storage: await ObjectStorage.open(bucket, { prefix: "a/b/", grace: 0 }),
      spoil: async (index) => void await spoil(bucket, index, "a/b/"),
      async cleanUp() {},
    };
  }),
);

testAll(
  "EncryptedStorage on ObjectStorage",
  storageConformance(async () => ({
    storage: new EncryptedStorage(await ObjectStorage.open(new MemoryBucket()), [{ id: "a", secret: noise(32, 1) }]),
    async cleanUp() {},
  })).filter(({ name }) => /^ranges|^two are kept|^a reader pins|^an archive|^an install that|^a group/.test(name)),
);
