// Somebody without the secret, who may write to wherever encrypted snapshots are kept or passed on, puts one together.

import fc from "fast-check";
import {
  archive,
  decryptedReader,
  ed25519Signer,
  ed25519Verifier,
  EncryptedStorage,
  encryptedWriter,
  type EncryptionKey,
  type FileInfo,
  KeyValueMachine,
  MemoryLog,
  MemoryStorage,
  pull,
  pushLive,
  Replica,
  snapshotHandler,
  SnapshotManifest,
  type SnapshotMeta,
  type SnapshotReader,
  type SnapshotStorage,
  streamedArchive,
  unarchive,
  utf8Codec,
} from "../../mod.ts";
import { MemoryBucket, ObjectStorage } from "../../src/object.ts";
import { equal, toHex } from "../../src/stream/mod.ts";
import { assert, bytesOf, noise, pieces, rejects, test } from "../support/harness.ts";
import { runs } from "../support/random.ts";

const KEY: EncryptionKey = { id: "2026", secret: noise(32, 1) };
const OTHER: EncryptionKey = { id: "2026", secret: noise(32, 2) };
const NEXT: EncryptionKey = { id: "2027", secret: noise(32, 3) };

/** What is stored of a snapshot, and can be put together otherwise. */
interface Stored {
  readonly meta: SnapshotMeta;
  readonly digest: Uint8Array;
  readonly files: readonly FileInfo[];
  readonly bytes: ReadonlyMap<string, Uint8Array>;
}

async function storedOf(storage: SnapshotStorage, index?: bigint): Promise<Stored> {
  const reader = await storage.open(index);
  const bytes = new Map<string, Uint8Array>();
  for (const { name } of reader.manifest.files) bytes.set(name, await bytesOf(reader.file(name, { raw: true })));
  await reader.close();
  return { meta: reader.meta, digest: reader.manifest.digest, files: reader.manifest.files, bytes };
}

/** Two snapshots of one group, with files that are the same, that changed, and that are in one only. */
async function twoSnapshots(): Promise<readonly Stored[]> {
  const inner = new MemoryStorage({ group: "users" });
  const storage = new EncryptedStorage(inner, [KEY]);
  for (const index of [1n, 2n]) {
    const writer = await storage.create();
    const seed = Number(index);
    const files = { same: noise(500, 9), state: noise(700, seed), [`only-${index}`]: noise(90, seed) };
    for (const [name, content] of Object.entries(files)) await pieces(content).pipeTo(writer.file(name));
    const peers = [`10.0.0.${index}`];
    await writer.commit({ lastIncludedIndex: index * 10n, lastIncludedTerm: index, peers, createdAt: seed });
  }
  const both = [await storedOf(inner, 10n), await storedOf(inner, 20n)];
  await storage.close();
  return both;
}

/** Puts a snapshot into a storage as it is, behind the back of whoever decrypts. */
async function plant(
  storage: SnapshotStorage,
  meta: SnapshotMeta,
  files: readonly FileInfo[],
  bytesFor: (name: string) => Uint8Array,
): Promise<void> {
  const writer = await storage.create({ raw: true });
  for (const { name, encryption, checksum, chunks } of files) {
    const { chunking } = chunks!;
    const options = {
      chunkSize: "chunkSize" in chunking ? chunking.chunkSize : "pieces" as const,
      encryption: () => Promise.resolve(encryption),
      ...(checksum !== undefined && { checksum }),
    };
    await pieces(bytesFor(name)).pipeTo(writer.file(name, options));
  }
  await writer.commit(meta);
}

/** Fails unless nobody who has the secret takes in, opens, reads or loads what lies in a storage. */
async function isRefused(planted: MemoryStorage, what: string): Promise<void> {
  const { meta } = (await planted.list())[0]!;
  const storage = new EncryptedStorage(planted, [KEY]);
  for (const index of [undefined, meta.lastIncludedIndex]) await rejects(() => storage.open(index), "FORBIDDEN");
  const reader = await planted.open();
  const decrypted = decryptedReader(reader, [KEY]);
  for (const { name } of reader.manifest.files) {
    await rejects(bytesOf(decrypted.file(name)), "FORBIDDEN");
    await rejects(decrypted.size(name), "FORBIDDEN");
  }
  const there = new EncryptedStorage(new MemoryStorage(), [KEY]);
  await rejects(unarchive(archive(reader), there).result, "FORBIDDEN");
  await rejects(there.install(reader.manifest), "FORBIDDEN");
  const streamed = streamedArchive(reader.meta, async (writer) => {
    for (const { name, encryption } of reader.manifest.files) {
      const options = { chunkSize: 65_536, encryption: () => Promise.resolve(encryption) };
      await reader.file(name, { raw: true }).pipeTo(writer.file(name, options));
    }
  });
  await rejects(unarchive(streamed, there).result, "FORBIDDEN");
  assert.deepEqual(await there.list(), [], what);
  await reader.close();
  await there.close();
  assert.strictEqual((await planted.list()).length, 1, "it is left where it is");
}

