import { decodeIndex } from "../../../src/storage/object/index.ts";
import { LocatedManifest } from "../../../src/storage/object/located_manifest.ts";
import { type Bucket, MemoryBucket } from "../../../src/object.ts";
import { FaultyBucket } from "../../support/faulty_bucket.ts";
import { inFakeTime, jumped, later } from "../../support/fake_clock.ts";
import { pause } from "../../../src/async/mod.ts";
import { assert, bytesOf, gate, noise, pieces, rejects, test, turns } from "../../support/harness.ts";
import { passing } from "../../support/passing_bucket.ts";
import { checkContent, litterOf, mixed, objectsOf, openStorage, save } from "../../support/object_storage.ts";
import { writeChunk } from "../../support/installs.ts";

const MINUTES = 60_000;
const DAYS = 24 * 3600_000;

function counted(bucket: Bucket = new MemoryBucket()): FaultyBucket {
  return new FaultyBucket(bucket, () => undefined);
}

test("object storage: of two writers of one index one wins, and the other is STALE, and leaves nothing", async () => {
  for (let round = 0; round < 5; round++) {
    const bucket = new MemoryBucket();
    const storages = await Promise.all([1, 2, 3].map(() => openStorage(bucket)));
    const contents = storages.map((_, i) => ({ a: mixed(100_000, 0, i) }));
    const outcomes = await Promise.allSettled(storages.map((storage, i) => save(storage, 7n, contents[i]!)));
    const winner = outcomes.findIndex(({ status }) => status === "fulfilled");
    assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") assert.equal(outcome.reason.code, "STALE");
    }
    for (const storage of storages) await checkContent(storage, 7n, contents[winner]!);
    for (const storage of storages) await storage.close();
    assert.deepEqual(await litterOf(bucket, 1), []);
  }
});

test("object storage: an older index after a newer one, of somebody else, is STALE", async () => {
  const bucket = new MemoryBucket();
  const [one, other] = await Promise.all([openStorage(bucket), openStorage(bucket)]);
  await one.list();
  await save(other, 10n, { a: mixed(1000, 0, 1) });
  await rejects(() => save(one, 9n, { a: mixed(1000, 0, 1) }), "STALE");
  await rejects(() => save(one, 10n, { a: mixed(1000, 0, 1) }), "STALE");
  await save(one, 11n, { a: mixed(1000, 0, 1) });
  assert.deepEqual((await other.list()).map(({ meta }) => meta.lastIncludedIndex), [11n, 10n]);
  await Promise.all([one.close(), other.close()]);
});

test("object storage: unchanged chunks are not uploaded again", async () => {
  const bucket = counted();
  const storage = await openStorage(bucket);
  const content = noise(6_000_000, 1);
  await save(storage, 1n, { a: content });
  const size = async () => (await objectsOf(bucket.bucket)).reduce((sum, { size }) => sum + size, 0);
  const before = await size();
  const changed = content.slice();
  for (let i = 0; i < 3; i++) changed[i * 2_000_000]! ^= 1;
  await save(storage, 2n, { a: changed, b: content.slice(65_536, 655_360) });
  assert.isBelow(await size() - before, 3 * 65_536 + 20_000);
  await checkContent(storage, 2n, { a: changed, b: content.slice(65_536, 655_360) });
  const other = await openStorage(bucket); // who has not written the first
  await save(other, 3n, { a: content });
  assert.isBelow(await size() - before, 6 * 65_536 + 40_000);
  await Promise.all([storage.close(), other.close()]);
});

test("object storage: of a pack that is hardly used any more nothing is used again, so that it can be deleted", async () => {
  const bucket = new MemoryBucket();
  const storage = await openStorage(bucket, { retain: 1 });
  const content = noise(3_000_000, 1);
  await save(storage, 1n, { a: content });
  const [first] = (await objectsOf(bucket)).filter(({ key }) => key.startsWith("packs/"));
  const changed = noise(3_000_000, 2);
  changed.set(content.subarray(0, 500_000));
  await save(storage, 2n, { a: changed }); // uses a sixth of the first pack
  assert.isDefined(await bucket.get(first!.key));
  changed[1_000_000]! ^= 1;
  await save(storage, 3n, { a: changed });
  await storage.collect();
  assert.isUndefined(await bucket.get(first!.key));
  await checkContent(storage, 3n, { a: changed });
  await storage.close();
  assert.deepEqual(await litterOf(bucket, 1), []);
});

