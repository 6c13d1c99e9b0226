import {
  archive,
  type MemoryStorage,
  SnapshotError,
  snapshotHandler,
  type SnapshotHandlerOptions,
  SnapshotManifest,
} from "../../mod.ts";
import { toBase64, toHex } from "../../src/stream/mod.ts";
import { assert, bytesOf, noise, test } from "../support/harness.ts";
import { type Files, save, storageWith } from "../support/samples.ts";

const STATE = noise(200_000, 1);
const NAME = "d e/文件/100%?#&+;=😀";
const FILES: Files = { state: STATE, [NAME]: noise(5, 2), empty: noise(0, 1) };

type Ask = (path: string, init?: RequestInit) => Promise<Response>;

/** Does something with a handler. */
async function serving(
  work: (ask: Ask, storage: MemoryStorage) => Promise<void>,
  options: SnapshotHandlerOptions = {},
  files = FILES,
): Promise<void> {
  const storage = await storageWith(7n, files);
  const handler = snapshotHandler(storage, { allowWrites: true, ...options });
  try {
    await work((path, init) => handler(new Request(`http://host${path}`, init)), storage);
  } finally {
    await handler.close();
    await storage.close();
  }
}

/** What a problem document says. */
async function problemOf(response: Response, status: number): Promise<{ code: string; detail: string }> {
  assert.strictEqual(response.status, status);
  assert.strictEqual(response.headers.get("Content-Type"), "application/problem+json");
  const document = await response.json();
  assert.strictEqual(document.status, status);
  assert.isString(document.code);
  return document;
}

const encoded = NAME.split("/").map(encodeURIComponent).join("/");

test("handler: the list", () =>
  serving(async (ask, storage) => {
    await save(storage, 8n, { a: noise(10, 1) });
    const response = await ask("/snapshots");
    const list = await response.json();
    assert.deepEqual(list.map(({ index }: { index: string }) => index), ["8", "7"]);
    assert.deepEqual(list[0].peers, ["p1", "p2"]);
    assert.deepEqual([list[1].size, list[1].files, list[1].digest.length], [200_005, 3, 64]);
    assert.strictEqual((await ask("/snapshots/")).status, 200);
    await (await ask("/snapshots/")).body?.cancel();
  }));

test("handler: manifests in protobuf and in JSON, each with a tag of its own", () =>
  serving(async (ask, storage) => {
    const tags = new Set<string>();
    for (const which of ["7", "latest"]) {
      const response = await ask(`/snapshots/${which}/manifest`);
      assert.strictEqual(response.headers.get("Content-Type"), "application/x-protobuf");
      const manifest = await SnapshotManifest.decode(await response.bytes());
      assert.strictEqual(response.headers.get("ETag"), `"${toHex((await storage.list())[0]!.digest)}"`);
      assert.strictEqual(manifest.file(NAME).chunks!.size, 5);
      tags.add(response.headers.get("ETag")!);
    }
    const response = await ask("/snapshots/7/manifest", { headers: { Accept: "text/html, application/json;q=0.9" } });
    assert.match(response.headers.get("Content-Type")!, /^application\/json/);
    assert.strictEqual(response.headers.get("Vary"), "Accept");
    const json = await response.json();
    assert.strictEqual(json.files.find(({ name }: { name: string }) => name === NAME).size, 5);
    tags.add(response.headers.get("ETag")!);
    assert.strictEqual(tags.size, 2); // strong tags of different bytes (RFC 9110 §8.8.3)
  }));

test("handler: If-None-Match", () =>
  serving(async (ask) => {
    for (const path of ["/snapshots/7/manifest", "/snapshots/7/files/state"]) {
      const first = await ask(path);
      await first.body?.cancel();
      const tag = first.headers.get("ETag")!;
      for (const header of [tag, `W/${tag}`, `"other", ${tag}`, "*"]) {
        for (const method of ["GET", "HEAD"]) {
          const response = await ask(path, { method, headers: { "If-None-Match": header } });
          assert.strictEqual(response.status, 304, header);
          assert.strictEqual(response.headers.get("ETag"), tag);
          assert.isNull(response.body);
        }
      }
      const other = await ask(path, { headers: { "If-None-Match": '"other"' } });
      assert.strictEqual(other.status, 200);
      await other.body?.cancel();
    }
  }));

