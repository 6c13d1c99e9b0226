import { SnapshotError } from "../../../mod.ts";
import { pause } from "../../../src/async/mod.ts";
import { type Bucket, MemoryBucket, type ObjectStorage } from "../../../src/object.ts";
import { FaultyBucket } from "../../support/faulty_bucket.ts";
import { inFakeTime, later } from "../../support/fake_clock.ts";
import { assert, bytesOf, gate, rejects, test, turns } from "../../support/harness.ts";
import {
  checkContent,
  type Content,
  litterOf,
  mixed,
  objectsOf,
  openStorage,
  save,
} from "../../support/object_storage.ts";
import { passing } from "../../support/passing_bucket.ts";

const DAYS = 24 * 3600_000;

function contentOf(seed: number): Content {
  return { a: mixed(200_000, 130_000, seed), b: mixed(70_000, 0, seed >> 1) };
}

test("object storage: what comes wrong once is asked for again; what is wrong is found, put aside, and the older one used", async () => {
  for (const fault of ["flipped", "other"] as const) {
    const bucket = new MemoryBucket();
    const seen = new Set<string>();
    const faulty = new FaultyBucket(bucket, ({ verb, key }) => {
      if (verb !== "get" || seen.has(key)) return undefined;
      seen.add(key);
      return fault;
    });
    const storage = await openStorage(faulty);
    await save(storage, 1n, contentOf(1));
    await save(storage, 2n, contentOf(2));
    await storage.close();
    seen.clear();
    const reopened = await openStorage(faulty);
    for (const index of [2n, 1n]) await checkContent(reopened, index, contentOf(Number(index)));
    await reopened.close();
  }
});

/** Replaces objects of a bucket. */
async function damage(bucket: Bucket, prefix: string, change: (bytes: Uint8Array) => Uint8Array | undefined) {
  for (const { key } of await objectsOf(bucket)) {
    if (!key.startsWith(prefix)) continue;
    const changed = change((await bytesOf((await bucket.get(key))!.body)).slice());
    if (changed === undefined) await bucket.delete([key]);
    else await bucket.put(key, changed);
  }
}

async function withTwo(
  work: (bucket: MemoryBucket, newest: string, storage: ObjectStorage) => Promise<void>,
): Promise<void> {
  const bucket = new MemoryBucket();
  const storage = await openStorage(bucket);
  try {
    await save(storage, 1n, { a: mixed(200_000, 0, 1) });
    const before = new Set((await objectsOf(bucket)).map(({ key }) => key));
    await save(storage, 2n, { a: mixed(200_000, 0, 2) });
    const [pack] = (await objectsOf(bucket)).filter(({ key }) => key.startsWith("packs/") && !before.has(key));
    await work(bucket, pack!.key.split("/")[1]!, storage);
  } finally {
    await storage.close();
  }
}

