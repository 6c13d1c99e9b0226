import { MemoryStorage, pull, snapshotHandler } from "../../mod.ts";
import { MemoryBucket, ObjectStorage } from "../../src/object.ts";
import { toHex } from "../../src/stream/mod.ts";
import { assert, bytesOf, noise, test } from "../support/harness.ts";

/** Saves a snapshot of eight files to a bucket, and serves it; counts how often the bucket's index is read. */
async function serving(
  size: number,
  work: (fetch: (request: Request) => Promise<Response>, reads: () => number, storage: ObjectStorage) => Promise<void>,
): Promise<void> {
  const bucket = new MemoryBucket();
  const get = bucket.get.bind(bucket);
  let reads = 0;
  bucket.get = (key, options) => {
    if (key === "index") reads++;
    return get(key, options);
  };
  const storage = await ObjectStorage.open(bucket);
  const writer = await storage.create();
  for (let i = 0; i < 8; i++) await new Blob([noise(size, i + 1)]).stream().pipeTo(writer.file(`file-${i}`));
  await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
  const handler = snapshotHandler(storage, { authorize: () => true }); // so that clients are told apart
  reads = 0;
  await work(handler, () => reads, storage);
  await handler.close();
  await storage.close();
}

test("a pull of 64 MB from a bucket behind a handler reads the index four times at the most", () =>
  serving(8_000_000, async (fetch, reads) => {
    const here = new MemoryStorage();
    const { fetched } = await pull(here, [{ url: "http://bucket", fetch }], { concurrency: 3 }).result;
    assert.strictEqual(fetched, 64_000_000);
    assert.isAtMost(reads(), 4);
    await here.close();
  }));

test("ranges, files and archives by digest of a snapshot that is leased read no index at all", () =>
  serving(1_000_000, async (fetch, reads, storage) => {
    const { digest } = (await storage.list())[0]!;
    const path = `http://bucket/snapshots/${toHex(digest)}`;
    const get = async (what: string, range: string, client: string) => {
      const headers = { Range: range, Authorization: client };
      return (await bytesOf((await fetch(new Request(`${path}/${what}`, { headers }))).body!)).length;
    };
    await get("content", "bytes=0-9", "a");
    const before = reads();
    for (const client of ["a", "b"]) {
      for (const what of ["content", "files/file-3", "archive"]) {
        for (let at = 0; at < 5; at++) {
          assert.strictEqual(await get(what, `bytes=${at * 1000}-${at * 1000 + 99}`, client), 100);
        }
      }
    }
    assert.strictEqual(reads() - before, 0);
  }));