test("handler: files, with names of all kinds, and their digests", () =>
  serving(async (ask, storage) => {
    const reader = await storage.open();
    const response = await ask("/snapshots/latest/files/state");
    assert.strictEqual(response.headers.get("Content-Length"), "200000");
    assert.strictEqual(response.headers.get("Accept-Ranges"), "bytes");
    const { root } = reader.info("state").chunks!;
    assert.strictEqual(response.headers.get("Repr-Digest"), `chunks-sha256=:${toBase64(root)}:`);
    assert.deepEqual(await bytesOf(response.body!), STATE);
    const small = await ask(`/snapshots/7/files/${encoded}`);
    assert.match(small.headers.get("Repr-Digest")!, /^sha-256=:[A-Za-z0-9+/]{43}=:, chunks-sha256=:/);
    assert.deepEqual(await small.bytes(), noise(5, 2));
    const empty = await ask("/snapshots/7/files/empty");
    assert.deepEqual([empty.status, (await empty.bytes()).length, empty.headers.get("Content-Length")], [200, 0, "0"]);
    const head = await ask("/snapshots/7/files/state", { method: "HEAD", headers: { Range: "bytes=0-1" } });
    assert.deepEqual([head.status, head.headers.get("Content-Length"), head.body], [200, "200000", null]);
  }));

const RANGES: readonly [header: string, status: number, start?: number, end?: number][] = [
  ["bytes=0-0", 206, 0, 1],
  ["bytes=0-", 206, 0, 200_000],
  ["bytes=65535-65536", 206, 65_535, 65_537],
  ["bytes=199999-", 206, 199_999, 200_000],
  ["bytes=100-999999999999999999999", 206, 100, 200_000],
  ["bytes=-1", 206, 199_999, 200_000],
  ["bytes=-999999", 206, 0, 200_000],
  ["Bytes= 5-6 ", 206, 5, 7], // units are case-insensitive
  ["bytes=200000-", 416],
  ["bytes=200000-200001", 416],
  [`bytes=${"9".repeat(400)}-`, 416],
  ["bytes=-0", 416],
  // not understood: as if there were none
  ["bytes=5-4", 200],
  ["bytes=-", 200],
  ["bytes=a-b", 200],
  ["bytes=1.5-2", 200],
  ["bytes=0x1-2", 200],
  ["items=0-1", 200],
  ["0-1", 200],
];

for (const [header, status, start = 0, end = STATE.length] of RANGES) {
  test(`handler: Range ${header.slice(0, 40)}`, () =>
    serving(async (ask) => {
      const response = await ask("/snapshots/7/files/state", { headers: { Range: header } });
      assert.strictEqual(response.status, status);
      const range = response.headers.get("Content-Range");
      if (status === 416) {
        await response.body?.cancel();
        return assert.strictEqual(range, "bytes */200000");
      }
      assert.strictEqual(range, status === 206 ? `bytes ${start}-${end - 1}/200000` : null);
      assert.strictEqual(response.headers.get("Content-Length"), String(end - start));
      assert.deepEqual(await bytesOf(response.body!), STATE.slice(start, end));
    }));
}

test("handler: Range of an empty file, and If-Range", () =>
  serving(async (ask) => {
    for (const Range of ["bytes=0-", "bytes=-5"]) {
      const { status, body } = await ask("/snapshots/7/files/empty", { headers: { Range } });
      assert.strictEqual(status, 416);
      await body?.cancel();
    }
    const tag = (await ask("/snapshots/7/files/state", { method: "HEAD" })).headers.get("ETag")!;
    const cases = [[tag, 206], [`W/${tag}`, 200], ['"x"', 200], ["Sat, 21 Nov 2026 00:00:00 GMT", 200]] as const;
    for (const [header, status] of cases) {
      const headers = { Range: "bytes=0-1", "If-Range": header };
      const response = await ask("/snapshots/7/files/state", { headers });
      assert.strictEqual(response.status, status, header);
      await response.body?.cancel();
    }
  }));

test("handler: an archive", () =>
  serving(async (ask, storage) => {
    const expected = await bytesOf(archive(await storage.open()));
    const response = await ask("/snapshots/7/archive");
    assert.match(response.headers.get("Content-Disposition")!, /snapshot-7\.snapstream/);
    assert.deepEqual(await bytesOf(response.body!), expected);
    const head = await ask("/snapshots/latest/archive", { method: "HEAD" });
    assert.deepEqual([head.status, head.body], [200, null]);
  }));

const NOWHERE = [
  ...[
    "/",
    "/other",
    "/snapshots/8/manifest",
    "/snapshots/0/manifest",
    "/snapshots/07/manifest",
    "/snapshots/-1/manifest",
  ],
  ...["/snapshots/99999999999999999999/manifest", "/snapshots/x/manifest", "/snapshots/7/other"],
  ...["/snapshots/7/manifest/x", "/snapshots/7/archive/", "/snapshots/7/files", "/snapshots/7/files/"],
  ...["/snapshots/7/files/State", "/snapshots/7/files/state/", "/snapshots/7/files/../manifest/x", "//snapshots"],
  ...["/snapshots/7/files/%2e%2e/%2e%2e/etc/passwd", "/snapshots/7/files/..%2f..%2fetc%2fpasswd"],
  ...["/snapshots/7/files/%00", "/snapshots/7/files/__raft_snapshot_meta", "/snapshots/7/files//etc/passwd"],
];

