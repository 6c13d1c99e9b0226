// Storages in which others can write: what is not signed by somebody who is trusted is neither used nor taken in.

import {
  archive,
  ed25519Signer,
  ed25519Verifier,
  EncryptedStorage,
  KeyValueMachine,
  MemoryLog,
  MemoryStorage,
  pull,
  push,
  Replica,
  SnapshotError,
  snapshotHandler,
  type SnapshotManifest,
  type SnapshotSigner,
  type SnapshotStorage,
  type StorageOptions,
  streamedArchive,
  type TrustedKey,
  unarchive,
  utf8Codec,
} from "../../mod.ts";
import { MemoryBucket, ObjectStorage } from "../../src/object.ts";
import { decodeIndex, encodeIndex } from "../../src/storage/object/index.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { fileFloor } from "../../src/fs.ts";
import { assert, bytesOf, noise, pieces, rejects, test } from "../support/harness.ts";
import { save } from "../support/samples.ts";
import { inTemp } from "../support/temp.ts";
import { overriding } from "../support/overriding.ts";
import { sourceOf } from "../support/servers.ts";
import { readFile, rm, writeFile } from "node:fs/promises";

type Open = (options?: StorageOptions) => Promise<SnapshotStorage>;

interface Who {
  readonly signer: SnapshotSigner;
  readonly key: TrustedKey;
}

async function somebody(): Promise<Who> {
  const keys = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]) as CryptoKeyPair;
  return { signer: ed25519Signer(keys), key: { publicKey: keys.publicKey } };
}

/** Does something with each kind of place in which others can write. */
function shared(name: string, work: (open: Open) => Promise<void>): void {
  test(`trust: a directory: ${name}`, () =>
    inTemp((directory) => work((options) => DirectoryStorage.open(`${directory}/s`, options))));
  test(`trust: a bucket: ${name}`, () => {
    const bucket = new MemoryBucket();
    return work((options) => ObjectStorage.open(bucket, { grace: 0, ...options }));
  });
}

/** Puts a snapshot there as somebody does who is not asked. */
async function put(open: Open, index: bigint, options?: StorageOptions): Promise<void> {
  const storage = await open(options);
  await save(storage, index, { state: noise(100_000, Number(index)) });
  await storage.close();
}

async function listed(storage: SnapshotStorage): Promise<bigint[]> {
  return (await storage.list()).map(({ meta }) => meta.lastIncludedIndex);
}

shared("what lies there and is not trusted is not used, and stays where it is", async (open) => {
  const [we, they] = [await somebody(), await somebody()];
  await put(open, 1n, { signer: we.signer });
  await put(open, 5n, { retain: 9 });
  await put(open, 7n, { signer: they.signer, retain: 9 });
  const warnings: SnapshotError[] = [];
  const options = {
    signer: we.signer,
    verifier: ed25519Verifier([we.key]),
    onWarning: (e: SnapshotError) => warnings.push(e),
  };
  const storage = await open(options);
  for (let i = 0; i < 2; i++) assert.deepEqual(await listed(storage), [1n]);
  assert.sameMembers(warnings.map(({ index }) => Number(index)), [5, 7], "each is told of once");
  for (const { code, message } of warnings) {
    assert.strictEqual(code, "FORBIDDEN");
    assert.match(message, /is left where it is/);
  }
  const reader = await storage.open();
  assert.strictEqual(reader.meta.lastIncludedIndex, 1n);
  await reader.close();
  for (const index of [5n, 7n]) {
    await rejects(storage.open(index), "FORBIDDEN");
    assert.isFalse(await storage.quarantine(index, "somebody says so"));
  }
  // They are no reason to refuse ours, or to retire it.
  for (const index of [2n, 3n, 8n]) await save(storage, index, { state: noise(1000, 1) });
  assert.deepEqual(await listed(storage), [8n, 3n]);
  await storage.close();
  const all = await open();
  assert.deepEqual(await listed(all), [8n, 7n, 5n, 3n]);
  await all.close();
});

shared("keys that come and go are seen at once", async (open) => {
  const [we, they] = [await somebody(), await somebody()];
  await put(open, 1n, { signer: we.signer });
  await put(open, 2n, { signer: they.signer });
  const keys = [we.key];
  const storage = await open({ verifier: ed25519Verifier(keys) });
  assert.deepEqual(await listed(storage), [1n]);
  keys.push(they.key);
  assert.deepEqual(await listed(storage), [2n, 1n]);
  keys.shift();
  assert.deepEqual(await listed(storage), [2n]);
  await rejects(storage.open(1n), "FORBIDDEN");
  await storage.close();
});

