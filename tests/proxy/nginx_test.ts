// nginx in front of a handler, as people set it up: as a proxy, a cache, with gzip, with its limits, and moving.

import {
  KeyValueMachine,
  MemoryLog,
  MemoryStorage,
  openRemote,
  pull,
  push,
  Replica,
  type SnapshotTarget,
  unarchive,
  utf8Codec,
} from "../../mod.ts";
import { assert, gate, noise, rejects, test } from "../support/harness.ts";
import { storageWith } from "../support/samples.ts";
import { behindNginx, CACHE, CACHED, GZIP, pulled } from "./nginx.ts";

const SIZE = 3_000_000;
const FILES = { state: noise(SIZE - 1000, 1), "a/b": noise(1000, 2) };

test("nginx: pull, push and remote reading through a proxy with gzip", async () => {
  const there = await storageWith(9n, FILES);
  await behindNginx(there, { http: GZIP }, async ({ url }) => {
    await pulled(url, 9n);
    const first = await fetch(`${url}/snapshots/latest/manifest`);
    const tag = first.headers.get("ETag")!;
    await first.body?.cancel();
    const again = await fetch(`${url}/snapshots/latest/manifest`, { headers: { "If-None-Match": tag } });
    assert.strictEqual(again.status, 304, "gzip makes the tag a weak one");
    await again.body?.cancel();
    const remote = await openRemote(url);
    assert.deepEqual(await new Response(remote.file("a/b") as BodyInit).bytes(), FILES["a/b"]);
    await remote.close();
    const newer = await storageWith(10n, { state: noise(SIZE, 3) });
    const reader = await newer.open();
    await push(reader, url).result;
    assert.deepEqual((await there.list())[0]!.digest, reader.manifest.digest);
    await reader.close();
    await newer.close();
  });
  await there.close();
});

test("nginx: a body over client_max_body_size is refused at once, and the message says what to do", async () => {
  const there = new MemoryStorage();
  await behindNginx(there, { http: "client_max_body_size 1m;" }, async ({ url, asked }) => {
    const from = await storageWith(9n, FILES);
    const reader = await from.open();
    const error = await rejects(push(reader, url), "UNSUPPORTED");
    assert.strictEqual(error.fields.status, 413);
    assert.include(error.message, "client_max_body_size");
    assert.strictEqual(asked.filter((line) => line === "PUT /snapshots/9").length, 0, "nginx answers itself");
    assert.deepEqual(await there.list(), []);
    await reader.close();
    await from.close();
  });
  await there.close();
});

test("nginx: what moved is followed where that is safe, with method and body, and named where it is not", async () => {
  for (const status of [301, 302, 307, 308]) {
    const there = await storageWith(9n, FILES);
    await behindNginx(there, { instead: `return ${status} $up$request_uri;` }, async ({ url, direct, asked }) => {
      const from = await storageWith(10n, { state: noise(300_000, 3) });
      const reader = await from.open();
      const refused = await rejects(push(reader, url), "FORBIDDEN");
      assert.include(refused.message, direct);
      await rejects(pull(new MemoryStorage(), [url], { retryFor: 0 }), "FORBIDDEN");
      assert.deepEqual(asked, [], "nothing went there");
      await push(reader, { url, redirects: [direct] }).result;
      assert.deepEqual((await there.list())[0]!.digest, reader.manifest.digest, String(status));
      const here = new MemoryStorage();
      await pull(here, [{ url, redirects: [direct] }]).result;
      await Promise.all([reader.close(), from.close(), here.close()]);
    });
    await there.close();
  }
});

test("nginx: an upstream that is gone is named by what nginx says, and waited for", async () => {
  const there = await storageWith(9n, FILES);
  await behindNginx(there, { instead: "proxy_pass http://127.0.0.1:1;" }, async ({ url }) => {
    const here = new MemoryStorage();
    const error = await rejects(pull(here, [url], { retryFor: 300 }), "UNAVAILABLE");
    assert.match(error.message, /answered 502 with text\/html/);
    await here.close();
  });
  await there.close();
});

test("nginx: a follower of the log behind a proxy that buffers has each entry as it comes", async () => {
  const leader = new KeyValueMachine(utf8Codec());
  const storage = new MemoryStorage();
  const replica = await Replica.open({ machine: leader, log: new MemoryLog(), storage });
  const options = { http: CACHE, location: CACHED };
  await behindNginx(storage, options, async ({ url }) => {
    const machine = new KeyValueMachine(utf8Codec());
    const here = await Replica.open({ machine, log: new MemoryLog(), storage: new MemoryStorage() });
    const follower = here.follow([url]);
    for (let i = 0; i < 5; i++) {
      const { index } = await replica.propose(leader.put(`k${i}`, "v"));
      await follower.caughtUp(index);
      assert.strictEqual(machine.get(`k${i}`), "v");
    }
    await here.close();
  }, { target: replica, allowWrites: true });
  await replica.close();
});

test("nginx: a load that takes longer than a proxy may wait is asked after, and ends with the truth", async () => {
  const there = new MemoryStorage();
  const polled = gate();
  const target: SnapshotTarget = {
    snapshot: () => assert.fail(),
    install: (archive, options) =>
      unarchive(archive, there, { ...options, check: () => polled.promise }).then((snapshot) => ({ snapshot })),
  };
  const authorize = ({ url }: Request) => {
    if (url.endsWith("/install")) polled.open(); // without 202 nginx would answer 504 first, in its `proxy_read_timeout`
    return true;
  };
  const from = await storageWith(9n, { state: noise(300_000, 1) });
  const reader = await from.open();
  await behindNginx(there, { location: "proxy_read_timeout 30s;" }, async ({ url, asked }) => {
    await push(reader, url).result;
    assert.deepEqual((await there.list())[0]!.digest, reader.manifest.digest);
    assert.strictEqual(asked.filter((line) => line === "PUT /snapshots/9").length, 1);
  }, { target, authorize });
  await Promise.all([reader.close(), from.close(), there.close()]);
});
