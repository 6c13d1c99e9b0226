import fc from "fast-check";
import {
  archive,
  decryptedReader,
  EncryptedStorage,
  encryptedWriter,
  type EncryptionKey,
  KeyedState,
  MemoryStorage,
  openRemote,
  pull,
  snapshotHandler,
  type SnapshotStorage,
  streamedArchive,
  stringKeys,
  unarchive,
  utf8Codec,
} from "../../mod.ts";
import { storageConformance } from "../../src/testing/mod.ts";
import { equal, toHex } from "../../src/stream/mod.ts";
import { assert, bytesOf, noise, pieces, rejects, test, testAll } from "../support/harness.ts";
import { runs } from "../support/random.ts";
import { save } from "../support/samples.ts";

const key = (id: string): EncryptionKey => ({ id, secret: noise(32, id.charCodeAt(0)) });

// But for those that know how large what is stored is.
testAll(
  "encrypted storage",
  storageConformance(() => {
    const storage = new EncryptedStorage(new MemoryStorage(), [key("a")]);
    return Promise.resolve({ storage, cleanUp: () => Promise.resolve() });
  }).filter(({ name }) =>
    !/^what was committed|^pieces as chunks|^files are reused|^an install: (verified|the same|what has come)|^an install's check/
      .test(name)
  ),
);

async function storedBytes(storage: SnapshotStorage, name: string): Promise<Uint8Array> {
  const reader = await storage.open();
  try {
    return await bytesOf(reader.file(name, { raw: true }));
  } finally {
    await reader.close();
  }
}

test("encrypted: any ranges of any files, in chunks of one size or in pieces", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 100_000 }), { minLength: 1, maxLength: 5 }),
      fc.boolean(),
      fc.array(fc.tuple(fc.nat(400_000), fc.nat(400_000)), { minLength: 1, maxLength: 6 }),
      async (lengths, inPieces, ranges) => {
        const storage = new EncryptedStorage(new MemoryStorage(), [key("a")]);
        const writer = await storage.create();
        const sink = writer.file("f", { chunkSize: inPieces ? "pieces" : 65_536 }).getWriter();
        const content = noise(lengths.reduce((a, b) => a + b), 5);
        let at = 0;
        for (const length of lengths) await sink.write(content.slice(at, at += length));
        await sink.close();
        await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
        const reader = await storage.open();
        assert.strictEqual(await reader.size("f"), content.length);
        assert.isTrue(equal(await bytesOf(reader.file("f")), content));
        for (const [start, end] of ranges) {
          if (start > end) continue;
          assert.isTrue(equal(await bytesOf(reader.file("f", { start, end })), content.slice(start, end)));
        }
        assert.isTrue((await reader.verify().result).ok);
        await storage.close();
      },
    ),
    { numRuns: runs(60) },
  );
});

test("encrypted: nothing of it can be read where it is stored; what is equal stays equal, and is reused", async () => {
  const inner = new MemoryStorage();
  const storage = new EncryptedStorage(inner, [key("a")]);
  const text = new TextEncoder().encode("attack at dawn ".repeat(20_000));
  await save(storage, 1n, { state: text });
  const stored = await storedBytes(inner, "state");
  assert.notInclude(new TextDecoder("latin1").decode(stored), "attack");
  assert.strictEqual(stored.length, text.length + 28 * Math.ceil(text.length / (262_144 - 28)));
  await save(storage, 2n, { state: text });
  const again = await storedBytes(inner, "state");
  assert.isTrue(equal(stored, again));
  await storage.close();
});

test("encrypted: pulled, served and archived as it is, by nodes without the key; read only with it", async () => {
  const storage = new EncryptedStorage(new MemoryStorage(), [key("a")]);
  const content = noise(500_000, 1);
  await save(storage, 9n, { state: content });
  const handler = snapshotHandler(storage);
  const between = new MemoryStorage();
  await pull(between, [{ url: "http://a", fetch: handler }]).result;
  assert.isFalse(equal(await storedBytes(between, "state"), content));
  const second = snapshotHandler(between);
  const there = new EncryptedStorage(new MemoryStorage(), [key("b"), key("a")]);
  await pull(there, [{ url: "http://b", fetch: second }]).result;
  const reader = await there.open();
  assert.isTrue(equal(await bytesOf(reader.file("state")), content));
  const remote = decryptedReader(await openRemote({ url: "http://b", fetch: second }), [key("a")]);
  const part = await bytesOf(remote.file("state", { start: 300_000, end: 300_010 }));
  assert.isTrue(equal(part, content.slice(300_000, 300_010)));
  await remote.close();
  const stranger = new EncryptedStorage(new MemoryStorage(), [key("b")]);
  await rejects(pull(stranger, [{ url: "http://b", fetch: second }]).result, "FORBIDDEN");
  await rejects(unarchive(archive(await between.open()), stranger).result, "FORBIDDEN");
  const copy = new EncryptedStorage(new MemoryStorage(), [key("a")]);
  await unarchive(archive(await between.open()), copy).result;
  assert.isTrue(equal(await bytesOf((await copy.open()).file("state")), content));
  await Promise.all([handler.close(), second.close()]);
  await Promise.all([storage, between, there, stranger, copy].map((each) => each.close()));
});

