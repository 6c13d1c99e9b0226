// Over real sockets, from disk to disk.

import {
  MemoryStorage,
  pull,
  push,
  snapshotHandler,
  type SnapshotHandlerOptions,
  type SnapshotStorage,
  Throttle,
} from "../../mod.ts";
import { DirectoryStorage } from "../../src/storage/directory/storage.ts";
import { serve, type Server } from "../../src/transfer/server/serve.ts";
import { assert, bytesOf, noise, rejects, test, turns } from "../support/harness.ts";
import { inTemp } from "../support/temp.ts";
import { fromHex, save } from "../support/samples.ts";
import { accepted } from "../support/braft_manifests.ts";
import { mkdir, writeFile } from "node:fs/promises";

const SIZE = 20_000_000;
const FILES = { "data/state": noise(SIZE - 1000, 1), "d/😀 %": noise(1000, 2) };

interface Served {
  readonly url: string;
  stop(): Promise<void>;
}

async function served(storage: SnapshotStorage, options: SnapshotHandlerOptions = {}): Promise<Served> {
  const handler = snapshotHandler(storage, { allowWrites: true, ...options });
  const server: Server = await serve(handler, { port: 0 });
  return {
    url: server.url,
    async stop() {
      await server.close();
      await handler.close();
    },
  };
}

/** Two directories: one with a snapshot, one without. */
function between(
  work: (there: DirectoryStorage, here: DirectoryStorage, root: string) => Promise<void>,
): Promise<void> {
  return inTemp(async (root) => {
    const there = await DirectoryStorage.open(`${root}/there`, { durability: "none" });
    const here = await DirectoryStorage.open(`${root}/here`, { durability: "none" });
    try {
      await save(there, 9n, FILES);
      await work(there, here, root);
    } finally {
      await there.close();
      await here.close();
    }
  });
}

async function check(storage: SnapshotStorage): Promise<void> {
  const reader = await storage.open(9n);
  const { ok, bytes } = await reader.verify().result;
  assert.deepEqual([ok, bytes], [true, SIZE]);
  assert.deepEqual(await bytesOf(reader.file("d/😀 %")), FILES["d/😀 %"]);
  await reader.close();
}

/** Waits until nothing keeps a snapshot any more. */
async function unpinned(storage: SnapshotStorage): Promise<void> {
  while ((await storage.list()).some(({ pinned }) => pinned)) await turns(1);
}

test("HTTP: pull", () =>
  between(async (there, here) => {
    const server = await served(there);
    const { fetched } = await pull(here, [server.url]).result;
    assert.strictEqual(fetched, SIZE);
    await check(here);
    await server.stop();
    await unpinned(there);
  }));

test("HTTP: a server without a limit on stalls serves as any other", async () => {
  for (const stallTimeout of [0, Infinity]) {
    const server = await serve(() => new Response("served"), { port: 0, stallTimeout });
    assert.strictEqual(await (await fetch(server.url)).text(), "served");
    await server.close();
  }
});

test("HTTP: push, and push again", () =>
  between(async (there, here) => {
    const server = await served(here);
    const reader = await there.open();
    await push(reader, server.url).result;
    await check(here);
    assert.isTrue((await push(reader, server.url)).upToDate);
    await reader.close();
    await server.stop();
  }));

test("HTTP: push to a server that does not allow it", () =>
  between(async (there, here) => {
    const server = await served(here, { authorize: ({ headers }) => headers.get("Authorization") === "Bearer x" });
    const reader = await there.open();
    await rejects(push(reader, server.url).result, "FORBIDDEN");
    await push(reader, { url: server.url, headers: { Authorization: "Bearer x" } }).result;
    await check(here);
    await reader.close();
    await server.stop();
  }));

test("HTTP: a push that is cancelled half-way leaves nothing", () =>
  between(async (there, here) => {
    const server = await served(here);
    const reader = await there.open();
    const stop = new AbortController();
    const operation = push(reader, server.url, { signal: stop.signal, throttle: new Throttle(20_000_000) });
    for await (const { bytes } of operation) {
      if (bytes > SIZE / 4) break;
    }
    stop.abort();
    await rejects(operation.result, "CANCELLED");
    for (;;) { // until the server has noticed
      const writer = await here.create().catch(() => undefined);
      if (writer !== undefined) {
        await writer.abort();
        break;
      }
      await turns(1);
    }
    assert.deepEqual(await here.list(), []);
    await push(reader, server.url).result;
    await check(here);
    await reader.close();
    await server.stop();
  }));

