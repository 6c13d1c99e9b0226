// Strangers at the log that a handler serves: who waits, who never reads, who asks for what cannot be, and who claims
// to lead.

import { ed25519Verifier, MemoryStorage, snapshotHandler, type SnapshotHandlerOptions } from "../../mod.ts";
import type { ServedLog } from "../../src/extend.ts";
import { pause } from "../../src/async/mod.ts";
import { inFakeTime } from "../support/fake_clock.ts";
import { assert, rejects, test, turns } from "../support/harness.ts";
import { type Node, node, put, within } from "../support/log_nodes.ts";

type Ask = (path: string, init?: RequestInit, client?: string) => Promise<Response>;

const POST = { method: "POST", headers: { "Content-Type": "application/json" } };
const LARGEST = 2n ** 63n - 1n;

/** Does something with a handler of a leader's that has ten entries. */
function serving(
  work: (ask: Ask, leader: Node) => Promise<void>,
  options: SnapshotHandlerOptions = {},
  change: (log: ServedLog) => ServedLog = (log) => log,
): Promise<void> {
  return inFakeTime(async () => {
    const leader = await node("leader");
    await within([leader], async () => {
      await put(leader, 10);
      const target = {
        snapshot: () => Promise.reject(new Error("not asked")),
        install: () => Promise.reject(new Error("not asked")),
        log: change(leader.replica.log!),
      };
      const storage = new MemoryStorage();
      const handler = snapshotHandler(storage, { target, ...options });
      await work((path, init, client = "c") => handler(new Request(`http://h${path}`, init), { client }), leader);
      await handler.close();
      await storage.close();
    });
  });
}

/** The status of an answer, whose body is not wanted. */
async function statusOf(answer: Promise<Response>): Promise<number> {
  const { status, body } = await answer;
  await body?.cancel();
  return status;
}

test("strangers: who waits for the log for hours leaves nothing behind for each heartbeat", async () => {
  let [waiting, most] = [0, 0];
  const counting = (log: ServedLog): ServedLog =>
    Object.assign(Object.create(log) as ServedLog, {
      status: () => log.status(),
      digest: (index: bigint) => log.digest(index),
      term: (index: bigint) => log.term(index),
      batch: (from: bigint, to?: bigint) => log.batch(from, to),
      async appended(index: bigint, signal?: AbortSignal) {
        most = Math.max(most, ++waiting);
        await log.appended(index, signal);
        waiting--;
      },
    });
  await serving(
    async (ask) => {
      const { body } = await ask("/log?from=11&wait");
      const reader = body!.getReader();
      for (let heartbeats = 0; heartbeats < 200; heartbeats++) await reader.read();
      await reader.cancel();
      assert.deepEqual([most, waiting], [1, 0]);
    },
    {},
    counting,
  );
});

test("strangers: indices and digests that cannot be are answered, and nothing is looked for", () =>
  serving(async (ask) => {
    const expected: Readonly<Record<string, number>> = {
      "from=0": 400,
      "from=-1": 400,
      "from=1.5": 400,
      "from=": 400,
      [`from=${LARGEST + 1n}`]: 400,
      [`from=${"9".repeat(1000)}`]: 400,
      "from=5&to=4": 400,
      [`from=1&to=${LARGEST + 1n}`]: 400,
      [`from=${LARGEST}`]: 409,
      [`from=${LARGEST}&wait`]: 409,
      "from=12&wait": 409,
      [`from=3&digest=${"f".repeat(10_000)}`]: 409,
      "from=3&digest=": 409,
      [`index=${LARGEST}`]: 404,
      "index=x": 400,
      [`follower=${"x".repeat(10_000)}&durable=1`]: 200,
      "follower=x&durable=x": 200, // who may only read is not heard
      "from=11": 200,
      [`from=1&to=${LARGEST}`]: 200,
    };
    const statuses = Object.keys(expected).map(async (query) => [query, await statusOf(ask(`/log?${query}`))]);
    assert.deepEqual(Object.fromEntries(await Promise.all(statuses)), expected);
    for (const path of ["/log/", "/log/x", "/log/leader/x", "/log//"]) {
      const status = await statusOf(ask(path));
      assert.strictEqual(status, path === "/log/" ? 200 : 404, path);
    }
  }));

