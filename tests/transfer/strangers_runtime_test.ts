// Strangers at a handler: they get an error, and nothing else.

import {
  archive,
  ed25519Signer,
  ed25519Verifier,
  KeyValueMachine,
  MemoryLog,
  MemoryStorage,
  pull,
  Replica,
  SnapshotError,
  snapshotHandler,
  type SnapshotHandlerOptions,
  type SnapshotStorage,
  streamedArchive,
  unarchive,
  utf8Codec,
} from "../../mod.ts";
import { ChunkMapBuilder, concat, sha256, toHex } from "../../src/stream/mod.ts";
import { SnapshotManifest } from "../../src/snapshot/mod.ts";
import { archiveMagic, encodeRecord } from "../../src/snapshot/archive/records.ts";
import { FairSemaphore, type Place } from "../../src/transfer/server/fair_semaphore.ts";
import { Pace } from "../../src/transfer/pace.ts";
import { inFakeTime } from "../support/fake_clock.ts";
import { assert, bytesOf, noise, pieces, rejects, test, turns } from "../support/harness.ts";
import { save, storageWith } from "../support/samples.ts";
import { writeChunk } from "../support/installs.ts";

type Ask = (path: string, init?: RequestInit, client?: string) => Promise<Response>;

const JSON_TYPE = { "Content-Type": "application/json" };
const LARGEST = 2n ** 63n - 1n;

/** Does something with a handler of a storage. */
async function serving(
  work: (ask: Ask, storage: SnapshotStorage) => Promise<void>,
  options: SnapshotHandlerOptions = {},
  storage: MemoryStorage = new MemoryStorage(),
): Promise<void> {
  const handler = snapshotHandler(storage, options);
  await work((path, init, client = "c") => handler(new Request(`http://host${path}`, init), { client }), storage);
  await handler.close();
  await storage.close();
}

async function code(response: Response): Promise<[number, string]> {
  return [response.status, (await response.json()).code];
}

function put(body: BodyInit | ReadableStream<Uint8Array>): RequestInit {
  return { method: "PUT", body, duplex: "half" } as RequestInit;
}

/** An archive of snapshot 9. */
async function archived(index = 9n): Promise<Uint8Array<ArrayBuffer>> {
  const source = await storageWith(index, { state: noise(200_000, 1) });
  const reader = await source.open();
  const whole = new Uint8Array(await bytesOf(archive(reader)));
  await reader.close();
  await source.close();
  return whole;
}

/** A body that begins, and does not go on; it can be cancelled. */
function begun(bytes: Uint8Array): ReadableStream<Uint8Array> {
  return new ReadableStream({ start: (controller) => controller.enqueue(bytes) });
}

/** A manifest of files that nobody has: each is `count` times the same chunk. */
async function manifestOf(names: readonly string[], count = 1, index = 9n): Promise<SnapshotManifest> {
  const bytes = noise(4 * 1024 * 1024, 1);
  const digest = await sha256(bytes);
  const builder = new ChunkMapBuilder(bytes.length);
  for (let i = 0; i < count; i++) builder.add(digest, bytes.length);
  const chunks = await builder.build();
  const meta = { lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [], createdAt: 1 };
  return await SnapshotManifest.of(meta, names.map((name) => ({ name, chunks })));
}

function headOf({ bytes }: SnapshotManifest): Uint8Array<ArrayBuffer> {
  return concat([archiveMagic(), ...encodeRecord(6, bytes)]) as Uint8Array<ArrayBuffer>;
}

test("strangers: a handler that nobody gave an authorize serves reads only", async () => {
  const whole = await archived();
  const writes: [string, RequestInit][] = [
    ["/snapshots/9", put(whole)],
    ["/snapshots/9/manifest", put("x")],
    ["/snapshots", { method: "POST", headers: JSON_TYPE }],
    ["/snapshots/notification", { method: "POST", headers: JSON_TYPE, body: "{}" }],
  ];
  for (const options of [{}, { authorize: () => true, allowWrites: false }, { allowWrites: false }]) {
    await serving(async (ask, storage) => {
      for (const [path, init] of writes) assert.deepEqual(await code(await ask(path, init)), [403, "FORBIDDEN"], path);
      assert.strictEqual((await ask("/snapshots")).status, 200);
      assert.deepEqual(await storage.list(), []);
    }, options);
  }
  for (const options of [{ authorize: () => true }, { allowWrites: true }]) {
    await serving(async (ask) => {
      const response = await ask("/snapshots/9", put(whole));
      assert.strictEqual(response.status, 201);
      await response.body?.cancel();
    }, options);
  }
});

