// What one observer of a shared bucket sees is his: others have everything, and what is shared changes only by proof.

import { decryptedReader, EncryptedStorage, MemoryStorage, SnapshotError } from "../../../mod.ts";
import { type Bucket, MemoryBucket, type ObjectStorage } from "../../../src/object.ts";
import type { BucketBody } from "../../../src/bucket/mod.ts";
import { inFakeTime } from "../../support/fake_clock.ts";
import { SpoiledStorage } from "../../support/faulty_medium.ts";
import { assert, bytesOf, noise, pieces, rejects, test } from "../../support/harness.ts";
import {
  checkContent,
  type Content,
  mixed,
  objectsOf,
  openStorage,
  save,
  spoil,
} from "../../support/object_storage.ts";

type Get = (found: BucketBody) => Promise<BucketBody | undefined> | BucketBody | undefined;

/** A bucket of which some gets are seen otherwise. */
function seen(bucket: Bucket, key: RegExp, times: number, see: Get, listed = true): Bucket {
  let left = times;
  return {
    async get(asked, options) {
      const found = await bucket.get(asked, options);
      return found === undefined || !key.test(asked) || left-- <= 0 ? found : await see(found);
    },
    put: (...args) => bucket.put(...args),
    delete: (...args) => bucket.delete(...args),
    async list(options) {
      const page = await bucket.list(options);
      return listed ? page : { ...page, objects: page.objects.filter((object) => !key.test(object.key)) };
    },
  };
}

const SEEN: Record<string, Get> = {
  "a 404": () => undefined,
  "a page to log in": (found) => ({ ...found, size: 99, etag: '"login"', body: pieces(noise(99, 1)) }),
  "another object": async (found) => ({
    ...found,
    body: pieces((await bytesOf(found.body)).map((byte) => byte ^ 0xff)),
  }),
  "a short body": async (found) => {
    const bytes = await bytesOf(found.body);
    return { ...found, size: bytes.length >> 1, body: pieces(bytes.subarray(0, bytes.length >> 1)) };
  },
};

const contentOf = (index: number): Content => ({ a: mixed(200_000, 130_000, index) });

/** All that lies there, but for leases, which who reads takes for a while. */
async function contentsOf(bucket: Bucket, storage: ObjectStorage): Promise<unknown> {
  return {
    objects: (await objectsOf(bucket)).filter(({ key }) => key !== "index"),
    snapshots: (await storage.list()).map(({ meta, digest }) => [meta, digest]),
    quarantined: await storage.quarantined(),
  };
}

async function readAll(storage: ObjectStorage, index: bigint): Promise<void> {
  const reader = await storage.open(index);
  try {
    await bytesOf(reader.file("a"));
  } finally {
    await reader.close();
  }
}

for (const [what, see] of Object.entries(SEEN)) {
  for (const key of [/^index/, /^manifests/, /^packs/]) {
    test(`object storage: ${what}, once, for ${key}: it is asked for in another way`, async () => {
      const bucket = new MemoryBucket();
      const all = await openStorage(bucket);
      for (const index of [1, 2]) await save(all, BigInt(index), contentOf(index));
      const one = await openStorage(seen(bucket, key, 1, see));
      assert.equal((await one.list()).length, 2);
      for (const index of [2, 1]) await checkContent(one, BigInt(index), contentOf(index));
      await one.close();
      await all.close();
    });

    test(`object storage: ${what}, always, for ${key}: said to who sees it, and nothing moves for anybody`, () =>
      inFakeTime(async () => {
        const bucket = new MemoryBucket();
        const all = await openStorage(bucket);
        for (const index of [1, 2]) await save(all, BigInt(index), contentOf(index));
        for (const listed of [true, false]) {
          // Bytes that are another object's, under the right name and ETag, are what the bucket has, for all that is known.
          if (what === "another object" && key.source !== "^index" && listed) continue;
          const before = await contentsOf(bucket, all);
          const warnings: SnapshotError[] = [];
          const opening = openStorage(seen(bucket, key, Infinity, see, listed), {
            onWarning: (warning) => warnings.push(warning),
          });
          const outcome = await opening.then(async (one) => {
            for (const index of [2n, 1n]) {
              assert.isFalse(await one.quarantine(index, "a rumour").catch(() => false));
              await readAll(one, index).then(() => assert.fail("it was read"), (error) => {
                assert.include(["UNAVAILABLE", "NOT_FOUND", "CORRUPT"], error.code);
                if (key.source !== "^index") assert.equal(error.code, "UNAVAILABLE", error.message);
              });
            }
            await one.close();
          }, (error) => error);
          if (outcome !== undefined) assert.isTrue(outcome instanceof SnapshotError);
          assert.deepEqual(warnings, []);
          assert.deepEqual(await contentsOf(bucket, all), before);
        }
        for (const index of [2, 1]) await checkContent(all, BigInt(index), contentOf(index));
        await all.close();
      }));
  }
}