test("strangers: ten thousand waits of one client leave room for another's, and are given back", () =>
  serving(async (ask) => {
    const answers: Response[] = [];
    let isOver = false;
    const all = Array.from({ length: 10_000 }, () =>
      ask("/log?from=11&wait").then(async (answer) => {
        answers.push(answer);
        if (isOver) await answer.body!.cancel();
      }));
    while (answers.length < 10_000 - 16) await turns(1); // the others wait
    const counts = (status: number) => answers.filter((answer) => answer.status === status).length;
    assert.deepEqual([counts(200), counts(429)], [224, 10_000 - 224 - 16]);
    const other = await ask("/log?from=11&wait", {}, "another");
    assert.strictEqual(other.status, 200);
    await other.body!.cancel();
    isOver = true;
    await Promise.all(answers.map(({ body }) => body!.cancel()));
    await Promise.all(all); // those that had waited got places then
    assert.strictEqual(await statusOf(ask("/log?from=11&wait")), 200);
  }));

test("strangers: who asks for the log and reads nothing is aborted, and its place is free", () =>
  serving(async (ask, leader) => {
    await put(leader, 2000, 10); // two batches and more
    for (const [query, places] of [["from=1", 32], ["from=1&wait", 256]] as const) {
      const unread = Array.from({ length: places }, (_, i) => ask(`/log?${query}`, {}, String(i)));
      const next = await ask(`/log?${query}`, {}, "next"); // waits until one of them is gone
      assert.strictEqual(next.status, 200);
      await next.body!.cancel();
      await pause(60_000, undefined);
      for (const answer of await Promise.all(unread)) await rejects(answer.bytes(), "TIMEOUT");
    }
  }, { stallTimeout: 2000 }));

test("strangers: a word on who leads has to be small, right, and of a term behind which others can lead", async () => {
  const asked: string[] = [];
  await serving(async (ask, leader) => {
    const say = (body: string) => statusOf(ask("/log/leader", { ...POST, body }));
    const wrong = [
      "",
      "null",
      "[]",
      "{}",
      '{"term":"-1"}',
      '{"term":1.5}',
      '{"term":"2","leader":7}',
      "x".repeat(5000),
    ];
    for (const body of wrong) assert.oneOf(await say(body), [400, 422], body.slice(0, 50));
    assert.oneOf(await say(JSON.stringify({ term: String(LARGEST), leader: "http://evil" })), [400, 422]);
    assert.oneOf(await say(JSON.stringify({ term: String(2n ** 62n + 1n) })), [400, 422]);
    await put(leader, 1); // it still leads
    assert.strictEqual(await say(JSON.stringify({ term: "1", leader: "http://late" })), 200);
    await put(leader, 1);
    assert.strictEqual(await statusOf(ask("/log/leader", { ...POST, headers: {}, body: '{"term":"9"}' })), 415);
    assert.deepEqual(asked.splice(0).length, wrong.length + 3);
  }, { allowWrites: true, authorizeLeader: ({ url }) => asked.push(url) > 0 });
  await serving(async (ask, leader) => {
    assert.strictEqual(await statusOf(ask("/log/leader", { ...POST, body: '{"term":"9"}' })), 403);
    await put(leader, 1);
  }, { allowWrites: true, authorizeLeader: () => false, verifier: ed25519Verifier([]) });
});

test("strangers: who asks what goes on learns of no index that is none, and holds up nobody", () =>
  serving(async (ask) => {
    const expected: Readonly<Record<string, number>> = {
      "/snapshots/status": 200,
      "/snapshots/status/x": 404,
      "/snapshots/1/install": 404, // nothing is known of one
      [`/snapshots/${LARGEST}/install`]: 404,
      [`/snapshots/${"9".repeat(30)}/install`]: 404,
      "/snapshots/latest/install": 404,
      "/": 404, // no page is served
    };
    const statuses = Object.keys(expected).map(async (path) => [path, await statusOf(ask(path))]);
    assert.deepEqual(Object.fromEntries(await Promise.all(statuses)), expected);
    const answers = await Promise.all(Array.from({ length: 1000 }, () => ask("/snapshots/status")));
    const other = await ask("/snapshots/status", {}, "another");
    assert.strictEqual(other.status, 200);
    const allowed = answers.filter(({ status }) => status === 200).length;
    assert.isAtLeast(allowed, 56);
    assert.strictEqual(answers.filter(({ status }) => status === 429).length, 1000 - allowed);
    await Promise.all([other, ...answers].map(({ body }) => body?.cancel())); // of which nothing was read
    assert.strictEqual(await statusOf(ask("/snapshots/status")), 200);
    assert.strictEqual(await statusOf(ask("/snapshots/status", { ...POST, body: "{}" })), 405);
  }));