test("strangers: a page of another site can send no POST unasked", () =>
  serving(async (ask) => {
    for (const path of ["/snapshots", "/snapshots?gap=0", "/snapshots/notification"]) {
      for (
        const type of [
          "text/plain",
          "Text/Plain; charset=x",
          "application/x-www-form-urlencoded",
          "multipart/form-data",
        ]
      ) {
        const init = { method: "POST", body: "{}", headers: { "Content-Type": type } };
        assert.deepEqual(await code(await ask(path, init)), [415, "FORBIDDEN"], type);
      }
      assert.deepEqual(await code(await ask(path, { method: "POST" })), [415, "FORBIDDEN"]);
    }
    assert.deepEqual(await code(await ask("/snapshots", { method: "POST", headers: JSON_TYPE })), [501, "UNSUPPORTED"]);
  }, { authorize: () => true }));

test("strangers: an archive takes no place before its head was seen, was trusted, and is wanted", () =>
  inFakeTime(async () => {
    const keys = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]) as CryptoKeyPair;
    const verifier = ed25519Verifier([{ publicKey: keys.publicKey }]);
    const meta = { lastIncludedIndex: 9n, lastIncludedTerm: 1n, peers: [] };
    const write: Parameters<typeof streamedArchive>[1] = (writer) => pieces(noise(300_000, 1)).pipeTo(writer.file("a"));
    const whole = await archived();
    let taken = 0;
    let written = 0;
    const storage = new MemoryStorage();
    const { create, install } = storage;
    storage.create = (options) => (written++, create.call(storage, options));
    storage.install = (manifest) => (written++, install.call(storage, manifest));
    const options: SnapshotHandlerOptions = {
      allowWrites: true,
      verifier,
      stallTimeout: 20,
      target: {
        snapshot: () => Promise.reject(new Error("not asked")),
        install(stream, options) {
          taken++;
          return unarchive(stream, storage, options).then((snapshot) => ({ snapshot }));
        },
      },
    };
    await serving(
      async (ask) => {
        const refused: [string, BodyInit | ReadableStream<Uint8Array>, [number, string]][] = [
          ["no head", begun(whole.slice(0, 100)), [408, "TIMEOUT"]],
          ["described, unsigned, and endless", begun(whole.slice(0, 100_000)), [403, "FORBIDDEN"]],
          ["streamed, unsigned", streamedArchive(meta, write), [403, "FORBIDDEN"]],
          ["of another index", begun(headOf(await manifestOf(["a"], 1, 8n))), [403, "FORBIDDEN"]],
        ];
        for (const [what, body, expected] of refused) {
          assert.deepEqual(await code(await ask("/snapshots/9", put(body))), expected, what);
          assert.deepEqual([taken, written], [0, 0], what);
        }
        const signed = await ask("/snapshots/9", put(streamedArchive(meta, write, { signer: ed25519Signer(keys) })));
        assert.deepEqual([signed.status, taken, written], [201, 1, 1]);
        await signed.body?.cancel();
        const reader = await storage.open();
        await verifier.verify(reader.manifest); // with the signature of the snapshot, not of its beginning
        await reader.close();
      },
      options,
      storage,
    );
  }));

test("strangers: the signed beginning of a streamed archive is no snapshot", async () => {
  const keys = await crypto.subtle.generateKey("Ed25519", true, ["sign", "verify"]) as CryptoKeyPair;
  const verifier = ed25519Verifier([{ publicKey: keys.publicKey }]);
  const meta = { lastIncludedIndex: 9n, lastIncludedTerm: 1n, peers: [] };
  const stream = await bytesOf(streamedArchive(meta, async () => {}, { signer: ed25519Signer(keys) }));
  const length = new DataView(stream.buffer, stream.byteOffset + archiveMagic().length + 1).getUint32(0);
  const header = stream.slice(archiveMagic().length + 5, archiveMagic().length + 5 + length);
  const manifest = await SnapshotManifest.decode(header);
  assert.isDefined(manifest.meta.signature);
  await rejects(verifier.verify(manifest), "CORRUPT");
  await serving(async (ask) => {
    assert.deepEqual(await code(await ask("/snapshots/9", put(headOf(manifest)))), [422, "CORRUPT"]);
    assert.deepEqual(await code(await ask("/snapshots/9/manifest", put(header))), [422, "CORRUPT"]);
  }, { allowWrites: true, verifier });
});

