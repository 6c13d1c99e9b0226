// The page as a handler answers it, and the status that it shows.

import {
  KeyValueMachine,
  MemoryLog,
  MemoryStorage,
  Replica,
  SnapshotError,
  snapshotHandler,
  type SnapshotHandlerOptions,
  utf8Codec,
} from "../../mod.ts";
import { page } from "../../src/page.ts";
import { assert, pieces, test } from "../support/harness.ts";

async function ask(
  options: SnapshotHandlerOptions,
  path: string,
  init: RequestInit = {},
  storage = new MemoryStorage(),
): Promise<Response> {
  const handler = snapshotHandler(storage, options);
  const response = await handler(new Request(`http://localhost${path}`, init));
  await handler.close();
  return response;
}

test("page: off unless it is asked for, and asked for by name", async () => {
  assert.strictEqual((await ask({}, "/")).status, 404);
  assert.strictEqual((await ask({ page }, "/")).status, 200);
  assert.throws(
    () => snapshotHandler(new MemoryStorage(), { page: true as unknown as typeof page }),
    SnapshotError,
    /snapstream\/page/,
  );
});

test("page: it passes authorize, like everything else", async () => {
  for (const path of ["/", "/page/app.js", "/snapshots/status"]) {
    assert.strictEqual((await ask({ page, authorize: () => false }, path)).status, 403);
  }
  const login = () => new Response(null, { status: 401, headers: { "WWW-Authenticate": "Basic" } });
  assert.strictEqual((await ask({ page, authorize: login }, "/")).status, 401);
});

test("page: a strict policy, and addresses of its own server only", async () => {
  for (const path of ["/", "/page/app.js", "/page/app.css", "/page/icon.svg"]) {
    const response = await ask({ page }, path);
    const policy = response.headers.get("Content-Security-Policy")!;
    assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/);
    assert.notMatch(policy, /unsafe|\*|data:/);
    assert.strictEqual(response.headers.get("X-Content-Type-Options"), "nosniff");
    const text = await response.text();
    if (path === "/") assert.notMatch(text, /https?:|\/\/|style=|<script>|onload/);
    const tag = response.headers.get("ETag")!;
    assert.strictEqual((await ask({ page }, path, { headers: { "If-None-Match": tag } })).status, 304);
    const head = await ask({ page }, path, { method: "HEAD" });
    assert.deepEqual([head.status, await head.text(), head.headers.get("ETag")], [200, "", tag]);
    assert.strictEqual((await ask({ page }, path, { method: "DELETE" })).status, 405);
  }
  for (const path of ["/page", "/page/", "/page/constructor", "/constructor", "/snapshot"]) {
    assert.strictEqual((await ask({ page }, path)).status, 404, path);
  }
});

test("status: what is here, what is received, and of errors the code only", async () => {
  const storage = new MemoryStorage();
  const writer = await storage.create();
  await pieces(new Uint8Array(1000)).pipeTo(writer.file("state"));
  await writer.commit({ lastIncludedIndex: 7n, lastIncludedTerm: 1n, peers: [] });
  const problem = new SnapshotError("UNAVAILABLE", "cannot read /home/somebody/secret");
  const target = {
    snapshot: () => Promise.resolve({ taken: false }),
    install: () => Promise.reject(new Error("not here")),
    status: () => ({
      reason: "no /home/somebody/secret",
      appliedIndex: 9n,
      digest: Uint8Array.of(1, 255),
      problem,
      deep: [{ error: problem }],
      f: () => 1,
    }),
  };
  const response = await ask({ target }, "/snapshots/status", {}, storage);
  assert.strictEqual(response.headers.get("Cache-Control"), "no-store");
  const text = await response.text();
  assert.notInclude(text, "secret");
  const { snapshots, target: said, transfers, retain } = JSON.parse(text);
  assert.deepInclude(snapshots[0], { index: "7", size: 1000, chunks: 1, pinned: false });
  assert.deepEqual([transfers, retain], [[], 2]);
  assert.deepEqual(said, {
    appliedIndex: "9",
    digest: "01ff",
    problem: { code: "UNAVAILABLE" },
    deep: [{ error: { code: "UNAVAILABLE" } }],
  });
  assert.strictEqual((await ask({ target }, "/snapshots/status", { method: "PUT" }, storage)).status, 405);
  const closed = new MemoryStorage();
  await closed.close();
  assert.strictEqual((await ask({}, "/snapshots/status", {}, closed)).status, 503);
});

test("status: an answer that is on its way is counted, and is gone at its end", async () => {
  const storage = new MemoryStorage();
  const writer = await storage.create();
  await pieces(new Uint8Array(2_000_000)).pipeTo(writer.file("state"));
  await writer.commit({ lastIncludedIndex: 7n, lastIncludedTerm: 1n, peers: [] });
  const handler = snapshotHandler(storage);
  const transfers = async () =>
    (await (await handler(new Request("http://localhost/snapshots/status"))).json()).transfers as {
      readonly path: string;
      readonly sent: number;
      readonly size: number;
    }[];
  const reader = (await handler(new Request("http://localhost/snapshots/7/content"))).body!.getReader();
  for (let i = 0; i < 3; i++) await reader.read();
  const [running, ...others] = await transfers();
  assert.deepEqual([running!.path, running!.size, others.length], ["/snapshots/7/content", 2_000_000, 0]);
  assert.isAbove(running!.sent, 0);
  assert.isBelow(running!.sent, 2_000_000);
  await reader.cancel();
  assert.deepEqual(await transfers(), []);
  await handler(new Request("http://localhost/snapshots/8/content"));
  assert.deepEqual(await transfers(), [], "one that was refused is none");
  await handler.close();
});

test("status: the log of a replica, its followers, and how far they are", async () => {
  const machine = new KeyValueMachine(utf8Codec());
  const storage = new MemoryStorage();
  const replica = await Replica.open({ machine, log: new MemoryLog(), storage });
  for (let i = 0; i < 5; i++) await replica.propose(machine.put(`${i}`, "value"));
  replica.log!.acknowledge("b", 2n);
  replica.log!.acknowledge("c", 5n);
  const { log, target } = await (await ask({ target: replica }, "/snapshots/status", {}, storage)).json();
  assert.deepInclude(log, { first: "1", last: "5", role: "leader" });
  const followers = log.followers as readonly { readonly name: string; readonly index: string }[];
  assert.deepEqual(followers.map(({ name, index }) => [name, index]), [["c", "5"], ["b", "2"]]);
  assert.deepInclude(target, { state: "idle", appliedIndex: "5" });
  await replica.close();
});