shared("what is below the floor is neither used nor taken in, though it is signed", async (open) => {
  const we = await somebody();
  const verifier = ed25519Verifier([we.key]);
  await put(open, 4n, { signer: we.signer });
  const storage = await open({ signer: we.signer, verifier, floor: 5n });
  assert.deepEqual(await listed(storage), []);
  await rejects(storage.open(4n), "FORBIDDEN");
  await refused(storage, await taken(3n, { signer: we.signer }), we);
  await rejects(save(storage, 4n, { state: noise(10, 1) }), "FORBIDDEN");
  await save(storage, 5n, { state: noise(10, 1) });
  assert.deepEqual(await listed(storage), [5n]);
  await storage.close();
});

test("trust: a floor in a file rises with what is retired, and holds after a restart, whoever puts back the old", () =>
  inTemp(async (directory) => {
    const we = await somebody();
    const trusting = () => ({
      signer: we.signer,
      verifier: ed25519Verifier([we.key]),
      floor: fileFloor(`${directory}/floor`),
    });
    const opens: ((name: string) => Open)[] = [
      (name) => (options) => DirectoryStorage.open(`${directory}/${name}`, options),
      () => {
        const bucket = new MemoryBucket();
        return (options) => ObjectStorage.open(bucket, { grace: 0, ...options });
      },
    ];
    for (const [i, place] of opens.entries()) {
      const open = place(`s${i}`);
      const storage = await open(trusting());
      for (const index of [4n, 5n, 6n]) await save(storage, index, { state: noise(1000, Number(index)) });
      assert.deepEqual(await listed(storage), [6n, 5n]);
      await storage.close();
      assert.strictEqual(await fileFloor(`${directory}/floor`).get(), 5n, "the oldest that is kept");
      const again = await open(trusting());
      assert.deepEqual(await listed(again), [6n, 5n], "both may be used, should the newest go bad");
      await again.close();
      const old = place(`old${i}`);
      await put(old, 4n, { signer: we.signer }); // as a co-tenant does who has kept what was retired
      const rolledBack = await old(trusting());
      assert.deepEqual(await listed(rolledBack), []);
      await rejects(rolledBack.open(), "NOT_FOUND");
      await refused(rolledBack, await taken(4n, { signer: we.signer }), we);
      await save(rolledBack, 7n, { state: noise(1000, 1) });
      assert.deepEqual(await listed(rolledBack), [7n]);
      await rolledBack.close();
      assert.strictEqual(await fileFloor(`${directory}/floor`).get(), 7n);
      await rm(`${directory}/floor`);
    }
  }));

shared("a floor does not rise past a snapshot of which nobody can say now whether it is trusted", async (open) => {
  const we = await somebody();
  const trusted = ed25519Verifier([we.key]);
  let isAway = false;
  const verifier = {
    verify(manifest: SnapshotManifest) {
      if (isAway && manifest.index === 4n) throw new SnapshotError("UNAVAILABLE", "The keys are away");
      return trusted.verify(manifest);
    },
  };
  let lowest = 0n;
  const floor = {
    get: () => lowest,
    raise: (index: bigint) => Promise.resolve(void (lowest = index > lowest ? index : lowest)),
  };
  const storage = await open({ signer: we.signer, verifier, floor });
  await save(storage, 4n, { state: noise(1000, 4) });
  isAway = true;
  await listed(storage); // looks at it
  await save(storage, 5n, { state: noise(1000, 5) });
  await listed(storage);
  assert.strictEqual(lowest, 4n);
  isAway = false;
  assert.deepEqual(await listed(storage), [5n, 4n], "should the newest go bad");
  await save(storage, 6n, { state: noise(1000, 6) });
  assert.strictEqual(lowest, 5n);
  await storage.close();
});

