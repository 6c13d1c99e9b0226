import fc from "fast-check";
import { MemoryStorage, type SnapshotStorage, unarchive } from "../../mod.ts";
import { archiveMagic } from "../../src/snapshot/archive/records.ts";
import { concat, toHex } from "../../src/stream/mod.ts";
import { assert, bytesOf, gate, noise, pieces, rejects, test, turns } from "../support/harness.ts";
import { archiveOf, joined, KINDS, recordsOf, refused, refusedOrSame, testKinds } from "../support/archives.ts";
import { save, storageWith } from "../support/samples.ts";

const CHUNK = 65_536;

testKinds("any files, in any pieces", async (make) => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom(0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5), { maxLength: 5 }),
      fc.integer({ min: 1000, max: 300_000 }),
      async (sizes, piece) => {
        const files = Object.fromEntries(sizes.map((size, i) => [`d${i}/😀`, noise(size, i + 1)]));
        const storage = await storageWith(5n, files);
        const reader = await storage.open();
        const other = new MemoryStorage();
        const info = await unarchive(pieces(await bytesOf(make(reader)), piece), other).result;
        assert.strictEqual(toHex(info.digest), toHex(reader.manifest.digest));
        const copy = await other.open();
        for (const [name, content] of Object.entries(files)) {
          assert.strictEqual(toHex(await bytesOf(copy.file(name))), toHex(content));
        }
        await storage.close();
        await other.close();
      },
    ),
    { numRuns: 25 },
  );
});

testKinds("it takes any pieces, down to single bytes", async (make) => {
  const storage = new MemoryStorage();
  const whole = await archiveOf({ a: noise(500, 1) }, make);
  await unarchive(pieces(whole, 1), storage).result;
  assert.strictEqual((await storage.list()).length, 1);
});

testKinds("records swapped, left out, and twice", async (make) => {
  const files = { a: noise(3 * CHUNK, 1), b: noise(2 * CHUNK, 2), c: noise(0, 1) };
  const records = await recordsOf(await archiveOf(files, make));
  const { digest } = await unarchive(pieces(joined(records)), new MemoryStorage()).result;
  for (let i = 0; i < records.length; i++) {
    await refused(joined(records.toSpliced(i, 1)), `without record ${i}`);
    await refused(joined(records.toSpliced(i, 0, records[i]!)), `record ${i} twice`);
    if (i > 0) {
      // One file may begin while another is still on its way.
      const swapped = joined(records.toSpliced(i - 1, 2, records[i]!, records[i - 1]!));
      await refusedOrSame(swapped, digest, `${i - 1} and ${i} swapped`);
    }
    for (const type of [0, 1, 2, 3, 4, 5, 6, 7, 255]) {
      if (type === records[i]!.type) continue;
      await refused(joined(records.with(i, { ...records[i]!, type })), `record ${i} as type ${type}`);
    }
    await refused(joined(records.with(i, { ...records[i]!, payload: new Uint8Array(0) })), `record ${i} empty`);
  }
});

test("archive: chunk sizes that are not allowed", async () => {
  const records = await recordsOf(await archiveOf({ a: noise(10, 1) }, KINDS.streamed));
  for (const size of [0, 1, 65_535, 4 * 1024 * 1024 + 1, 2 ** 32 - 1]) {
    const payload = records[1]!.payload.slice();
    new DataView(payload.buffer).setUint32(0, size);
    await refused(joined(records.with(1, { type: 2, payload })), `chunks of ${size}`);
  }
});

test("archive: lengths over what a record may have are refused before anything of it comes", async () => {
  const limits = [[1, 1 << 20], [2, 16 << 20], [3, (4 << 20) + 36], [4, 12 + 32_768 * 8 + 32 + 4096], [5, 1068], [
    6,
    64 << 20,
  ]];
  for (const [type, limit] of [...limits, [7, (4 << 20) + 4]] as [number, number][]) {
    for (const length of [limit + 1, 2 ** 32 - 1]) {
      const head = new Uint8Array(5);
      head[0] = type;
      new DataView(head.buffer).setUint32(1, length);
      await rejects(unarchive(pieces(concat([archiveMagic(), head])), new MemoryStorage()).result, "MALFORMED");
    }
  }
});