test("encrypted: what is not encrypted, or was put together by who has no key, is neither read nor taken in", async () => {
  const inner = new MemoryStorage();
  const storage = new EncryptedStorage(inner, [key("a")]);
  await save(inner, 1n, { state: noise(10, 1) });
  await rejects(async () => await bytesOf((await storage.open()).file("state")), "FORBIDDEN");
  await rejects(
    unarchive(archive(await inner.open()), new EncryptedStorage(new MemoryStorage(), [key("a")])).result,
    "FORBIDDEN",
  );
  // Two files change places: every chunk is right, and every digest.
  await save(storage, 2n, { a: noise(1000, 1), b: noise(1000, 2) });
  const { manifest: { files } } = await storage.open();
  const writer = await inner.create();
  for (const [name, other] of [["a", "b"], ["b", "a"]] as const) {
    const { encryption } = files.find((file) => file.name === name)!;
    await pieces(await storedBytes(inner, other)).pipeTo(
      writer.file(name, { encryption: () => Promise.resolve(encryption) }),
    );
  }
  await writer.commit({ lastIncludedIndex: 3n, lastIncludedTerm: 1n, peers: [] });
  await rejects(() => storage.open(3n), "FORBIDDEN");
  await rejects(bytesOf(decryptedReader(await inner.open(3n), [key("a")]).file("a")), "FORBIDDEN");
  await storage.close();
});

test("encrypted: sent as it is written, to somebody who stores it encrypted", async () => {
  const there = new EncryptedStorage(new MemoryStorage(), [key("a")]);
  const meta = { lastIncludedIndex: 9n, lastIncludedTerm: 1n, peers: [] };
  const content = noise(300_000, 1);
  const plain = streamedArchive(meta, (writer) => pieces(content).pipeTo(writer.file("state")));
  await rejects(unarchive(plain, there).result, "FORBIDDEN");
  assert.deepEqual(await there.list(), []);
  const sealed = streamedArchive(
    meta,
    (writer) => pieces(content).pipeTo(encryptedWriter(writer, key("a")).file("state")),
  );
  await unarchive(sealed, there).result;
  assert.isTrue(equal(await bytesOf((await there.open()).file("state")), content));
  await there.close();
});

test("encrypted: keyed state, incremental, in sub-ranges", async () => {
  const storage = new EncryptedStorage(new MemoryStorage(), [key("a")]);
  const state = new KeyedState({ keys: stringKeys(), incremental: true });
  const values = state.value("values", utf8Codec());
  for (let round = 1; round <= 3; round++) {
    for (let i = 0; i < 2000; i++) if (round === 1 || i % 50 === round) values.set(`key ${i}`, `${round}`);
    const writer = await storage.create();
    const task = state.save()!;
    await task.write(writer, new AbortController().signal);
    const info = await writer.commit({ lastIncludedIndex: BigInt(round), lastIncludedTerm: 1n, peers: [] });
    task.committed?.(info);
    task.release();
    if (round > 1) assert.isAtLeast(info.files, 2);
  }
  const part = new KeyedState({ keys: stringKeys(), range: { first: 10, last: 60 } });
  const loaded = part.value("values", utf8Codec());
  await part.load(await storage.open());
  let count = 0;
  for (const [name, value] of loaded.entries()) {
    assert.strictEqual(value, values.get(name));
    count++;
  }
  assert.isAbove(count, 500);
  await storage.close();
});

test("encrypted: keys that are none", async () => {
  for (const keys of [[], [{ id: "", secret: noise(32, 1) }], [{ id: "a", secret: noise(31, 1) }]]) {
    await rejects(() => new EncryptedStorage(new MemoryStorage(), keys), "MALFORMED");
  }
  const secret = await crypto.subtle.importKey("raw", noise(32, 97), "HKDF", false, ["deriveKey"]);
  const storage = new EncryptedStorage(new MemoryStorage(), [{ id: "a", secret }]);
  await save(storage, 1n, { state: noise(100, 1) });
  const stored = await storedBytes(storage, "state");
  const same = new EncryptedStorage(new MemoryStorage(), [key("a")]); // the same 32 bytes
  await save(same, 1n, { state: noise(100, 1) });
  assert.strictEqual(toHex(await storedBytes(same, "state")), toHex(stored));
  await Promise.all([storage.close(), same.close()]);
});