test("trust: a floor that cannot be read lets nothing in, and one that cannot be raised is told", () =>
  inTemp(async (directory) => {
    const path = `${directory}/floor`;
    await writeFile(path, "yesterday\n");
    const storage = new MemoryStorage({ floor: fileFloor(path) });
    await rejects(save(storage, 4n, { state: noise(1000, 1) }), "CORRUPT");
    assert.deepEqual(await listed(storage), []);
    await writeFile(path, "3\n");
    await save(storage, 4n, { state: noise(1000, 1) });
    assert.strictEqual(await readFile(path, "utf8"), "4\n");
    await storage.close();
    const warnings: string[] = [];
    const floor = { get: () => 0n, raise: () => Promise.reject(new Error("the disk is full")) };
    const warned = new MemoryStorage({ floor, onWarning: ({ message }) => warnings.push(message) });
    await save(warned, 4n, { state: noise(1000, 1) });
    assert.deepEqual(await listed(warned), [4n]);
    assert.include(warnings, "The floor could not be raised to 4: the disk is full");
    await warned.close();
    const both = fileFloor(path);
    await Promise.all([both.raise(9n), both.raise(7n), both.raise(8n)]);
    assert.strictEqual(await fileFloor(path).get(), 9n);
  }));

test("trust: a replica with a verifier loads and installs what is trusted, from any storage", async () => {
  const [we, they] = [await somebody(), await somebody()];
  const verifier = ed25519Verifier([we.key]);
  const machine = () => new KeyValueMachine(utf8Codec());
  const saved = async (who: Who, value: string, count: number): Promise<MemoryStorage> => {
    const storage = new MemoryStorage({ signer: who.signer });
    const replica = await Replica.open({ machine: machine(), log: new MemoryLog(), storage: unclosed(storage) });
    for (let i = 0; i < count; i++) await replica.propose(replica.machine.put("key", value));
    await replica.snapshot();
    await replica.close();
    return storage;
  };
  const forged = await saved(they, "theirs", 3);
  const events: string[] = [];
  await rejects(
    Replica.open({
      machine: machine(),
      log: new MemoryLog(),
      storage: unclosed(forged),
      verifier,
      onEvent: ({ type }) => events.push(type),
    }),
    "FORBIDDEN",
  );
  const here = new MemoryStorage();
  const replica = await Replica.open({ machine: machine(), log: new MemoryLog(), storage: here, verifier });
  const [bad, good] = [sourceOf("bad", forged), sourceOf("good", await saved(we, "ours", 2))];
  await rejects(replica.install([bad], { retryFor: 0 }), "FORBIDDEN");
  const reader = await forged.open();
  await rejects(replica.install(archive(reader)), "FORBIDDEN");
  assert.deepEqual(await here.list(), []);
  await replica.install([bad, good]);
  assert.strictEqual(replica.machine.get("key"), "ours");
  const sent = sourceOf("target", new MemoryStorage(), undefined, true);
  await rejects(push(reader, sent, { verifier }), "FORBIDDEN");
  assert.deepEqual(sent.log, [], "nobody was asked");
  assert.lengthOf(await forged.list(), 1, "it is left where it is");
  await reader.close();
  for (const it of [bad, good, sent]) await it.close();
  await replica.close();
});

/** A storage that stays open when a replica is closed. */
function unclosed(storage: MemoryStorage): MemoryStorage {
  return overriding(storage, { close: () => Promise.resolve() });
}

/** A snapshot in a storage of its own. */
async function taken(index: bigint, options: StorageOptions): Promise<MemoryStorage> {
  const storage = new MemoryStorage(options);
  await save(storage, index, { state: noise(300_000, 1) });
  return storage;
}

/** Tries all ways in which a snapshot can come. */
async function refused(storage: SnapshotStorage, source: SnapshotStorage, who?: Who): Promise<void> {
  const before = await listed(storage);
  const reader = await source.open();
  const { manifest } = reader;
  const whole = await bytesOf(archive(reader));
  const { signature: _, ...unsigned } = manifest.meta;
  const write: Parameters<typeof streamedArchive>[1] = (writer) => pieces(noise(9, 1)).pipeTo(writer.file("state"));
  const streamed = await bytesOf(streamedArchive(unsigned, write, who === undefined ? {} : { signer: who.signer }));
  await reader.close();
  const from = sourceOf("there", source);
  await rejects(storage.install(manifest), "FORBIDDEN");
  await rejects(unarchive(pieces(whole), storage).result, "FORBIDDEN");
  await rejects(unarchive(pieces(streamed), storage).result, "FORBIDDEN");
  await rejects(pull(storage, [from], { retryFor: 0 }).result, "FORBIDDEN");
  const handler = snapshotHandler(storage, { allowWrites: true });
  const { index } = manifest;
  const bodies = [["", whole], ["", streamed], ["/manifest", manifest.bytes]] as const;
  for (const [what, bytes] of bodies) {
    const body = new Uint8Array(bytes);
    const response = await handler(new Request(`http://h/snapshots/${index}${what}`, { method: "PUT", body }));
    assert.deepEqual([response.status, (await response.json()).code], [403, "FORBIDDEN"], what);
  }
  assert.deepEqual(await listed(storage), before);
  assert.deepEqual(await storage.unfinished(), []);
  await handler.close();
  await from.close();
  await source.close();
}