test("sealed: a snapshot is read and taken in as it was sealed; no other mixture of two ever is", async () => {
  const both = await twoSnapshots();
  const names = [...new Set(both.flatMap(({ files }) => files.map(({ name }) => name)))];
  const anyOf = fc.nat(1);
  const maybe = fc.option(anyOf, { nil: undefined });
  let right = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.record({
        index: anyOf,
        term: anyOf,
        peers: anyOf,
        createdAt: anyOf,
        group: fc.constantFrom("users", "users", "orders", undefined),
        writer: fc.constantFrom(undefined, undefined, "x"),
        parentIndex: fc.constantFrom(undefined, undefined, 5n),
        seal: maybe,
        files: fc.record(Object.fromEntries(names.map((name) => [name, maybe]))),
        renamed: fc.option(fc.constantFrom("state", "only-1"), { nil: undefined }),
        mostly: anyOf,
        asIs: fc.boolean(),
      }),
      async ({ asIs, mostly, ...picked }) => {
        // Half of the time all is of one, but for a thing or two: those are the mixtures that look right.
        const from = (pick: number) => both[asIs ? mostly : pick]!.meta;
        const { writer, parentIndex } = picked;
        const seal = picked.seal === undefined ? undefined : both[asIs ? mostly : picked.seal]!.meta.seal;
        const meta: SnapshotMeta = {
          ...from(mostly),
          lastIncludedIndex: from(picked.index).lastIncludedIndex,
          lastIncludedTerm: from(picked.term).lastIncludedTerm,
          peers: from(picked.peers).peers,
          createdAt: from(picked.createdAt).createdAt!,
          ...(writer !== undefined && { writer }),
          ...(parentIndex !== undefined && { parentIndex }),
        };
        const { group: _, seal: __, ...bare } = meta;
        const mixed = {
          ...bare,
          ...(picked.group !== undefined && { group: picked.group }),
          ...(seal !== undefined && { seal }),
        };
        const chosen = new Map<string, readonly [FileInfo, Uint8Array]>();
        for (const [name, pick] of Object.entries(picked.files)) {
          const source = pick === undefined ? undefined : both[asIs ? mostly : pick]!;
          const info = source?.files.find((file) => file.name === name);
          if (info !== undefined) chosen.set(name, [info, source!.bytes.get(name)!]);
        }
        if (picked.renamed !== undefined && chosen.has(picked.renamed)) {
          const [info, bytes] = chosen.get(picked.renamed)!;
          chosen.delete(picked.renamed);
          chosen.set("renamed", [{ ...info, name: "renamed" }, bytes]);
        }
        const planted = new MemoryStorage();
        await plant(planted, mixed, [...chosen.values()].map(([info]) => info), (name) => chosen.get(name)![1]);
        const reader = await planted.open();
        const { digest } = reader.manifest;
        await reader.close();
        const whole = both.find((stored) => equal(stored.digest, digest));
        if (whole !== undefined && seal !== undefined && equal(seal.mac, whole.meta.seal!.mac)) {
          right++;
          const there = new EncryptedStorage(new MemoryStorage(), [KEY]);
          await unarchive(archive(await planted.open()), there).result;
          await (await new EncryptedStorage(planted, [KEY]).open()).close();
          await there.close();
        } else await isRefused(planted, fc.stringify(picked));
        await planted.close();
      },
    ),
    {
      numRuns: runs(300),
      examples: [[{
        index: 0,
        term: 0,
        peers: 0,
        createdAt: 0,
        group: "users",
        writer: undefined,
        parentIndex: undefined,
        seal: 0,
        files: { same: 0, state: 0, "only-1": 0, "only-2": undefined },
        renamed: undefined,
        mostly: 0,
        asIs: true,
      }]],
    },
  );
  assert.isAtLeast(right, 1);
});