test("strangers: a byte now and then does not keep a place", () =>
  inFakeTime(async () => {
    const whole = await archived();
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        await new Promise((resolve) => setTimeout(resolve, 50_000));
        controller.enqueue(whole.slice(sent, ++sent));
      },
    }, { highWaterMark: 0 });
    await serving(async (ask) => {
      assert.deepEqual(await code(await ask("/snapshots/9", put(body))), [408, "TIMEOUT"]);
    }, { allowWrites: true });
    assert.isBelow(sent, 3);
  }));

for (const kind of ["described", "streamed"] as const) {
  test(`strangers: an upload that was admitted and does not go on holds no save off (${kind})`, async () => {
    const [leader, storage] = [new MemoryStorage({ group: "g" }), new MemoryStorage({ group: "g" })];
    const machine = new KeyValueMachine(utf8Codec());
    const replica = await Replica.open({ machine, log: new MemoryLog(), storage });
    const writer = await leader.create();
    const saved = new KeyValueMachine(utf8Codec());
    const put = saved.put("key", "x".repeat(400_000));
    for (let index = 1n; index <= 9n; index++) saved.apply({ index, term: 1n, data: put });
    const write: Parameters<typeof streamedArchive>[1] = async (writer, signal) => {
      const task = saved.save();
      await task!.write(writer, signal);
      task!.release();
    };
    const meta = { lastIncludedIndex: 9n, lastIncludedTerm: 1n, peers: [] };
    await write(writer, new AbortController().signal);
    await writer.commit(meta);
    const reader = await leader.open();
    const whole = await bytesOf(
      kind === "described" ? archive(reader) : streamedArchive({ ...meta, group: "g" }, write),
    );
    await reader.close();
    await serving(
      async (ask) => {
        let rest = () => {};
        const body = new ReadableStream<Uint8Array>({
          start(controller) {
            controller.enqueue(whole.slice(0, 300_000));
            rest = () => {
              controller.enqueue(whole.slice(300_000));
              controller.close();
            };
          },
        });
        const answer = ask("/snapshots/9", { method: "PUT", body, duplex: "half" } as RequestInit);
        while (replica.status().state !== "receiving") await turns(1);
        await turns();
        await replica.propose(machine.put("a", "b"));
        const { taken, snapshot } = await replica.snapshot().result;
        assert.deepEqual([taken, snapshot?.meta.lastIncludedIndex], [true, 1n]);
        if (kind === "streamed") {
          assert.deepEqual(await code(await answer), [409, "BUSY"]);
          await replica.install(pieces(whole)).result;
        } else {
          rest();
          assert.strictEqual((await answer).status, 201);
        }
        assert.strictEqual(machine.get("key")?.length, 400_000);
      },
      { allowWrites: true, target: replica },
      storage,
    );
    await replica.close();
    await leader.close();
  });
}

test("strangers: a pace counts all waits, and bytes make up for them", () =>
  inFakeTime(async (clock) => {
    let slow = 0;
    const pace = new Pace(1000, () => slow++);
    for (let i = 0; i < 100; i++) { // 4 bytes a millisecond
      pace.wait();
      await new Promise((resolve) => setTimeout(resolve, 500));
      pace.moved(2000);
    }
    assert.strictEqual(slow, 0);
    const begun = clock.passed;
    while (slow === 0) {
      pace.wait();
      await new Promise((resolve) => setTimeout(resolve, 300));
      pace.moved(1);
    }
    assert.isAtMost(clock.passed - begun, 1200);
    pace.wait(8_000_000); // so much is due, and takes its time
    await new Promise((resolve) => setTimeout(resolve, 1_000_000));
    assert.strictEqual(slow, 1);
    pace.stop();
  }));

test("strangers: who polls all snapshots keeps two of them, and all pollers together eight", async () => {
  for (const [clients, most] of [[1, 4], [25, 10]] as const) {
    await serving(async (ask, storage) => {
      for (let index = 1n; index <= 25n; index++) {
        await save(storage, index, { state: noise(10, 1) });
        for (const { meta } of await storage.list()) {
          const path = `/snapshots/${meta.lastIncludedIndex}/manifest`;
          await (await ask(path, {}, String(meta.lastIncludedIndex % BigInt(clients)))).body?.cancel();
        }
        await turns(1);
      }
      await save(storage, 26n, {});
      await turns(5);
      assert.isAtMost((await storage.list()).length, most);
    });
  }
});