test("object storage: damage that stays is CORRUPT, by name; the snapshot is quarantined, and the one before is there", async () => {
  const flip = (bytes: Uint8Array) => {
    bytes[bytes.length >> 2]! ^= 1;
    return bytes;
  };
  for (const what of ["packs", "manifests"]) {
    for (const change of [flip, (bytes: Uint8Array) => bytes.subarray(0, bytes.length >> 2)]) {
      await withTwo(async (bucket, newest) => {
        await damage(bucket, `${what}/${newest}`, change);
        const warnings: SnapshotError[] = [];
        const storage = await openStorage(bucket, { onWarning: (error) => warnings.push(error) });
        const error = await rejects(async () => {
          const reader = await storage.open();
          try {
            await bytesOf(reader.file("a"));
          } finally {
            await reader.close();
          }
        }, "CORRUPT");
        assert.match(error.message, what === "packs" ? /pack|Chunk/i : /manifests\//);
        await storage.close();
        assert.match(warnings[0]!.message, /^Snapshot 2 was found bad/);
        const again = await openStorage(bucket);
        await checkContent(again, 1n, { a: mixed(200_000, 0, 1) });
        assert.equal((await again.list()).length, 1);
        await save(again, 2n, { a: mixed(200_000, 0, 2) }); // nothing of what is bad is used again
        await checkContent(again, 2n, { a: mixed(200_000, 0, 2) });
        await again.close();
      });
    }
  }
});

test("object storage: verify lists the chunks of a pack that is gone", async () => {
  await withTwo(async (bucket, newest, storage) => {
    await damage(bucket, `packs/${newest}`, () => undefined);
    const reader = await storage.open(2n);
    const { ok, bad } = await reader.verify().result;
    assert.isFalse(ok);
    assert.equal(bad.length, 4);
    assert.match(bad[0]!.message, /is not there, or not for us/);
    await reader.close();
  });
});

test("object storage: an index that was damaged, or that a newer release wrote, is left alone", async () => {
  await withTwo(async (bucket, _newest, storage) => {
    await damage(bucket, "index", (bytes) => {
      bytes[40]! ^= 1;
      return bytes;
    });
    const before = await objectsOf(bucket);
    await rejects(() => openStorage(bucket), "CORRUPT");
    await rejects(() => storage.list(), "CORRUPT");
    await rejects(() => storage.collect(), "CORRUPT");
    assert.deepEqual(await objectsOf(bucket), before);
  });
});

test("object storage: an index that is lost takes nothing with it", async () => {
  await withTwo(async (bucket) => {
    await bucket.delete(["index"]);
    const before = (await objectsOf(bucket)).length;
    const storage = await openStorage(bucket);
    assert.deepEqual(await storage.list(), []);
    for (let index = 1n; index < 10n; index++) await save(storage, index, { a: mixed(70_000, 0, Number(index)) });
    await later(DAYS, () => storage.collect());
    await storage.close();
    assert.equal((await objectsOf(bucket)).length, before + 5); // two snapshots with a pack each, and the index
  });
});

test("object storage: a manifest that cannot be read stops the collection: what it uses is not known", async () => {
  await withTwo(async (bucket, newest) => {
    const storage = await openStorage(bucket);
    await save(storage, 3n, { a: mixed(70_000, 0, 3) });
    await storage.close();
    await damage(bucket, `manifests/${newest}`, (bytes) => bytes.subarray(1));
    const before = (await objectsOf(bucket)).map(({ key }) => key);
    const again = await openStorage(bucket);
    await rejects(() => later(DAYS, () => again.collect()), "CORRUPT");
    await again.close();
    assert.includeMembers((await objectsOf(bucket)).map(({ key }) => key), before);
  });
});

test("object storage: no permission, no bucket, no space: said as it is, nothing tried twice, nothing left", async () => {
  for (const code of ["FORBIDDEN", "NOT_FOUND", "NO_SPACE"] as const) {
    const bucket = new MemoryBucket();
    const storage = await openStorage(bucket);
    await save(storage, 1n, contentOf(1));
    await storage.close();
    let refused = 0;
    const limited: Bucket = {
      get: (key, options) => bucket.get(key, options),
      list: (options) => bucket.list(options),
      delete: (keys, options) => bucket.delete(keys, options),
      put(key, body, options) {
        if (!key.startsWith("packs/")) return bucket.put(key, body, options);
        refused++;
        return Promise.reject(new SnapshotError(code, "It is refused"));
      },
    };
    const other = await openStorage(limited);
    await rejects(() => save(other, 2n, contentOf(2)), code);
    assert.equal(refused, 1);
    assert.equal((await other.list()).length, 1);
    await other.close();
    assert.deepEqual(await litterOf(bucket, 1), []);
  }
});

test("object storage: a request of which nothing comes is given up, and made again", async () => {
  await inFakeTime(async () => {
    let hangs = 2;
    const faulty = new FaultyBucket(new MemoryBucket(), ({ key }) => {
      return key.startsWith("packs/") && hangs-- > 0 ? "hang" : undefined;
    });
    const storage = await openStorage(faulty, { grace: 1e9 });
    await save(storage, 1n, contentOf(1));
    await storage.close();
    hangs = Infinity;
    const stuck = await openStorage(faulty, { grace: 1e9 });
    await rejects(() => save(stuck, 2n, contentOf(2)), "TIMEOUT");
    await stuck.close();
  });
});

/** Passes all on, and does something after puts of the index. */
function afterIndexPut(inner: Bucket, what: (puts: number) => Promise<void>, beforeGet = () => {}): Bucket {
  let puts = 0;
  return passing(inner, {
    get(key, options) {
      if (key === "index") beforeGet();
      return inner.get(key, options);
    },
    async put(key, body, options) {
      const result = await inner.put(key, body, options);
      if (key === "index" && result !== undefined) await what(++puts);
      return result;
    },
  });
}

test("object storage: a commit whose answer is lost, and after which others commit, is known to be done", async () => {
  const inner = new MemoryBucket();
  const other = await openStorage(inner, { retain: 1, grace: 3600_000 });
  const bucket = afterIndexPut(inner, async (puts) => {
    if (puts !== 2) return; // the lease, and the commit
    await save(other, 5n, contentOf(5));
    throw new SnapshotError("UNAVAILABLE", "The answer is lost");
  });
  const storage = await openStorage(bucket);
  const { meta } = await save(storage, 4n, contentOf(4));
  assert.equal(meta.lastIncludedIndex, 4n);
  assert.deepEqual((await storage.list()).map(({ meta }) => meta.lastIncludedIndex), [5n]); // which has retired it
  await Promise.all([storage.close(), other.close()]);
});

test("object storage: a commit of which nothing is heard any more, but that was done, is whole", async () => {
  await inFakeTime(async () => {
    const inner = new MemoryBucket();
    let failing = 0;
    const lost = () => new SnapshotError("UNAVAILABLE", "Nothing is heard");
    const bucket = afterIndexPut(inner, (puts) => {
      if (puts === 2) failing = 5; // all tries of the look whether it was done
      return puts === 2 ? Promise.reject(lost()) : Promise.resolve();
    }, () => {
      if (failing-- > 0) throw lost();
    });
    const storage = await openStorage(bucket, { grace: 1e9 });
    await rejects(() => save(storage, 4n, contentOf(4)), "UNAVAILABLE");
    await checkContent(storage, 4n, contentOf(4));
    await save(storage, 5n, contentOf(5));
    await storage.close();
  });
});

test("object storage: once one was found bad, nothing is used again of those that were there with it", async () => {
  const bucket = new MemoryBucket();
  const storage = await openStorage(bucket);
  const shared = mixed(200_000, 0, 1);
  await save(storage, 1n, { a: shared });
  await save(storage, 2n, { a: shared, b: mixed(1000, 0, 2) });
  await storage.close();
  for (const { key, size } of await objectsOf(bucket)) {
    if (!key.startsWith("packs/") || size < 100_000) continue;
    await damage(bucket, key, (bytes) => {
      bytes[150_000]! ^= 1;
      return bytes;
    });
  }
  const found = gate<SnapshotError>();
  const again = await openStorage(bucket, { onWarning: found.open });
  const reader = await again.open();
  await rejects(() => bytesOf(reader.file("a")), "CORRUPT");
  await reader.close();
  await found.promise;
  while ((await again.list()).length > 1) await turns(1);
  await save(again, 3n, { a: shared }); // as snapshot 1 has it, where it is as bad
  await checkContent(again, 3n, { a: shared });
  await again.close();
});

test("object storage: a renewal of a lease that fails is reported and counted, retried, and counted anew after one that succeeds", async () => {
  await inFakeTime(async () => {
    const inner = new MemoryBucket();
    let isRefused = false;
    const bucket = passing(inner, {
      put: (key, body, options) =>
        isRefused ? Promise.reject(new SnapshotError("FORBIDDEN", "It is refused")) : inner.put(key, body, options),
    });
    const warnings: string[] = [];
    const storage = await openStorage(bucket, { onWarning: ({ message }) => warnings.push(message) });
    const writer = await storage.create();
    const counted = () => warnings.splice(0).map((message) => /renewed, (\d+) times in a row/.exec(message)?.[1]);
    isRefused = true;
    await pause(11 * 60_000, undefined);
    assert.deepEqual(counted(), ["1", "2", "3"]);
    isRefused = false;
    await pause(4 * 60_000, undefined);
    assert.deepEqual(counted(), []);
    isRefused = true;
    await pause(4 * 60_000, undefined);
    assert.deepEqual(counted(), ["1"]);
    await writer.abort();
    await pause(60 * 60_000, undefined);
    assert.deepEqual(counted(), []); // nothing is renewed that is not held
    await storage.close();
  });
});

test("object storage: a bucket that passes conditions over is refused", async () => {
  for (const condition of ["ifNoneMatch", "ifMatch"] as const) {
    const inner = new MemoryBucket();
    const bucket = passing(inner, {
      put: (key, body, { [condition]: _, ...options } = {}) => inner.put(key, body, options),
    });
    const storage = await openStorage(bucket);
    const error = await rejects(() => storage.create(), "UNSUPPORTED");
    assert.match(error.message, condition === "ifMatch" ? /If-Match/ : /If-None-Match/);
    await storage.close();
  }
});
