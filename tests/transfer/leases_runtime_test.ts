// A lease hands out its reader: how long that stays, and who shares it. See also index_reads_runtime_test.ts.

import { MemoryStorage, pull, type SnapshotHandler, snapshotHandler } from "../../mod.ts";
import { MemoryBucket, ObjectStorage } from "../../src/object.ts";
import { toHex } from "../../src/stream/mod.ts";
import { FaultyBucket } from "../support/faulty_bucket.ts";
import { assert, bytesOf, noise, test } from "../support/harness.ts";
import { save, storageWith } from "../support/samples.ts";

/** A storage in a bucket with one snapshot, served; and how often its index was read since. */
async function served(
  size: number,
  work: (handler: SnapshotHandler, reads: () => number, digest: string, storage: ObjectStorage) => Promise<void>,
): Promise<void> {
  const bucket = new FaultyBucket(new MemoryBucket(), () => undefined);
  const storage = await ObjectStorage.open(bucket, { prefix: "a/" });
  const { digest } = await save(storage, 7n, { state: noise(size, 1), small: noise(10, 2) });
  const handler = snapshotHandler(storage);
  const before = bucket.calls.length;
  const reads = () => bucket.calls.slice(before).filter(({ verb, key }) => verb === "get" && key === "a/index").length;
  try {
    await work(handler, reads, toHex(digest), storage);
  } finally {
    await handler.close();
    await storage.close();
  }
}

test("leases: several clients that pull at once share one reader", () =>
  served(8_000_000, async (handler, reads) => {
    const here = [new MemoryStorage(), new MemoryStorage(), new MemoryStorage()];
    await Promise.all(here.map((storage) => pull(storage, [{ url: "http://there", fetch: handler }]).result));
    assert.isAtMost(reads(), 2 + here.length); // each asks once for the newest
    for (const storage of here) await storage.close();
  }));

test("leases: the newest is looked for each time, by its digest the old one stays", () =>
  served(1000, async (handler, _reads, digest, storage) => {
    const ask = async (which: string) =>
      await bytesOf((await handler(new Request(`http://there/snapshots/${which}/files/small`))).body!);
    const old = await ask(digest);
    await save(storage, 8n, { small: noise(10, 3) });
    assert.deepEqual(await ask("latest"), noise(10, 3));
    assert.deepEqual(await ask(digest), old);
  }));

test("leases: a download continues after its lease has ended, and nothing pins the snapshot after it", async () => {
  const storage = await storageWith(7n, { state: noise(2_000_000, 1) });
  const handler = snapshotHandler(storage);
  const responses = await Promise.all([1, 2].map(() => handler(new Request("http://there/snapshots/7/content"))));
  const readers = responses.map(({ body }) => body!.getReader());
  for (const reader of readers) await reader.read();
  await handler.close();
  await readers[0]!.cancel();
  assert.isTrue((await storage.list())[0]!.pinned);
  let rest = 0;
  for (let part; (part = await readers[1]!.read()).done === false;) rest += part.value.length;
  assert.isAbove(rest, 1_000_000);
  assert.isFalse((await storage.list())[0]!.pinned);
  await storage.close();
});

test("leases: a bad snapshot is not kept by its leases, nor found by its digest", async () => {
  const storage = await storageWith(7n, { state: noise(100, 1) });
  const [{ digest } = assert.fail()] = await storage.list();
  const listeners: ((index: bigint, reason: string) => void)[] = [];
  storage.onQuarantine = (listener) => {
    listeners.push(listener);
    return () => listeners.splice(listeners.indexOf(listener), 1);
  };
  const handler = snapshotHandler(storage);
  const ask = async () => {
    const response = await handler(new Request(`http://there/snapshots/${toHex(digest)}/content`));
    await response.body?.cancel();
    return response.status;
  };
  assert.strictEqual(await ask(), 200);
  for (const listener of listeners) listener(6n, "another one");
  assert.isTrue((await storage.list())[0]!.pinned);
  for (const listener of listeners) listener(7n, "it is bad");
  assert.isFalse((await storage.list())[0]!.pinned);
  const { list } = storage;
  storage.list = async () => (await list.call(storage)).slice(1);
  assert.strictEqual(await ask(), 404);
  await handler.close();
  assert.lengthOf(listeners, 0);
  await storage.close();
});