test("HTTP: a pull that was cancelled half-way goes on where it was, also after a restart", () =>
  between(async (there, here, root) => {
    const server = await served(there, { throttle: new Throttle(40_000_000) });
    const stop = new AbortController();
    const first = pull(here, [server.url], { signal: stop.signal });
    for await (const { bytes, phase } of first) {
      if (phase === "fetch" && bytes > SIZE / 2) break;
    }
    stop.abort();
    await rejects(first.result, "CANCELLED");
    await here.close();
    const again = await DirectoryStorage.open(`${root}/here`, { durability: "none" });
    const { fetched, reused } = await pull(again, [server.url]).result;
    assert.isAtLeast(reused, SIZE / 2);
    assert.strictEqual(fetched + reused, SIZE);
    await check(again);
    await again.close();
    await server.stop();
  }));

test("HTTP: a server is killed half-way, and another takes over", () =>
  between(async (there, here) => {
    const doomed = await served(there, { throttle: new Throttle(20_000_000) });
    const other = await served(there, { throttle: new Throttle(20_000_000) });
    const operation = pull(here, [doomed.url, other.url], { retryFor: 100 });
    let killed: Promise<void> | undefined;
    for await (const { bytes } of operation) {
      if (bytes > SIZE / 4) killed ??= doomed.stop();
    }
    assert.strictEqual((await operation.result).fetched, SIZE);
    await killed;
    await check(here);
    await other.stop();
  }));

test("HTTP: a client that goes away in the middle lets the snapshot go", () =>
  between(async (there) => {
    const server = await served(there, { leaseDuration: 1 });
    for (const path of ["files/data/state", "archive"]) {
      const stop = new AbortController();
      const response = await fetch(`${server.url}/snapshots/9/${path}`, { signal: stop.signal });
      const reader = response.body!.getReader();
      await reader.read();
      stop.abort();
      await reader.read().catch(() => {});
      await unpinned(there);
    }
    await server.stop();
  }));

test("HTTP: HEAD, ranges and errors come through as they are", () =>
  between(async (there) => {
    const server = await served(there);
    const path = `${server.url}/snapshots/9/files/d/${encodeURIComponent("😀 %")}`;
    const head = await fetch(path, { method: "HEAD" });
    assert.deepEqual([head.status, head.headers.get("Content-Length")], [200, "1000"]);
    await head.body?.cancel();
    const part = await fetch(path, { headers: { Range: "bytes=10-19" } });
    assert.deepEqual([part.status, part.headers.get("Content-Range")], [206, "bytes 10-19/1000"]);
    assert.deepEqual(await part.bytes(), FILES["d/😀 %"].slice(10, 20));
    const tag = part.headers.get("ETag")!;
    const unchanged = await fetch(path, { headers: { "If-None-Match": tag } });
    assert.strictEqual(unchanged.status, 304);
    await unchanged.body?.cancel();
    const nowhere = await fetch(`${server.url}/snapshots/9/files/x`);
    assert.strictEqual((await nowhere.json()).code, "NOT_FOUND");
    await server.stop();
  }));

/** A snapshot as braft leaves it. */
async function braftSnapshot(root: string, name: string, content: Uint8Array): Promise<void> {
  const { hex, index, files } = accepted.find((manifest) => manifest.name === name)!;
  const directory = `${root}/snapshot_${String(index).padStart(20, "0")}`;
  for (const { name, source } of files) {
    if (source === "reference") continue;
    await mkdir(`${directory}/${name}`.replace(/\/[^/]*$/, ""), { recursive: true });
    await writeFile(`${directory}/${name}`, content);
  }
  await writeFile(`${directory}/__raft_snapshot_meta`, fromHex(hex));
}

test("HTTP: a snapshot that braft wrote is served, with digests", () =>
  inTemp(async (root) => {
    const content = noise(700_000, 3);
    await braftSnapshot(root, "nested", content);
    const there = await DirectoryStorage.open(root);
    const server = await served(there);
    const here = new MemoryStorage();
    const { snapshot } = await pull(here, [server.url]).result;
    assert.strictEqual(snapshot.meta.lastIncludedIndex, 1000n);
    const reader = await here.open();
    assert.strictEqual(reader.verified, "chunks");
    assert.deepEqual(await bytesOf(reader.file("data/table/000001.sst")), content);
    assert.strictEqual(reader.info("data/table/000001.sst").userMeta!.length, 14);
    const source = await there.open();
    const other = new MemoryStorage();
    const target = await served(other);
    await push(source, target.url).result;
    assert.deepEqual((await other.list())[0]!.digest, snapshot.digest);
    await source.close();
    for (const it of [server, target]) await it.stop();
    await there.close();
  }));

test("HTTP: a file that braft only refers to is not found, and nobody is told where it is not", () =>
  inTemp(async (root) => {
    await braftSnapshot(root, "reference", noise(4, 1));
    const there = await DirectoryStorage.open(root);
    const server = await served(there);
    for (const path of ["manifest", "files/external.sst"]) {
      const response = await fetch(`${server.url}/snapshots/500/${path}`);
      assert.strictEqual(response.status, 404);
      assert.notInclude(await response.text(), root);
    }
    await server.stop();
    await unpinned(there);
    await there.close();
  }));