test("strangers: names of clients cost nothing, and what is remembered of them is bounded", async () => {
  const { setTimeout: set, clearTimeout: clear } = globalThis;
  const pending = new Set<unknown>();
  globalThis.setTimeout = ((callback: () => void, ms: number) => {
    const timer = set(() => (pending.delete(timer), callback()), ms);
    pending.add(timer);
    return timer;
  }) as typeof setTimeout;
  globalThis.clearTimeout = ((timer?: ReturnType<typeof set>) => (pending.delete(timer), clear(timer))) as typeof clear;
  try {
    const storage = await storageWith(9n, { state: noise(10, 1) });
    const handler = snapshotHandler(storage);
    const poll = async (headers: HeadersInit, client?: string) => {
      const request = new Request("http://host/snapshots/9/manifest", { headers });
      await (await handler(request, { client })).body?.cancel();
      await turns(1);
      return pending.size;
    };
    for (let i = 0; i < 20; i++) {
      assert.isAtMost(await poll({ Authorization: `Bearer ${i}` }), 1, "nobody looked at it");
    }
    for (let i = 0; i < 1500; i++) assert.isAtMost(await poll({}, `address ${i}`), 1024);
    await handler.close();
    assert.strictEqual(pending.size, 0);
    await storage.close();
  } finally {
    globalThis.setTimeout = set;
    globalThis.clearTimeout = clear;
  }
});

test("strangers: a lease is not renewed for ever, unless something is downloaded", () =>
  inFakeTime(async () => {
    for (const downloads of [false, true]) {
      const storage = await storageWith(7n, { state: noise(3_000_000, 1) });
      await serving(
        async (ask) => {
          const asked = () =>
            ask("/snapshots/7/manifest").then(({ status, body }) => body?.cancel().then(() => status));
          assert.strictEqual(await asked(), 200);
          for (const index of [8n, 9n]) await save(storage, index, {});
          let renewed = 0;
          for (; renewed < 15; renewed++) {
            await new Promise((resolve) => setTimeout(resolve, 50_000));
            if (downloads) await bytesOf((await ask("/snapshots/7/content")).body!);
            if (await asked() !== 200) break;
            await turns(1);
          }
          if (downloads) assert.strictEqual(renewed, 15);
          else assert.isBelow(renewed, 13);
        },
        {},
        storage,
      );
    }
  }));

test("strangers: one client leaves places to others, and the slowest of many goes for one that waits", () =>
  inFakeTime(async () => {
    const places = new FairSemaphore(32);
    const held: Place[] = [];
    const evicted: number[] = [];
    const hold = async (client: string, bytes: number) => {
      const place = await places.enter(client);
      const number = held.push(place) - 1;
      place.moved(bytes);
      place.onEvicted = () => {
        evicted.push(number);
        place.leave();
      };
    };
    for (let i = 0; i < 28; i++) await hold("greedy", 10_000 + i);
    const more = hold("greedy", 10_000); // waits, though there is room
    await turns(1);
    assert.lengthOf(held, 28);
    for (const other of ["a", "b", "c", "d"]) await hold(other, 0); // at once
    assert.lengthOf(held, 32);
    await hold("e", 0);
    assert.lengthOf(evicted, 1);
    assert.include([28, 29, 30, 31], evicted[0]); // of clients that have one each: it was the slowest, and had its time
    for (const place of held) place.leave();
    await more;
    held.at(-1)!.leave();
    held.length = evicted.length = 0;
    for (let i = 0; i < 28; i++) await hold("greedy", 1e9 - i);
    for (const other of ["a", "b", "c", "d"]) await hold(other, 2e9);
    await hold("e", 0);
    assert.deepEqual(evicted, [27]); // fast ones go only of who has more than a share
    for (const place of held) place.leave();
  }));

test("strangers: reads take no places of writes, nor large answers those of small ones", async () => {
  const storage = await storageWith(7n, { state: noise(2_000_000, 1) });
  const whole = await archived();
  await serving(
    async (ask) => {
      const reading = (await ask("/snapshots/7/content")).body!.getReader();
      await reading.read();
      for (const path of ["/snapshots", "/snapshots/7", "/snapshots/7/manifest", "/snapshots/7/held"]) {
        const { status, body } = await ask(path);
        assert.strictEqual(status, 200, path);
        await body?.cancel();
      }
      const { status, body } = await ask("/snapshots/9", put(whole));
      assert.strictEqual(status, 201);
      await body?.cancel();
      await reading.cancel();
    },
    { allowWrites: true, maxTransfers: 1 },
    storage,
  );
});