shared("nothing is taken in that is not trusted, from wherever it comes", async (open) => {
  const [we, they] = [await somebody(), await somebody()];
  const storage = await open({ verifier: ed25519Verifier([we.key]) });
  await refused(storage, await taken(9n, {}));
  await refused(storage, await taken(9n, { signer: they.signer }), they);
  await rejects(save(storage, 9n, { state: noise(10, 1) }), "FORBIDDEN");
  // A mirror that is not trusted does not keep the trusted snapshot of another away.
  const [bad, good] = [await taken(9n, { signer: they.signer }), await taken(8n, { signer: we.signer })];
  const sources = [sourceOf("bad", bad), sourceOf("good", good)];
  const { snapshot } = await pull(storage, sources).result;
  assert.strictEqual(snapshot.meta.lastIncludedIndex, 8n);
  for (const source of sources) await source.close();
  await storage.close();
});

shared("what nobody can say of is not used, and nothing older is put over it", async (open) => {
  const we = await somebody();
  await put(open, 5n, { signer: we.signer });
  const trusted = ed25519Verifier([we.key]);
  let isAway = true;
  const storage = await open({
    signer: we.signer,
    verifier: {
      async verify(manifest) {
        if (isAway && manifest.index === 5n) throw new TypeError("The verifier is away");
        await trusted.verify(manifest);
      },
    },
  });
  assert.deepEqual(await listed(storage), []);
  await rejects(storage.open(5n), "UNAVAILABLE");
  await rejects(save(storage, 4n, { state: noise(10, 1) }), "STALE");
  isAway = false;
  assert.deepEqual(await listed(storage), [5n]);
  await storage.close();
});

shared("a replica begins with the newest that is trusted", async (open) => {
  const we = await somebody();
  const machine = () => new KeyValueMachine(utf8Codec());
  const first = await Replica.open({
    machine: machine(),
    log: new MemoryLog(),
    storage: await open({ signer: we.signer }),
  });
  await first.propose(first.machine.put("key", "ours"));
  await first.snapshot().result;
  await first.close();
  const forger = await Replica.open({ machine: machine(), log: new MemoryLog(), storage: await open() });
  await forger.propose(forger.machine.put("key", "theirs"));
  await forger.snapshot().result;
  await forger.close();
  const storage = await open({ signer: we.signer, verifier: ed25519Verifier([we.key]) });
  const again = await Replica.open({ machine: machine(), log: new MemoryLog(), storage });
  assert.strictEqual(again.machine.get("key"), "ours");
  assert.strictEqual(again.status().appliedIndex, 1n);
  await again.close();
});

test("trust: an encrypted storage has the verifier of the one that it is in", async () => {
  const we = await somebody();
  const inside = new MemoryStorage({ verifier: ed25519Verifier([we.key]) });
  const storage = new EncryptedStorage(inside, [{ id: "k", secret: new Uint8Array(32) }]);
  assert.strictEqual(storage.verifier, inside.verifier);
  await storage.close();
});

test("trust: an index of a bucket that says another index than what is signed is not believed", async () => {
  const we = await somebody();
  const bucket = new MemoryBucket();
  const open: Open = (options) => ObjectStorage.open(bucket, { retain: 9, ...options });
  for (const index of [1n, 2n]) await put(open, index, { signer: we.signer });
  // Somebody has an old one, which is signed, look like a new one.
  const stored = await bucket.get("index");
  const index = await decodeIndex(await bytesOf(stored!.body), "index");
  const snapshots = index.snapshots.map((kept) => kept.index === 1n ? { ...kept, index: 9n } : kept);
  await bucket.put("index", await encodeIndex({ ...index, snapshots: snapshots.reverse() }));
  const storage = await open({ verifier: ed25519Verifier([we.key]) });
  assert.deepEqual(await listed(storage), [2n]);
  await rejects(storage.open(9n), "FORBIDDEN");
  await storage.close();
});
