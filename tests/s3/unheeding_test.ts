// A server that heeds no conditions, in which two writers would both win: nothing is kept in it, nor left behind.

import { ObjectStorage } from "../../src/object.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { save } from "../support/object_storage.ts";
import { newBucket } from "./kit.ts";

test("S3 that ignores conditions: each commit is refused, also the second, also another process's", async () => {
  const bucket = await newBucket();
  for (let process = 0; process < 2; process++) {
    const storage = await ObjectStorage.open(bucket);
    for (let index = 1n; index <= 3n; index++) {
      const error = await rejects(save(storage, index, { state: new Uint8Array(1000) }), "UNSUPPORTED");
      assert.match(error.message, /The bucket does not heed If-(None-)?Match: of two writers both would win/);
    }
    assert.deepEqual(await storage.list(), []);
    await storage.close();
  }
  const { objects } = await bucket.list();
  assert.deepEqual(objects.map(({ key }) => key).filter((key) => !key.startsWith("packs/")), []);
});