test("sealed: each thing that is said of a snapshot, changed by itself", async () => {
  const [first, second] = await twoSnapshots() as [Stored, Stored];
  const { meta, files } = first;
  const bytesFor = (name: string) => first.bytes.get(name)!;
  const { group: _, ...groupless } = meta;
  const { seal: __, ...unsealed } = meta;
  const metas: Readonly<Record<string, SnapshotMeta>> = {
    index: { ...meta, lastIncludedIndex: 11n },
    term: { ...meta, lastIncludedTerm: 9n },
    peers: { ...meta, peers: ["10.6.6.6"] },
    "old peers": { ...meta, oldPeers: ["10.6.6.6"] },
    time: { ...meta, createdAt: 2 },
    writer: { ...meta, writer: "x" },
    parent: { ...meta, parentIndex: 9n },
    group: { ...meta, group: "orders" },
    "no group": groupless,
    "no seal": unsealed,
    "another's seal": { ...meta, seal: second.meta.seal! },
    "a seal of nothing": { ...meta, seal: { keyId: KEY.id, mac: new Uint8Array(32) } },
    "a seal with another key": { ...meta, seal: { ...meta.seal!, keyId: "none" } },
  };
  for (const [what, changed] of Object.entries(metas)) {
    const planted = new MemoryStorage();
    await plant(planted, changed, files, bytesFor);
    await isRefused(planted, what);
    await planted.close();
  }
  const lists: Readonly<Record<string, readonly FileInfo[]>> = {
    none: [],
    "one left out": files.slice(1),
    "key groups": [{ ...files[0]!, keyGroups: { first: 0, last: 0, offsets: Float64Array.of(0) } }, ...files.slice(1)],
    "user meta": [{ ...files[0]!, userMeta: Uint8Array.of(1) }, ...files.slice(1)],
    "one as a reference": [{ ...files[0]!, source: "reference" }, ...files.slice(1)],
  };
  for (const [what, list] of Object.entries(lists)) {
    const planted = new MemoryStorage();
    const writer = await planted.create({ raw: true });
    for (const { name, encryption, keyGroups, userMeta, source, checksum } of list) {
      const options = {
        encryption: () => Promise.resolve(encryption),
        keyGroups: () => keyGroups,
        ...(userMeta !== undefined && { userMeta }),
        ...(source !== undefined && { source }),
        ...(checksum !== undefined && { checksum }),
      };
      await pieces(bytesFor(name)).pipeTo(writer.file(name, options));
    }
    await writer.commit(meta);
    await isRefused(planted, what);
    await planted.close();
  }
});

test("sealed: with another secret under the same name nothing is read, and nothing is moved", async () => {
  const warnings: string[] = [];
  const inner = new MemoryStorage({ onWarning: ({ message }) => warnings.push(message) });
  const writing = new EncryptedStorage(inner, [KEY]);
  for (const index of [1n, 2n]) {
    const writer = await writing.create();
    await pieces(noise(300_000, Number(index))).pipeTo(writer.file("state"));
    await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [] });
  }
  const wrong = new EncryptedStorage(inner, [OTHER]);
  wrong.close = () => Promise.resolve(); // what is below stays open
  for (const index of [undefined, 1n, 2n]) await rejects(() => wrong.open(index), "FORBIDDEN");
  const reader = decryptedReader(await inner.open(), [OTHER]);
  await rejects(bytesOf(reader.file("state")), "FORBIDDEN");
  const machine = new KeyValueMachine(utf8Codec());
  await rejects(Replica.open({ machine, log: new MemoryLog(), storage: wrong }), "FORBIDDEN");
  assert.deepEqual((await inner.list()).map(({ meta }) => meta.lastIncludedIndex), [2n, 1n]);
  assert.deepEqual(warnings, []);
  await (await writing.open(2n)).close();
  await writing.close();
});

test("sealed: what is not authentic is passed over by who wants the newest", async () => {
  const [first, second] = await twoSnapshots() as [Stored, Stored];
  const inner = new MemoryStorage();
  const storage = new EncryptedStorage(inner, [KEY]);
  await plant(inner, first.meta, first.files, (name) => first.bytes.get(name)!);
  await plant(inner, { ...second.meta, lastIncludedTerm: 7n }, second.files, (name) => second.bytes.get(name)!);
  const reader = await storage.open();
  assert.strictEqual(reader.meta.lastIncludedIndex, 10n);
  await reader.close();
  await rejects(() => storage.open(20n), "FORBIDDEN");
  const handler = snapshotHandler(storage, { allowWrites: true });
  const latest = await handler(new Request("http://a/snapshots/latest/manifest"));
  assert.strictEqual(latest.headers.get("ETag"), `"${toHex(first.digest)}"`);
  await latest.body?.cancel();
  assert.strictEqual((await handler(new Request("http://a/snapshots/20/manifest"))).status, 403);
  await handler.close();
  await storage.close();
});