test("object storage: few requests: to open, to read, and to save", async () => {
  const bucket = counted();
  const storage = await openStorage(bucket, { retain: 50 });
  const files = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`f${i}`, noise(20_000 + i, i + 1)]));
  for (let index = 1n; index <= 8n; index++) await save(storage, index, { ...files, x: noise(100, Number(index)) });
  await storage.close();
  bucket.calls.length = 0;
  const other = await openStorage(bucket, { grace: 60 * MINUTES });
  const reader = await other.open();
  assert.isAtMost(bucket.calls.length, 3);
  for (const { name } of reader.manifest.files) await bytesOf(reader.file(name));
  assert.isAtMost(bucket.calls.length, 3 + 4); // a window of one file, one of the rest, and the file that changed
  await reader.close();
  await other.close();
});

test("object storage: a range fetches what it needs, and a large file comes in few requests, several at once", async () => {
  const bucket = counted();
  const storage = await openStorage(bucket, { grace: 60 * MINUTES });
  const content = noise(10_000_000, 1);
  await save(storage, 1n, { a: content });
  const reader = await storage.open();
  let before = bucket.calls.length;
  assert.deepEqual(await bytesOf(reader.file("a", { start: 70_000, end: 140_000 })), content.slice(70_000, 140_000));
  assert.equal(bucket.calls.length - before, 1);
  before = bucket.calls.length;
  assert.deepEqual(await bytesOf(reader.file("a")), content);
  assert.isAtMost(bucket.calls.length - before, 4);
  await reader.close();
  await storage.close();
});

test("object storage: who reads what another retires reads on, for the time of grace, and as long as it says so", async () => {
  const bucket = new MemoryBucket();
  const [reading, writing] = await Promise.all([
    openStorage(bucket, { grace: 60 * MINUTES }),
    openStorage(bucket, { grace: 60 * MINUTES, retain: 1 }),
  ]);
  await save(writing, 1n, { a: noise(200_000, 1), b: noise(200_000, 2) });
  const reader = await reading.open();
  for (const index of [2n, 3n]) await save(writing, index, { a: noise(100_000, Number(index) + 5) });
  assert.equal((await writing.collect()).objects, 0);
  assert.deepEqual(await bytesOf(reader.file("a")), noise(200_000, 1));
  assert.equal((await later(59 * MINUTES, () => writing.collect())).objects, 0);
  assert.isAbove((await later(61 * MINUTES, () => writing.collect())).objects, 0);
  const error = await rejects(() => bytesOf(reader.file("b")), "NOT_FOUND"); // its clock was not seen to go on
  assert.match(error.message, /retired and collected/);
  await reader.close();
  await Promise.all([reading.close(), writing.close()]);
});

test("object storage: a long read takes a lease, and keeps what it reads", () =>
  inFakeTime(async () => {
    const bucket = new MemoryBucket();
    const reading = await openStorage(bucket, { grace: 60 * MINUTES });
    const writing = await openStorage(bucket, { grace: 0, retain: 1 });
    await save(writing, 1n, { a: noise(200_000, 1) });
    const reader = await reading.open();
    await pause(29 * MINUTES, undefined);
    assert.notInclude(await leases(bucket), "read");
    await pause(31 * MINUTES, undefined); // the lease would have run out twice
    assert.include(await leases(bucket), "read");
    for (const index of [2n, 3n]) await save(writing, index, { a: noise(100_000, Number(index) + 5) });
    await writing.collect();
    assert.deepEqual(await bytesOf(reader.file("a")), noise(200_000, 1));
    await reader.close();
    await reading.close();
    assert.notInclude(await leases(bucket), "read");
    await writing.collect();
    await writing.close();
    assert.deepEqual(await litterOf(bucket, 1), []);
  }));

for (const wait of [0, 500, 5000]) {
  test(`object storage: what a reader kept that is closed after ${wait} ms is collected, though its lease goes late`, () =>
    inFakeTime(async () => {
      const bucket = new MemoryBucket();
      const storage = await openStorage(bucket, { retain: 1 });
      await save(storage, 1n, { a: noise(200_000, 1) });
      const reading = await openStorage({
        get: (key, options) => bucket.get(key, options),
        put: (key, body, options) => pause(1000, undefined).then(() => bucket.put(key, body, options)),
        delete: (keys, options) => bucket.delete(keys, options),
        list: (options) => bucket.list(options),
      });
      const reader = await reading.open();
      await pause(wait, undefined); // its lease is not taken yet, being taken, taken
      await save(storage, 2n, { a: noise(100_000, 7) });
      await reader.close();
      await reading.collect();
      assert.deepEqual(await litterOf(bucket, 1), []);
      await Promise.all([storage.close(), reading.close()]);
    }));
}