test("strangers: a large manifest that nobody reads is aborted, as JSON too", () =>
  inFakeTime(async () => {
    const storage = new MemoryStorage();
    await save(storage, 7n, Object.fromEntries(Array.from({ length: 1500 }, (_, i) => [`file-${i}`, noise(1, i + 1)])));
    await serving(
      async (ask) => {
        for (const Accept of ["application/json", "application/x-protobuf"]) {
          const unread = await ask("/snapshots/7/manifest", { headers: { Accept } });
          await rejects(new Promise((resolve) => setTimeout(resolve, 100)).then(() => unread.bytes()), "TIMEOUT");
        }
      },
      { stallTimeout: 5, leaseDuration: 1 },
      storage,
    );
  }));

test("strangers: reading an interrupted install does not take the place of installs", async () => {
  const source = await storageWith(9n, { state: noise(200_000, 1) });
  const reader = await source.open();
  const storage = new MemoryStorage();
  const install = await storage.install(reader.manifest);
  await install.prepare();
  await writeChunk(install, "state", 0, noise(200_000, 1).slice(0, 65_536));
  await install.close();
  const begin = storage.install.bind(storage);
  storage.install = () => assert.fail("an install");
  await serving(
    async (ask) => {
      for (const method of ["GET", "HEAD"]) {
        const { status, headers, body } = await ask("/snapshots/9", { method });
        assert.deepEqual([status, headers.get("Upload-Complete")], [200, "?0"]);
        await body?.cancel();
      }
      // What has not come is no error of the server's, whoever asks for it.
      storage.install = begin;
      const again = await storage.install(reader.manifest);
      const digest = toHex(reader.manifest.digest);
      const missing = await ask(`/snapshots/${digest}/content`, { headers: { Range: "bytes=70000-70009" } });
      assert.deepEqual(await code(missing), [503, "UNAVAILABLE"]);
      await again.close();
      await unarchive(archive(reader), storage).result;
    },
    { onError: (error) => assert.fail(String(error)) },
    storage,
  );
  await reader.close();
  await source.close();
});

test("strangers: manifests of too many files, directories or bytes are refused before anything is written", async () => {
  const names = (count: number, make: (i: number) => string) => Array.from({ length: count }, (_, i) => make(i));
  const bombs = {
    files: headOf(await manifestOf(names(16_385, (i) => `f${i}`))),
    directories: headOf(await manifestOf(names(10, (i) => `${names(500, () => String(i)).join("/")}/f`))),
    bytes: headOf(await manifestOf(names(10, (i) => `f${i}`), 30_000)),
  };
  const storage = new MemoryStorage();
  storage.install = () => assert.fail("an install");
  await serving(
    async (ask) => {
      for (const [what, head] of Object.entries(bombs)) {
        for (
          const [path, body] of [["/snapshots/9", head], [
            "/snapshots/9/manifest",
            head.slice(archiveMagic().length + 5),
          ]] as const
        ) {
          const response = await ask(path, put(body));
          const { detail } = await response.json();
          assert.strictEqual(response.status, 422, what);
          assert.include(detail, what);
        }
      }
      (storage as SnapshotStorage).freeSpace = () => Promise.resolve(1000);
      assert.deepEqual(await code(await ask("/snapshots/9", put(headOf(await manifestOf(["a"]))))), [507, "NO_SPACE"]);
    },
    { allowWrites: true },
    storage,
  );
});

test("strangers: a streamed archive stops at the limits, and nothing of it stays", async () => {
  const meta = { lastIncludedIndex: 9n, lastIncludedTerm: 1n, peers: [] };
  const streamed = (names: readonly string[], size: number) =>
    streamedArchive(meta, async (writer) => {
      for (const name of names) await pieces(noise(size, 1)).pipeTo(writer.file(name));
    });
  await serving(async (ask, storage) => {
    const taken = (names: readonly string[], size = 1) => ask("/snapshots/9", put(streamed(names, size)));
    for (const names of [["a", "b", "c", "d"], ["a/b/c/d"]]) {
      assert.deepEqual(await code(await taken(names)), [422, "MALFORMED"], names.join());
    }
    assert.deepEqual(await code(await taken(["a"], 1001)), [422, "MALFORMED"]);
    assert.deepEqual(await storage.list(), []);
    const response = await taken(["a/x", "a/y", "b"], 300);
    assert.strictEqual(response.status, 201);
    await response.body?.cancel();
  }, { allowWrites: true, limits: { bytes: 1000, files: 3, directories: 2 } });
});