test("archive: what is no archive", async () => {
  for (const text of ["", "x", "<html>502 Bad Gateway</html>", "PK\x03\x04 and more of it"]) {
    await refused(new TextEncoder().encode(text), text);
  }
  const newer = await archiveOf({});
  newer[8] = 2;
  assert.strictEqual((await refused(newer, "version 2")).code, "UNSUPPORTED");
  const textMode = new TextEncoder().encode(String.fromCharCode(...await archiveOf({ a: noise(10, 1) })));
  assert.strictEqual((await refused(textMode, "as text")).code, "MALFORMED");
});

testKinds("another index than the one that was asked for, and one that is too old", async (make) => {
  const whole = await archiveOf({ a: noise(10, 1) }, make);
  const storage = new MemoryStorage();
  await rejects(unarchive(pieces(whole), storage, { index: 6n }).result, "MALFORMED");
  await save(storage, 5n, {});
  await rejects(unarchive(pieces(whole), storage).result, "STALE");
  assert.strictEqual((await storage.list())[0]!.files, 0);
});

testKinds("a source that stalls, anywhere, is left when the signal fires", async (make) => {
  const whole = await archiveOf({ a: noise(3 * CHUNK, 1) }, make);
  for (const length of [0, 5, 30, 300, CHUNK, 2 * CHUNK + 500, whole.length - 10]) {
    const storage = new MemoryStorage();
    const stop = new AbortController();
    const cancelled = gate<unknown>();
    const source = new ReadableStream<Uint8Array>({
      start: (controller) => controller.enqueue(whole.slice(0, length)),
      cancel: (reason) => cancelled.open(reason),
    });
    const { result } = unarchive(source, storage, { signal: stop.signal });
    await turns(5);
    stop.abort("enough");
    const error = await rejects(result, "CANCELLED");
    assert.strictEqual(error.cause, "enough");
    assert.strictEqual(await cancelled.promise, "enough");
    await save(storage, 1n, { a: noise(10, 1) });
    await storage.close();
  }
});

testKinds("a source that fails gives its own error, and nothing stays", async (make) => {
  const whole = await archiveOf({ a: noise(3 * CHUNK, 1) }, make);
  const error = new Error("connection reset");
  const storage = new MemoryStorage();
  let sent = false;
  const source = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (sent) controller.error(error);
      else controller.enqueue(whole.slice(0, 2 * CHUNK));
      sent = true;
    },
  }, { highWaterMark: 0 });
  assert.strictEqual(await unarchive(source, storage).result.catch((thrown) => thrown), error);
  assert.deepEqual(await storage.list(), []);
  await save(storage, 1n, {});
});

test("archive: a snapshot is being written meanwhile", async () => {
  const storage: SnapshotStorage = new MemoryStorage();
  const writer = await storage.create();
  let cancelled = false;
  const whole = await archiveOf({ a: noise(10, 1) }, KINDS.streamed);
  const source = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(whole),
    cancel: () => void (cancelled = true),
  });
  await rejects(unarchive(source, storage).result, "BUSY");
  assert.isTrue(cancelled);
  await writer.abort();
  await storage.close();
});

testKinds("cancelling it lets the files of its reader go", async (make) => {
  const storage = await storageWith(5n, { a: noise(20 * CHUNK, 1), b: noise(10, 1) });
  const reader = await storage.open();
  let open = 0;
  const file = reader.file.bind(reader);
  reader.file = (name, range) => {
    open++;
    const source = file(name, range).getReader();
    return new ReadableStream({
      async pull(controller) {
        const { done, value } = await source.read();
        if (!done) return controller.enqueue(value);
        open--;
        controller.close();
      },
      async cancel(reason) {
        await source.cancel(reason);
        open--;
      },
    }, { highWaterMark: 0 });
  };
  for (const reads of [0, 1, 3, 10, 20]) {
    const stream = make(reader).getReader();
    for (let i = 0; i < reads; i++) await stream.read();
    await stream.cancel();
    assert.strictEqual(open, 0, `after ${reads} reads`);
  }
  await storage.close();
});

testKinds("a reader that is closed under it fails it with CLOSED", async (make) => {
  const storage = await storageWith(5n, { a: noise(20 * CHUNK, 1) });
  const reader = await storage.open();
  const stream = make(reader).getReader();
  await stream.read();
  await reader.close();
  await rejects(async () => {
    while (!(await stream.read()).done);
  }, "CLOSED");
});