async function leases(bucket: Bucket): Promise<string[]> {
  const found = await bucket.get("index");
  return (await decodeIndex(await bytesOf(found!.body), "index")).leases.map(({ kind }) => kind);
}

test("object storage: what a writer relies on stays as long as it writes, and what it has written too", async () => {
  const bucket = new MemoryBucket();
  const [slow, quick] = await Promise.all([openStorage(bucket), openStorage(bucket, { retain: 1 })]);
  const content = noise(5_000_000, 1);
  await save(quick, 1n, { a: content });
  const writer = await slow.create();
  await pieces(content).pipeTo(writer.file("a", { chunkSize: 65_536 })); // all of it is there already
  await pieces(noise(5_000_000, 2)).pipeTo(writer.file("b")); // a pack is on its way
  for (const index of [2n, 3n]) await save(quick, index, { a: noise(100_000, Number(index) + 5) });
  await Promise.all([quick.collect(), slow.collect(), quick.collect()]);
  await writer.commit({ lastIncludedIndex: 4n, lastIncludedTerm: 1n, peers: [] });
  await checkContent(slow, 4n, { a: content, b: noise(5_000_000, 2) });
  await quick.collect();
  await checkContent(quick, 4n, { a: content, b: noise(5_000_000, 2) });
  await Promise.all([slow.close(), quick.close()]);
});

test("object storage: who was not heard of for too long cannot commit: what it relied on may be gone", async () => {
  const bucket = new MemoryBucket();
  const [slow, quick] = await Promise.all([openStorage(bucket), openStorage(bucket, { retain: 1 })]);
  const content = noise(500_000, 1);
  await save(quick, 1n, { a: content });
  const writer = await slow.create();
  await pieces(content).pipeTo(writer.file("a", { chunkSize: 65_536 }));
  for (const index of [2n, 3n]) await save(quick, index, { a: noise(100_000, Number(index) + 5) });
  await later(11 * MINUTES, () => quick.collect());
  await rejects(() => writer.commit({ lastIncludedIndex: 4n, lastIncludedTerm: 1n, peers: [] }), "TIMEOUT");
  await save(slow, 4n, { a: content });
  await checkContent(quick, 4n, { a: content });
  await quick.collect();
  await Promise.all([slow.close(), quick.close()]);
  assert.deepEqual(await litterOf(bucket, 2), []);
});

for (const jump of [DAYS, -DAYS]) {
  test(`object storage: a wall clock that jumps by ${jump} ms ends no lease and no time of grace`, async () => {
    const bucket = new MemoryBucket();
    const grace = 60 * MINUTES;
    const [slow, quick] = await Promise.all([
      openStorage(bucket, { grace }),
      openStorage(bucket, { retain: 1, grace }),
    ]);
    const content = noise(500_000, 1);
    await save(quick, 1n, { a: content });
    const reader = await slow.open();
    const writer = await slow.create();
    await pieces(content).pipeTo(writer.file("a", { chunkSize: 65_536 }));
    // Whoever retires has the wrong time, or whoever collects.
    if (jump < 0) await jumped(jump, () => save(quick, 2n, { a: noise(100_000, 7) }));
    else await save(quick, 2n, { a: noise(100_000, 7) });
    const collected = jump < 0 ? await slow.collect() : await jumped(jump, () => quick.collect());
    assert.deepEqual([collected.objects, collected.snapshots], [0, 0]);
    assert.deepEqual(await bytesOf(reader.file("a")), content);
    await writer.commit({ lastIncludedIndex: 4n, lastIncludedTerm: 1n, peers: [] });
    await checkContent(slow, 4n, { a: content });
    await reader.close();
    assert.isAbove((await later(61 * MINUTES, () => quick.collect())).snapshots, 0, "time that has passed is believed");
    await Promise.all([slow.close(), quick.close()]);
  });

  test(`object storage: a lease is renewed in time though the wall clock of its holder jumps by ${jump} ms`, () =>
    inFakeTime(async (clock) => {
      const bucket = new MemoryBucket();
      const storage = await openStorage(bucket);
      const writer = await storage.create();
      const until = async () => {
        const { leases } = await decodeIndex(await bytesOf((await bucket.get("index"))!.body), "index");
        return leases[0]!.activeUntil;
      };
      const first = await until();
      clock.jumped = jump;
      await pause(7 * MINUTES, undefined);
      assert.isAtLeast(await until(), first + 3 * MINUTES);
      await writer.abort();
      await storage.close();
    }));
}