test("object storage: what is wrong each time, and listed as it is read, is proven bad; and can be restored", async () => {
  const bucket = new MemoryBucket();
  const storage = await openStorage(bucket);
  for (const index of [1, 2]) await save(storage, BigInt(index), contentOf(index));
  const mend = await spoil(bucket, 2n);
  assert.isFalse(await storage.quarantine(1n, "a rumour"));
  assert.isTrue(await storage.quarantine(2n, "a test"));
  const [quarantined] = await storage.quarantined();
  assert.equal(quarantined!.index, 2n);
  assert.match(quarantined!.reason!, /^a test: Chunk/);
  await rejects(storage.restore(2n), "CORRUPT");
  await rejects(storage.restore(1n), "NOT_FOUND");
  await mend();
  await storage.restore(2n);
  for (const index of [2, 1]) await checkContent(storage, BigInt(index), contentOf(index));
  assert.deepEqual(await storage.quarantined(), []);
  await storage.close();
});

test("object storage: chunks of packs that are not there are not relied upon by a save", async () => {
  const bucket = new MemoryBucket();
  const storage = await openStorage(bucket);
  await save(storage, 1n, contentOf(1));
  await bucket.delete((await objectsOf(bucket)).map(({ key }) => key).filter((key) => key.startsWith("packs/")));
  await save(storage, 2n, contentOf(1)); // the same content, which is not there any more
  await checkContent(storage, 2n, contentOf(1));
  await storage.close();
});

test("object storage: what cannot be read by who commits does not count for retention, until it can be", async () => {
  const bucket = new MemoryBucket();
  const hidden = { key: /^none/ };
  const storage = await openStorage({
    get: (key, options) => hidden.key.test(key) ? Promise.resolve(undefined) : bucket.get(key, options),
    put: (...args) => bucket.put(...args),
    delete: (...args) => bucket.delete(...args),
    list: (options) => bucket.list(options),
  });
  const indices = async () => (await storage.list()).map(({ meta }) => Number(meta.lastIncludedIndex));
  for (const index of [1, 2]) await save(storage, BigInt(index), { a: mixed(100_000, 0, index) });
  const [pack] = (await objectsOf(bucket)).filter(({ key }) => key.startsWith("packs/")).sort((a, b) =>
    a.key < b.key ? 1 : -1
  );
  hidden.key = new RegExp(pack!.key); // that of one of the two
  let unread = 0;
  for (const index of [2n, 1n]) await readAll(storage, index).catch(() => unread = Number(index));
  assert.isAbove(unread, 0);
  await save(storage, 3n, { a: mixed(100_000, 0, 3) });
  assert.deepEqual(await indices(), [3, 2, 1]);
  hidden.key = /^none/;
  await save(storage, 4n, { a: mixed(100_000, 0, 4) });
  assert.deepEqual(await indices(), [4, 3]);
  await storage.close();
});

test("object storage: an index that was there and is not, or is older than one that was read, changes nothing", async () => {
  const bucket = new MemoryBucket();
  const storage = await openStorage(bucket);
  await save(storage, 1n, contentOf(1));
  const old = await bytesOf((await bucket.get("index"))!.body);
  await save(storage, 2n, contentOf(2));
  const now = await bytesOf((await bucket.get("index"))!.body);
  await bucket.put("index", old);
  await rejects(storage.list(), "UNAVAILABLE");
  await rejects(storage.collect(), "UNAVAILABLE");
  await bucket.delete(["index"]);
  await rejects(storage.list(), "UNAVAILABLE");
  await rejects(storage.collect(), "UNAVAILABLE");
  await bucket.put("index", now);
  for (const index of [2, 1]) await checkContent(storage, BigInt(index), contentOf(index));
  await storage.close();
});

test("encrypted: the wrong secret under the right key id is FORBIDDEN, wherever, and nothing moves", async () => {
  const bucket = new MemoryBucket();
  const right = { id: "2026", secret: noise(32, 1) };
  const wrong = { id: "2026", secret: noise(32, 2) };
  for (const inner of [new MemoryStorage(), new SpoiledStorage(), await openStorage(bucket)]) {
    const storage = new EncryptedStorage(inner, [right]);
    for (const index of [1n, 2n]) await save(storage, index, { a: noise(1000, Number(index)) });
    const mistaken = new EncryptedStorage(inner, [wrong]);
    for (const index of [2n, 1n]) {
      await rejects(mistaken.open(index), "FORBIDDEN");
      const stored = await inner.open(index);
      assert.isTrue((await stored.verify().result).ok); // what is stored is right
      const reader = decryptedReader(stored, [wrong]);
      await rejects(bytesOf(reader.file("a")), "FORBIDDEN");
      await rejects(reader.size("a"), "FORBIDDEN");
      await reader.close();
      assert.isFalse(await mistaken.quarantine(index, "it cannot be decrypted"));
    }
    assert.equal((await mistaken.list()).length, 2);
    for (const index of [2n, 1n]) await checkContent(storage, index, { a: noise(1000, Number(index)) });
    await storage.close();
  }
});
