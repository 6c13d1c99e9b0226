import {
  chunked,
  contentDefined,
  digested,
  EncryptedStorage,
  KeyValueMachine,
  type LogEntry,
  MemoryLog,
  MemoryStorage,
  progress,
  Replica,
  type SnapshotMeta,
  type SnapshotStorage,
  streamedArchive,
  Throttle,
  throttled,
  unarchive,
  utf8Codec,
} from "../../mod.ts";
import { MemoryBucket, ObjectStorage } from "../../src/object.ts";
import { assert, noise, rejects, test } from "../support/harness.ts";
import { foreignBytes, sharedSlices } from "./realm.ts";

const META: SnapshotMeta = { lastIncludedIndex: 7n, lastIncludedTerm: 1n, peers: ["a"] };

/** One to eight, in every kind of buffer that there is here. */
function kinds(): [string, () => Uint8Array][] {
  const fill = (bytes: Uint8Array) => {
    bytes.set([1, 2, 3, 4, 5, 6, 7, 8]);
    return bytes;
  };
  const { SharedArrayBuffer: Shared } = globalThis as { SharedArrayBuffer?: typeof SharedArrayBuffer };
  const { Buffer } = globalThis as { Buffer?: { from(bytes: number[]): Uint8Array } };
  return [
    ["plain", () => fill(new Uint8Array(8))],
    ["a part", () => fill(new Uint8Array(20)).subarray(0, 8)],
    ["of another realm", foreignBytes],
    ["whose slice does not copy", () => sharedSlices(1, 2, 3, 4, 5, 6, 7, 8)],
    ["resizable", () => fill(new Uint8Array(new ArrayBuffer(8, { maxByteLength: 16 } as never)))],
    ...(Shared === undefined
      ? []
      : [["shared", () => fill(new Uint8Array(new Shared(8)))] as [string, () => Uint8Array]]),
    ...(Buffer === undefined
      ? []
      : [["Node's", () => Buffer.from([1, 2, 3, 4, 5, 6, 7, 8])] as [string, () => Uint8Array]]),
  ];
}

const EXPECTED = [1, 2, 3, 4, 5, 6, 7, 8];

async function contentOf(storage: SnapshotStorage): Promise<number[]> {
  const reader = await storage.open();
  try {
    return [...new Uint8Array(await new Response(reader.file("f") as BodyInit).arrayBuffer())];
  } finally {
    await reader.close();
  }
}

const storages: [string, () => SnapshotStorage | Promise<SnapshotStorage>][] = [
  ["MemoryStorage", () => new MemoryStorage()],
  ["EncryptedStorage", () => new EncryptedStorage(new MemoryStorage(), [{ id: "k", secret: noise(32, 1) }])],
  ["ObjectStorage", () => ObjectStorage.open(new MemoryBucket())],
];

/** What is no bytes, and looks like it. */
const wrong: unknown[] = ["text", new ArrayBuffer(8), new DataView(new ArrayBuffer(8)), new Float64Array(1), [1, 2], 5];

for (const [name, open] of storages) {
  for (const chunkSize of [65_536, "pieces"] as const) {
    test(`boundary: ${name} refuses what is no bytes at the write (${chunkSize}), and commits nothing of it`, async () => {
      for (const value of wrong) {
        const storage = await open();
        const writer = await storage.create();
        const sink = writer.file("f", { chunkSize }).getWriter();
        sink.closed.catch(() => {});
        await sink.write(new Uint8Array(1));
        const { message } = await rejects(sink.write(value as Uint8Array), "MALFORMED");
        assert.match(message, /must be a Uint8Array, but it is/);
        await rejects(writer.commit(META), "MALFORMED");
        assert.isEmpty(await storage.list());
        await storage.close();
      }
    });
  }

  test(`boundary: ${name} takes bytes in any kind of buffer`, async () => {
    for (const [kind, make] of kinds()) {
      const storage = await open();
      const writer = await storage.create();
      const sink = writer.file("f").getWriter();
      await sink.write(make());
      await sink.close();
      await writer.commit(META);
      assert.deepEqual(await contentOf(storage), EXPECTED, kind);
      await storage.close();
    }
  });
}

test("boundary: an archive, and every stage, take bytes in any kind of buffer, and refuse what is none", async () => {
  const stages = [
    () => chunked(3),
    () => contentDefined(),
    () => throttled(new Throttle(Infinity)),
    () => progress(() => {}),
  ];
  const one = (value: unknown) =>
    new ReadableStream<Uint8Array>({ start: (it) => (it.enqueue(value as Uint8Array), it.close()) });
  for (const [kind, make] of kinds()) {
    for (const stage of stages) {
      const bytes = await new Response(one(make()).pipeThrough(stage()) as BodyInit).arrayBuffer();
      assert.deepEqual([...new Uint8Array(bytes)], EXPECTED, kind);
    }
    for await (const { bytes, digest } of one(make()).pipeThrough(digested())) {
      assert.deepEqual([...bytes, digest.length], [...EXPECTED, 32], kind);
    }
    const storage = new MemoryStorage();
    await unarchive(streamedArchive(META, (writer) => one(make()).pipeTo(writer.file("f"))), storage).result;
    assert.deepEqual(await contentOf(storage), EXPECTED, kind);
    await storage.close();
  }
  for (const value of wrong) {
    for (const stage of [...stages, () => digested()]) {
      await rejects(Array.fromAsync(one(value).pipeThrough<unknown>(stage())), "MALFORMED");
    }
    await rejects(Array.fromAsync(streamedArchive(META, (it) => one(value).pipeTo(it.file("f")))), "MALFORMED");
    await rejects(unarchive(one(value), new MemoryStorage()).result, "MALFORMED");
  }
});