test("strangers: files in memory take what is in them", async () => {
  const names = Array.from({ length: 100 }, (_, i) => `f${i}`);
  const source = await storageWith(9n, Object.fromEntries(names.map((name, i) => [name, noise(10, i + 1)])));
  const { manifest } = await source.open();
  const storage = new MemoryStorage();
  const install = await storage.install(manifest);
  await install.prepare();
  const Original = Uint8Array;
  let large = 0;
  globalThis.Uint8Array = new Proxy(Original, {
    construct(target, args, as) {
      if (Number(args[0]) > 10_000) large++;
      return Reflect.construct(target, args, as);
    },
  });
  try {
    for (const [i, name] of names.entries()) await writeChunk(install, name, 0, noise(10, i + 1));
  } finally {
    globalThis.Uint8Array = Original;
  }
  assert.strictEqual(large, 0);
  await install.commit();
  await storage.close();
  await source.close();
});

test("strangers: what a client sees speaks of what it sent, and of no path of the server", async () => {
  const errors = [
    new SnapshotError("UNSUPPORTED", "/srv/secret/snapshots cannot be linked"),
    new SnapshotError("NOT_FOUND", 'There is no "/srv/secret/x"', { file: "/srv/secret/x" }),
    new SnapshotError("MALFORMED", "C:\\secret\\x is not right"),
    new SnapshotError("NO_SPACE", "No room for secret", {
      cause: Object.assign(new Error("ENOSPC"), { syscall: "write" }),
    }),
    new SnapshotError("STALE", "Not newer", {
      cause: new Error("x", { cause: Object.assign(new Error("secret"), { errno: 2 }) }),
    }),
    new Error("secret"),
  ];
  const whole = await archived();
  for (const error of errors) {
    await serving(async (ask) => {
      const text = await (await ask("/snapshots/9", put(whole))).text();
      assert.notInclude(text, "secret");
      assert.notInclude(text, "srv");
    }, {
      allowWrites: true,
      target: {
        snapshot: () => Promise.reject(error),
        install: () => Promise.reject(error),
      },
    });
  }
  for (const name of ["__raft_snapshot_meta/x", "__raft_snapshot_meta.tmp/x/y"]) {
    await rejects(manifestOf([name]), "MALFORMED");
  }
});

test("strangers: what the bucket of the server answers is the server's own error, and not the client's", async () => {
  const whole = await archived();
  for (const code of ["FORBIDDEN", "NOT_FOUND", "MALFORMED", "UNSUPPORTED", "STALE", "CORRUPT", "TIMEOUT"] as const) {
    const error = new SnapshotError(code, "GET index of bucket secret failed: 403", {
      source: "https://s3.secret",
      status: 403,
      index: 9n,
    });
    const fails = () => Promise.reject(error);
    const errors: unknown[] = [];
    await serving(async (ask) => {
      for (
        const [path, init] of [["/snapshots/9", put(whole)], ["/snapshots", {
          method: "POST",
          headers: JSON_TYPE,
        }]] as const
      ) {
        const response = await ask(path, init);
        assert.isAtLeast(response.status, 500, `${code} of ${path}`);
        const text = await response.text();
        assert.notInclude(text, "secret");
        assert.strictEqual(JSON.parse(text).code, "UNAVAILABLE");
      }
    }, { allowWrites: true, onError: (it) => errors.push(it), target: { snapshot: fails, install: fails } });
    assert.deepEqual(errors, [error, error], code);
  }
});