test("object storage: an install that is taken over by another process cannot be committed twice", async () => {
  const source = await openStorage(new MemoryBucket());
  const content = { a: noise(300_000, 1) };
  await save(source, 5n, content);
  const { manifest } = await source.open();
  const bucket = new MemoryBucket();
  const [one, other] = await Promise.all([openStorage(bucket), openStorage(bucket)]);
  const chunks = manifest.file("a").chunks!;
  const chunk = (i: number) => content.a.subarray(chunks.offset(i), chunks.offset(i) + chunks.length(i));
  const first = await one.install(manifest);
  await first.prepare();
  for (let i = 0; i < chunks.count; i++) await writeChunk(first, "a", i, chunk(i));
  const second = await other.install(manifest);
  await second.prepare();
  for (let i = 0; i < chunks.count; i++) await writeChunk(second, "a", i, chunk(i));
  const outcomes = await Promise.allSettled([first.commit(), second.commit()]);
  assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
  await first.close();
  await second.close();
  await Promise.all([source.close(), one.close(), other.close()]);
  const storage = await openStorage(bucket);
  await checkContent(storage, 5n, content);
  await later(8 * DAYS, () => storage.collect());
  await storage.close();
  assert.deepEqual(await litterOf(bucket, 1), []);
});

test("object storage: memory is bounded: a writer waits for its packs", async () => {
  const held = gate();
  let puts = 0;
  const inner = new MemoryBucket();
  const bucket = passing(inner, {
    async put(key, body, options) {
      if (key.startsWith("packs/")) {
        puts++;
        await held.promise;
      }
      return await inner.put(key, body, options);
    },
  });
  const storage = await openStorage(bucket);
  let written = 0;
  const writer = await storage.create({ onBytes: (bytes) => written += bytes });
  const done = pieces(noise(40_000_000, 1), 1_000_000).pipeTo(writer.file("a"));
  while (puts < 3) await turns(1);
  await turns(200);
  assert.equal(puts, 3);
  assert.isBelow(written, 32_000_000); // four packs of 4 MiB, and what the file's sink holds
  held.open();
  await done;
  await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
  await checkContent(storage, 1n, { a: noise(40_000_000, 1) });
  await storage.close();
});

test("object storage: a snapshot of very many chunks is as it was", async () => {
  const bucket = new MemoryBucket();
  const storage = await openStorage(bucket);
  const writer = await storage.create();
  const bytes = noise(16_500 * 64, 3);
  const file = writer.file("a", { chunkSize: "pieces" }).getWriter();
  for (let at = 0; at < bytes.length; at += 64) await file.write(bytes.subarray(at, at + 64));
  await file.close();
  await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
  const [manifest] = (await objectsOf(bucket)).filter(({ key }) => key.startsWith("manifests/"));
  const { packs } = await LocatedManifest.decode(await bytesOf((await bucket.get(manifest!.key))!.body), "it");
  assert.equal(packs.length, 2); // of 16,384 chunks at most
  const reader = await storage.open();
  for (const at of [0, 16_384 * 64 - 50_000, bytes.length - 50_000]) { // where a pack begins, or ends
    assert.deepEqual(await bytesOf(reader.file("a", { start: at, end: at + 100_000 })), bytes.slice(at, at + 100_000));
  }
  await reader.close();
  await storage.close();
});

test("object storage: what is begun while garbage is being collected is left alone", async () => {
  const inner = new MemoryBucket();
  let meanwhile = async () => {};
  const bucket = passing(inner, {
    async list(options) {
      const work = meanwhile;
      meanwhile = async () => {};
      await work();
      return await inner.list(options);
    },
  });
  const [collecting, writing] = await Promise.all([openStorage(bucket), openStorage(inner)]);
  await save(writing, 1n, { a: noise(100_000, 1) });
  const writer = await (async () => {
    const { promise, open } = gate<Awaited<ReturnType<typeof writing.create>>>();
    meanwhile = async () => {
      const writer = await writing.create();
      await pieces(noise(5_000_000, 2)).pipeTo(writer.file("a")); // a pack goes up, or is up
      while ((await objectsOf(inner)).filter(({ key }) => key.startsWith("packs/")).length < 2) {
        await turns(1);
      }
      open(writer);
    };
    await collecting.collect();
    return await promise;
  })();
  await writer.commit({ lastIncludedIndex: 2n, lastIncludedTerm: 1n, peers: [] });
  await checkContent(writing, 2n, { a: noise(5_000_000, 2) });
  await Promise.all([collecting.close(), writing.close()]);
});