/** A machine that keeps what it was given. */
function recorder(): {
  readonly applied: number[][];
  readonly replica: Promise<Replica<never>>;
  readonly log: MemoryLog;
} {
  const applied: number[][] = [];
  const log = new MemoryLog();
  const machine = {
    apply: ({ data }: LogEntry) => void applied.push([...data]),
    save: () => undefined,
    load: () => Promise.resolve(),
  };
  return { applied, log, replica: Replica.open({ machine: machine as never, log, storage: new MemoryStorage() }) };
}

test("boundary: what is proposed from one buffer three times, not awaited between, is three commands", async () => {
  const { applied, log, replica: opening } = recorder();
  const replica = await opening;
  const scratch = sharedSlices(0);
  const proposed = [1, 2, 3].map((value) => {
    scratch[0] = value;
    return replica.propose(scratch);
  });
  scratch[0] = 9;
  await Promise.all(proposed);
  const appended = [4, 5].map((value) => {
    scratch[0] = value;
    return replica.append([{ index: BigInt(value), term: 1n, data: scratch }]);
  });
  scratch[0] = 9;
  await Promise.all(appended);
  assert.deepEqual(applied, [[1], [2], [3], [4], [5]]);
  const logged = await Array.fromAsync(log.entries(1n));
  assert.deepEqual(logged.map(({ data }) => [...data]), applied);
  const peers = ["a"];
  const changing = replica.reconfigure({ peers });
  peers.push("b");
  await changing;
  assert.deepEqual(replica.status().configuration.peers, ["a"]);
  await replica.close();
});

test("boundary: propose refuses what is no bytes before it is appended", async () => {
  const { applied, log, replica: opening } = recorder();
  const replica = await opening;
  for (const value of [...wrong, null, undefined]) {
    await rejects(replica.propose(value as Uint8Array), "MALFORMED");
    await rejects(replica.append([{ index: 1n, term: 1n, data: value as Uint8Array }]), "MALFORMED");
    await rejects(log.append([{ index: 1n, term: 1n, data: value as Uint8Array }]), "MALFORMED");
  }
  assert.deepEqual([log.lastIndex, log.byteLength, applied.length], [0n, 0, 0]);
  for (const [, make] of kinds()) await replica.propose(make());
  assert.deepEqual(applied, kinds().map(() => EXPECTED));
  await replica.close();
});

test("boundary: what is kept is a copy: of a log's entries, an object, a secret, what is said of a file and a snapshot", async () => {
  const scratch = sharedSlices(1, 2, 3);
  const log = new MemoryLog();
  const appending = log.append([{ index: 1n, term: 1n, data: scratch }]);
  const bucket = new MemoryBucket();
  const putting = bucket.put("a", scratch);
  const secret = noise(32, 1);
  const keys = [{ id: "k", secret }];
  const inner = new MemoryStorage();
  const storage = new EncryptedStorage(inner, keys);
  const writer = await storage.create();
  const sink = writer.file("f", { userMeta: scratch });
  scratch.fill(9);
  secret.fill(0);
  await Promise.all([appending, putting, sink.close()]);
  const peers = ["a"];
  const committing = writer.commit({ ...META, peers });
  peers.push("b");
  const { meta } = await committing;
  assert.deepEqual([...(await Array.fromAsync(log.entries(1n)))[0]!.data], [1, 2, 3]);
  const { body } = (await bucket.get("a"))!;
  assert.deepEqual([...new Uint8Array(await new Response(body as BodyInit).arrayBuffer())], [1, 2, 3]);
  assert.deepEqual(meta.peers, ["a"]);
  const reader = await new EncryptedStorage(inner, [{ id: "k", secret: noise(32, 1) }]).open();
  assert.deepEqual([...reader.info("f").userMeta!], [1, 2, 3]);
  assert.deepEqual(await Array.fromAsync(reader.file("f")), []);
  await reader.close();
  await storage.close();
});

test("boundary: what a commit fills in is not hidden by an undefined, and options of a file do not name another", async () => {
  const storage = new MemoryStorage();
  for (const index of [1n, 2n]) {
    const writer = await storage.create();
    if (index === 2n) {
      const reader = await storage.open();
      assert.isTrue(await writer.reuse(reader.manifest.files));
      await reader.close();
    } else {
      const sink = writer.file("f", { name: "other", source: undefined } as never).getWriter();
      await sink.write(new Uint8Array(5));
      await sink.close();
    }
    const unsaid = { writer: undefined, parentIndex: undefined, createdAt: undefined, oldPeers: undefined };
    const { meta } = await writer.commit({ ...META, lastIncludedIndex: index, ...unsaid } as never);
    assert.match(meta.writer!, /^snapstream/);
    assert.isAbove(meta.createdAt!, 0);
    assert.strictEqual(meta.parentIndex, index === 2n ? 1n : undefined);
    assert.notProperty(meta, "oldPeers");
  }
  assert.deepEqual(await contentOf(storage), [0, 0, 0, 0, 0]);
  await storage.close();
});

test("boundary: triggers that are undefined are as by default", async () => {
  const machine = new KeyValueMachine(utf8Codec());
  const triggers = { interval: undefined, entries: undefined, jitter: undefined, onClose: undefined };
  const waits: number[] = [];
  const clock = {
    now: () => 0,
    monotonic: () => 0,
    after: (ms: number) => {
      waits.push(ms);
      return () => {};
    },
  };
  const options = { machine, log: new MemoryLog(), storage: new MemoryStorage(), clock, triggers };
  const replica = await Replica.open(options as never);
  assert.lengthOf(waits, 1); // the interval's
  await replica.close();
});