test("handler: 404", () =>
  serving(async (ask) => {
    for (const path of NOWHERE) {
      const response = await ask(path);
      assert.strictEqual(response.status, 404, path);
      assert.strictEqual((await problemOf(response, 404)).code, "NOT_FOUND", path);
    }
    await problemOf(await ask("/snapshots/7/files/%ff"), 400);
    await problemOf(await ask("/snapshots/7/files/%"), 400);
  }));

test("handler: 405 says what is possible", () =>
  serving(async (ask) => {
    const cases = [
      ["DELETE", "/snapshots", "GET, HEAD, POST, OPTIONS"],
      ["PUT", "/snapshots", "GET, HEAD, POST, OPTIONS"],
      ["POST", "/snapshots/7", "GET, HEAD, PUT, OPTIONS"],
      ["PUT", "/snapshots/latest", "GET, HEAD, OPTIONS"],
      ["POST", "/snapshots/7/manifest", "GET, HEAD, PUT, OPTIONS"],
      ["PATCH", "/snapshots/7/files/state", "GET, HEAD, OPTIONS"],
      ["GET", "/snapshots/notification", "POST, OPTIONS"],
    ] as const;
    for (const [method, path, allow] of cases) {
      const response = await ask(path, { method });
      assert.strictEqual(response.status, 405, `${method} ${path}`);
      assert.strictEqual(response.headers.get("Allow"), allow);
      await response.body?.cancel();
    }
  }));

test("handler: authorize gates every route, with an answer of its own if it has one", async () => {
  const routes: [string, string][] = [
    ...["/snapshots", "/snapshots/7/manifest", "/snapshots/7/files/state", "/snapshots/7/archive", "/nothing"]
      .flatMap((path): [string, string][] => [["GET", path], ["HEAD", path]]),
    ["PUT", "/snapshots/8"],
    ["POST", "/snapshots"],
    ["DELETE", "/snapshots"],
  ];
  await serving(async (ask, storage) => {
    for (const [method, path] of routes) {
      const response = await ask(path, { method, ...(method === "PUT" && { body: "x" }) });
      assert.strictEqual(response.status, 403, `${method} ${path}`);
      await response.body?.cancel();
    }
    assert.isFalse((await storage.list())[0]!.pinned);
  }, { authorize: () => Promise.resolve(false) });
  await serving(async (ask) => {
    const response = await ask("/snapshots");
    assert.deepEqual([response.status, response.headers.get("WWW-Authenticate")], [401, "Bearer"]);
    await response.body?.cancel();
  }, { authorize: () => new Response("no", { status: 401, headers: { "WWW-Authenticate": "Bearer" } }) });
});

test("handler: an authorize that returns anything but true, or an answer, refuses", async () => {
  const storage = await storageWith(9n, { state: noise(10, 1) });
  for (const said of [undefined, null, false, 0, 1, "yes", {}, Response.error()]) {
    for (const authorize of [() => said, () => Promise.resolve(said)]) {
      const handler = snapshotHandler(storage, { authorize: authorize as unknown as () => boolean, cors: "*" });
      const response = await handler(new Request("http://host/snapshots"));
      assert.deepEqual([response.status, (await response.json()).code], [403, "FORBIDDEN"], String(said));
      await handler.close();
      const authorizeLeader = authorize as unknown as () => boolean;
      const led = snapshotHandler(storage, { allowWrites: true, authorizeLeader });
      const headers = { "Content-Type": "application/json" };
      const body = JSON.stringify({ term: "1", firstAvailable: { index: "1", term: "1" } });
      const notified = await led(new Request("http://host/snapshots/notification", { method: "POST", headers, body }));
      assert.deepEqual([notified.status, (await notified.json()).code], [403, "FORBIDDEN"], String(said));
      await led.close();
    }
  }
  await storage.close();
});

test("handler: what goes wrong inside is reported inside, and tells the client nothing", async () => {
  const secret = "/var/lib/secret-path/snapshot_7/state";
  for (const code of ["CORRUPT", "FORBIDDEN", "UNAVAILABLE", "NOT_FOUND", "BUSY", "NO_SPACE", "CLOSED"] as const) {
    for (const thrown of [new SnapshotError(code, `Cannot open ${secret}`, { file: secret }), new Error(secret)]) {
      const errors: unknown[] = [];
      await serving(async (ask, storage) => {
        storage.open = () => Promise.reject(thrown);
        storage.list = () => Promise.reject(thrown);
        storage.create = () => Promise.reject(thrown);
        for (
          const path of ["/snapshots", "/snapshots/7/manifest", "/snapshots/7/files/state", "/snapshots/7/archive"]
        ) {
          const response = await ask(path);
          const text = await response.text();
          assert.notInclude(text, "secret", `${code} ${path} ${response.status}`);
          if (response.status >= 500) assert.strictEqual(errors.pop(), thrown);
        }
      }, { onError: (error) => errors.push(error) });
    }
  }
});