test("strangers: a client that breaks off is no error of the server", async () => {
  const whole = await archived();
  const errors: unknown[] = [];
  await serving(async (ask, storage) => {
    for (const path of ["/snapshots/9", "/snapshots/9/manifest"]) {
      for (let at = 0; at < whole.length; at += 5000) {
        const parts = [whole.slice(0, at), whole.slice(at, at + 1)];
        const body = new ReadableStream<Uint8Array>({
          pull(controller) {
            const part = parts.shift();
            if (part === undefined) controller.error(new TypeError("reset"));
            else controller.enqueue(part);
          },
        }, { highWaterMark: 0 });
        const response = await ask(path, put(body));
        assert.isBelow(response.status, 500, String(at));
        await response.body?.cancel();
      }
    }
    assert.deepEqual(await storage.list(), []);
  }, { allowWrites: true, onError: (error) => errors.push(error) });
  assert.deepEqual(errors, []);
});

test("strangers: a notification has to be the leader's, and its sources servers", async () => {
  const notified: string[] = [];
  const target = {
    snapshot: () => Promise.reject(new Error("not asked")),
    install: () => Promise.reject(new Error("not asked")),
    notify({ sources = [] }: { readonly sources?: readonly string[] }) {
      notified.push(...sources);
      return Promise.resolve({ result: "IN_PROGRESS" as const });
    },
  };
  const notify = (ask: Ask, source: string, headers: Record<string, string> = {}) =>
    ask("/snapshots/notification", {
      method: "POST",
      headers: { ...JSON_TYPE, ...headers },
      body: JSON.stringify({ term: String(LARGEST), firstAvailable: { index: "10", term: "1" }, sources: [source] }),
    });
  await serving(async (ask) => {
    for (
      const source of [
        ...["file:///etc/passwd", "data:,x", "ftp://x/", "nonsense", "", "//host/x", "http://u:p@host/"],
        ...[
          "http://169.254.169.254/latest",
          "http://[fe80::1]/",
          "http://[::ffff:169.254.169.254]/",
          "http://0xa9fea9fe/",
        ],
        ...["http://metadata.google.internal./x", "http://[fd00:ec2::254]/", "http://x.METADATA.google.internal/"],
        ...["http://instance-data.ec2.internal/", "http://100.100.100.200/", "http://[64:ff9b::169.254.169.254]/"],
        ...["http://169.254.169.254.nip.io/", "http://a.169-254-169-254.sslip.io/", "http://a9fea9fe.nip.io/"],
      ]
    ) {
      assert.deepEqual(await code(await notify(ask, source)), [403, "FORBIDDEN"], source);
    }
    assert.deepEqual(notified, []);
    for (
      const source of [
        "http://10.0.0.7:8080/",
        "https://node-1.example/x",
        "http://metadata-1.example/",
        "http://n169.example/",
      ]
    ) {
      assert.strictEqual((await notify(ask, source)).status, 200, source);
    }
  }, { authorize: () => true, target });
  notified.length = 0;
  await serving(async (ask) => {
    assert.deepEqual(await code(await notify(ask, "https://a.example/")), [403, "FORBIDDEN"]);
    assert.deepEqual(await code(await notify(ask, "https://b.example/", { "X-Leader": "1" })), [403, "FORBIDDEN"]);
    assert.strictEqual((await notify(ask, "https://a.example/", { "X-Leader": "1" })).status, 200);
    assert.deepEqual(notified, ["https://a.example/"]);
  }, {
    authorize: () => true,
    authorizeLeader: ({ headers }) => headers.has("X-Leader"),
    isSource: ({ hostname }) => hostname === "a.example",
    target,
  });
});

test("strangers: a snapshot behind which there is no room is taken by nobody who did not ask for it", async () => {
  for (const index of [LARGEST, LARGEST - 1n]) {
    const whole = await archived(index);
    await serving(async (ask, storage) => {
      assert.deepEqual(await code(await ask(`/snapshots/${index}`, put(whole))), [422, "MALFORMED"]);
      await rejects(unarchive(begun(whole), storage).result, "MALFORMED");
      const source = await storageWith(index, {});
      const handler = snapshotHandler(source);
      await rejects(pull(storage, [{ url: "http://there", fetch: handler }]).result, "MALFORMED");
      await pull(storage, [{ url: "http://there", fetch: handler }], { index }).result;
      await handler.close();
      await source.close();
    }, { allowWrites: true });
  }
});

test("strangers: addresses and headers of 60 kB are answered", () =>
  serving(async (ask) => {
    for (
      const path of [
        `/snapshots${"/".repeat(60_000)}`,
        "/".repeat(60_000),
        `/snapshots/7/files/${"%2f/".repeat(15_000)}`,
      ]
    ) {
      const response = await ask(path);
      assert.include([400, 404], response.status);
      await response.body?.cancel();
    }
  }));