test("sealed: files of earlier snapshots are reused, with an older key too, and not encrypted again", async () => {
  const inner = new MemoryStorage({ retain: 5 });
  const content = noise(200_000, 1);
  const old = new EncryptedStorage(inner, [KEY]);
  const first = await old.create();
  await pieces(content).pipeTo(first.file("state"));
  await first.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
  const storage = new EncryptedStorage(inner, [NEXT, KEY]);
  const reader = await storage.open();
  const writer = await storage.create();
  assert.isTrue(await writer.reuse(reader.manifest.files.map((file) => ({ ...file, name: "renamed" }))));
  await reader.close();
  await writer.commit({ lastIncludedIndex: 2n, lastIncludedTerm: 1n, peers: [] });
  const again = await storage.open(2n);
  assert.isTrue(equal(await bytesOf(again.file("renamed")), content));
  assert.strictEqual(again.meta.seal?.keyId, "2027");
  assert.strictEqual(again.manifest.file("renamed").encryption?.keyId, "2026");
  assert.isTrue(equal(again.manifest.file("renamed").chunks!.root, reader.manifest.files[0]!.chunks!.root));
  await again.close();
  await rejects(() => old.open(2n), "FORBIDDEN"); // it does not have the new key
  await storage.close();
});

test("sealed and signed: neither covers the other, in a storage, in an archive, and as it is written", async () => {
  const keys = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]) as CryptoKeyPair;
  const signer = ed25519Signer(keys);
  const verifier = ed25519Verifier([{ publicKey: keys.publicKey }]);
  const inner = new MemoryStorage({ signer, group: "users" });
  const storage = new EncryptedStorage(inner, [KEY]);
  const writer = await storage.create();
  await pieces(noise(1000, 1)).pipeTo(writer.file("state"));
  const info = await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
  const reader = await storage.open();
  await verifier.verify(reader.manifest); // without the secret
  const { seal: _, ...unsealed } = reader.meta;
  const stripped = await SnapshotManifest.of(unsealed, reader.manifest.files);
  assert.strictEqual(toHex(stripped.digest), toHex(info.digest));
  await verifier.verify(stripped);
  const there = new EncryptedStorage(new MemoryStorage(), [KEY]);
  await rejects(there.install(stripped), "FORBIDDEN");
  await unarchive(archive(reader), there, { verifier }).result;
  await verifier.verify((await there.open()).manifest);
  await reader.close();

  const live = new EncryptedStorage(new MemoryStorage({ group: "users" }), [KEY]);
  const handler = snapshotHandler(live, { allowWrites: true, verifier });
  const meta = { lastIncludedIndex: 9n, lastIncludedTerm: 1n, peers: [], group: "users" };
  const target = { url: "http://live", fetch: handler };
  const send = (key: EncryptionKey) =>
    pushLive(meta, (files) => pieces(noise(1000, 1)).pipeTo(encryptedWriter(files, key).file("state")), target, {
      signer,
    }).result;
  await rejects(send(OTHER), "FORBIDDEN");
  assert.deepEqual(await live.list(), []);
  await send(KEY);
  const sent: SnapshotReader = await live.open();
  await verifier.verify(sent.manifest);
  assert.strictEqual(sent.meta.seal?.keyId, KEY.id);
  await sent.close();
  await handler.close();
  await Promise.all([storage, there, live].map((each) => each.close()));
});

test("sealed: a meta of another snapshot may be given to a save, and its seal is not", async () => {
  const storage = new EncryptedStorage(new MemoryStorage(), [KEY]);
  for (const index of [1n, 2n]) {
    const before = index === 1n ? undefined : (await storage.list())[0]!.meta;
    const writer = await storage.create();
    await pieces(noise(100, Number(index))).pipeTo(writer.file("state"));
    await writer.commit({ lastIncludedTerm: 1n, peers: [], ...before, lastIncludedIndex: index });
  }
  await (await storage.open(2n)).close();
  await storage.close();
});

test("sealed: in a bucket, where the index says otherwise than the manifest", async () => {
  const bucket = new MemoryBucket();
  const storage = new EncryptedStorage(await ObjectStorage.open(bucket), [KEY]);
  for (const index of [1n, 2n]) {
    const writer = await storage.create();
    await pieces(noise(1000, Number(index))).pipeTo(writer.file("state"));
    await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: ["a"] });
  }
  await storage.close();
  const { decodeIndex, encodeIndex } = await import("../../src/storage/object/index.ts");
  const found = await bucket.get("index");
  const index = await decodeIndex(await bytesOf(found!.body), "index");
  const [newest, older] = index.snapshots as [typeof index.snapshots[0], typeof index.snapshots[0]];
  const forged = await SnapshotManifest.of({
    lastIncludedIndex: 2n,
    lastIncludedTerm: 66n,
    peers: ["b"],
    createdAt: 1,
  }, []);
  const changes = {
    "the older one's content under the newer one's index": { ...older, index: 2n },
    "other members": { ...newest, head: forged.bytes },
    "another digest": { ...newest, digest: older.digest },
  };
  for (const [what, changed] of Object.entries(changes)) {
    const bytes = await encodeIndex({ ...index, snapshots: [changed, older], generation: index.generation + 1n });
    const mixed = new MemoryBucket();
    let cursor: string | undefined;
    do {
      const page = await bucket.list(cursor === undefined ? {} : { cursor });
      for (const { key } of page.objects) {
        await mixed.put(key, key === "index" ? bytes : await bytesOf((await bucket.get(key))!.body));
      }
      cursor = page.cursor;
    } while (cursor !== undefined);
    const opened = await ObjectStorage.open(mixed);
    await rejects(() => opened.open(2n), "FORBIDDEN").catch((error) => assert.fail(`${what}: ${error}`));
    const encrypted = new EncryptedStorage(opened, [KEY]);
    await rejects(() => encrypted.open(2n), "FORBIDDEN");
    const now = await decodeIndex(await bytesOf((await mixed.get("index"))!.body), "index");
    assert.deepEqual([now.snapshots.length, now.quarantined.length], [2, 0], what);
    await encrypted.close();
  }
});

test("sealed: a replica goes by what was sealed, whatever a list says", async () => {
  const make = async () => {
    const storage = new EncryptedStorage(new MemoryStorage({ group: "users" }), [KEY]);
    for (const index of [1n, 2n]) {
      const writer = await storage.create();
      const machine = new KeyValueMachine(utf8Codec());
      await machine.apply({ index, term: 1n, data: machine.put("a", "b") });
      const task = machine.save()!;
      await task.write(writer, new AbortController().signal);
      await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: ["right"] });
      task.release();
    }
    return storage;
  };
  const opening = (storage: SnapshotStorage) =>
    Replica.open({ machine: new KeyValueMachine(utf8Codec()), log: new MemoryLog(), storage });
  const told = await make();
  const list = told.list.bind(told);
  told.list = async () =>
    (await list()).map((info) => ({ ...info, meta: { ...info.meta, peers: ["wrong"], lastIncludedTerm: 9n } }));
  const replica = await opening(told);
  const { appliedTerm, configuration, snapshot } = replica.status();
  assert.deepEqual([appliedTerm, configuration.peers, snapshot?.meta.peers], [1n, ["right"], ["right"]]);
  await replica.close();
  const another = await make();
  const all = another.list.bind(another);
  another.list = async () => (await all()).map((info) => ({ ...info, digest: noise(32, 5) }));
  await rejects(opening(another), "NOT_FOUND");
});

test("sealed: pulled by nodes without the secret, and by those that have it; the mixture never", async () => {
  const [first] = await twoSnapshots() as [Stored, Stored];
  const good = new MemoryStorage();
  const bad = new MemoryStorage();
  await plant(good, first.meta, first.files, (name) => first.bytes.get(name)!);
  await plant(bad, { ...first.meta, peers: ["x"] }, first.files, (name) => first.bytes.get(name)!);
  for (const [source, isGood] of [[good, true], [bad, false]] as const) {
    const handler = snapshotHandler(source, { allowWrites: true });
    const between = new MemoryStorage();
    await pull(between, [{ url: "http://there", fetch: handler }]).result;
    const next = snapshotHandler(between, { allowWrites: true });
    const there = new EncryptedStorage(new MemoryStorage(), [KEY]);
    const pulling = pull(there, [{ url: "http://between", fetch: next }]).result;
    if (isGood) await pulling;
    else await rejects(pulling, "FORBIDDEN");
    assert.strictEqual((await there.list()).length, isGood ? 1 : 0);
    await handler.close();
    await next.close();
    await Promise.all([between, there, source].map((each) => each.close()));
  }
});
