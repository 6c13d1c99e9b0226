// What a client may send, and not do, without harm to the server.

import { archive, MemoryStorage, snapshotHandler, type SnapshotHandlerOptions, Throttle } from "../../mod.ts";
import { keeping } from "../../src/transfer/server/respond.ts";
import { parseNotification } from "../../src/transfer/notification.ts";
import { toHex } from "../../src/stream/mod.ts";
import { assert, bytesOf, noise, rejects, test, turns } from "../support/harness.ts";
import { storageWith } from "../support/samples.ts";
import { writeChunk } from "../support/installs.ts";

const STATE = noise(200_000, 1);

type Ask = (path: string, init?: RequestInit, client?: string) => Promise<Response>;

/** Does something with a handler, and looks that it has let go of everything. */
async function serving(
  work: (ask: Ask, storage: MemoryStorage) => Promise<void>,
  options: SnapshotHandlerOptions = {},
): Promise<void> {
  const storage = await storageWith(7n, { state: STATE, empty: noise(0, 1) });
  const handler = snapshotHandler(storage, { allowWrites: true, ...options });
  await work((path, init, client = "c") => handler(new Request(`http://host${path}`, init), { client }), storage);
  await handler.close();
  while ((await storage.list())[0]!.pinned) await turns(1);
  await storage.close();
}

/** A `POST` that no page of another site can make unasked. */
const JSON_POST = { method: "POST", headers: { "Content-Type": "application/json" } };

async function code(response: Response): Promise<[number, string]> {
  assert.strictEqual(response.headers.get("Content-Type"), "application/problem+json");
  return [response.status, (await response.json()).code];
}

/** A body that begins, and does not go on. */
function stalled(): RequestInit {
  const body = new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(noise(3, 1)) });
  return { method: "PUT", body, duplex: "half" } as RequestInit;
}

/** Whether a request here can have such a method: on Bun it becomes a GET, on workerd it is refused. */
function knows(method: string): boolean {
  try {
    return new Request("http://host", { method }).method === method;
  } catch {
    return false;
  }
}

test("attack: methods that have the names of what objects have", async () => {
  for (const cors of [undefined, "*"] as const) {
    await serving(async (ask) => {
      for (const method of ["constructor", "toString", "valueOf", "hasOwnProperty", "__proto__"]) {
        if (!knows(method)) continue;
        for (const path of ["/snapshots", "/snapshots/7", "/snapshots/7/files/state"]) {
          assert.deepEqual(await code(await ask(path, { method })), [405, "UNSUPPORTED"], `${method} ${path}`);
        }
      }
    }, { ...(cors !== undefined && { cors }), onError: (error) => assert.fail(String(error)) });
  }
});

test("attack: 412 where If-Match asks for something else; weak tags do not match", () =>
  serving(async (ask) => {
    const path = "/snapshots/7/files/state";
    const tag = (await ask(path, { method: "HEAD" })).headers.get("ETag")!;
    for (const header of ['"other"', `W/${tag}`]) {
      assert.deepEqual(await code(await ask(path, { headers: { "If-Match": header } })), [412, "MALFORMED"], header);
    }
    for (const header of [tag, `"other", ${tag}`, "*"]) {
      const response = await ask(path, { headers: { "If-Match": header, Range: "bytes=0-1" } });
      assert.strictEqual(response.status, 206, header);
      await response.body?.cancel();
    }
  }));

test("attack: 416 is a problem document, and no cache keeps it in the place of what never changes", () =>
  serving(async (ask, storage) => {
    const digest = toHex((await storage.list())[0]!.digest);
    for (const path of ["files/state", "content", "archive", "manifest"]) {
      const response = await ask(`/snapshots/${digest}/${path}`, { headers: { Range: "bytes=99999999-" } });
      assert.match(response.headers.get("Content-Range")!, /^bytes \*\/[0-9]+$/);
      assert.strictEqual(response.headers.get("Cache-Control"), "no-store");
      assert.isNull(response.headers.get("Repr-Digest")); // of what was asked for, not of this
      assert.deepEqual(await code(response), [416, "MALFORMED"]);
    }
    const nowhere = await ask(`/snapshots/${"0".repeat(64)}/content`);
    assert.strictEqual(nowhere.headers.get("Cache-Control"), "no-store"); // it may come
    await nowhere.body?.cancel();
  }));

test("attack: lists of ranges with holes", () =>
  serving(async (ask) => {
    const path = "/snapshots/7/files/state";
    for (const Range of ["bytes=,5-6", "bytes=5-6,", "bytes= , ,5-6 ,,"]) {
      const response = await ask(path, { headers: { Range } });
      assert.deepEqual([response.status, response.headers.get("Content-Range")], [206, "bytes 5-6/200000"], Range);
      assert.deepEqual(await response.bytes(), STATE.slice(5, 7));
    }
    for (const Range of ["bytes=", "bytes=,", `bytes=${"0-0,".repeat(65)}`, "bytes=0-1, bytes=2-3"]) {
      const response = await ask(path, { headers: { Range } });
      assert.strictEqual(response.status, 200, Range.slice(0, 40));
      await response.body?.cancel();
    }
  }));

test("attack: several ranges of what has not all come are refused before anything is sent", async () => {
  const source = await storageWith(9n, { state: STATE });
  const reader = await source.open();
  const storage = new MemoryStorage();
  const install = await storage.install(reader.manifest);
  await install.prepare();
  await writeChunk(install, "state", 0, STATE.slice(0, 65_536));
  const handler = snapshotHandler(storage, { allowWrites: true });
  const ask = (Range: string) =>
    handler(new Request(`http://host/snapshots/${toHex(reader.manifest.digest)}/content`, { headers: { Range } }));
  const here = await ask("bytes=0-9,65530-65535");
  assert.strictEqual(here.status, 206);
  assert.isAbove((await here.bytes()).length, 16);
  assert.deepEqual(await code(await ask("bytes=0-9,100000-100009")), [503, "UNAVAILABLE"]);
  await Promise.all([handler.close(), install.close(), reader.close()]);
  await Promise.all([storage.close(), source.close()]);
});

test("attack: authorize may read the body", async () => {
  let allowed = false;
  await serving(async (ask) => {
    const init = { method: "PUT", body: "x" };
    assert.deepEqual(await code(await ask("/snapshots/8", init)), [403, "FORBIDDEN"]);
    allowed = true;
    assert.deepEqual(await code(await ask("/snapshots/7/files/state", init)), [405, "UNSUPPORTED"]);
  }, {
    async authorize(request) {
      await request.text();
      return allowed;
    },
  });
});

test("attack: who does not read what it asked for loses its place and its snapshot", async () => {
  for (const throttle of [undefined, new Throttle(1e9)]) {
    await serving(async (ask, storage) => {
      for (const path of ["files/state", "content", "archive"]) {
        for (const Range of ["bytes=0-", "bytes=0-9,100000-199999"]) {
          const unread = await ask(`/snapshots/7/${path}`, { headers: { Range } });
          const next = await ask("/snapshots/7/files/state", { headers: { Range: "bytes=0-1" } }); // waits for its place
          assert.strictEqual(next.status, 206);
          assert.deepEqual(await next.bytes(), STATE.slice(0, 2));
          await rejects(unread.bytes(), "TIMEOUT");
        }
      }
      assert.lengthOf(await storage.list(), 1);
    }, { maxTransfers: 1, stallTimeout: 20, leaseDuration: 1, ...(throttle !== undefined && { throttle }) });
  }
});

test("attack: who begins to send and does not go on is answered, and loses its place", () =>
  serving(async (ask, storage) => {
    for (const path of ["/snapshots/8", "/snapshots/8/manifest"]) {
      const response = await ask(path, stalled());
      assert.strictEqual(response.headers.get("Connection"), "close");
      assert.deepEqual(await code(response), [408, "TIMEOUT"], path);
    }
    assert.deepEqual(await code(await ask("/snapshots/notification", { ...stalled(), ...JSON_POST })), [
      408,
      "TIMEOUT",
    ]);
    assert.isUndefined(storage.installing);
  }, { maxTransfers: 1, stallTimeout: 20, receiveThrottle: new Throttle(1e9) }));

test("attack: what comes in small pieces does not stall", async () => {
  const source = await storageWith(9n, { state: STATE });
  const reader = await source.open();
  const whole = await bytesOf(archive(reader));
  await serving(async (ask, storage) => {
    let at = 0;
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        await turns(1);
        controller.enqueue(whole.slice(at, at += 10_000));
        if (at >= whole.length) controller.close();
      },
    });
    const answer = await ask("/snapshots/9", { method: "PUT", body, duplex: "half" } as RequestInit);
    assert.strictEqual(answer.status, 201);
    await answer.body?.cancel();
    assert.strictEqual((await storage.list())[0]!.meta.lastIncludedIndex, 9n);
  }, { stallTimeout: 10_000 });
  await reader.close();
  await source.close();
});

test("attack: what is kept for an answer is let go once, also if letting go fails", async () => {
  for (const how of ["read", "cancel", "cancel while reading", "fail", "empty"]) {
    let released = 0;
    const release = () => {
      released++;
      return Promise.reject(new Error("cannot close"));
    };
    let pulls = 0;
    const body = how === "empty" ? null : new ReadableStream<Uint8Array>({
      pull(controller) {
        if (how === "cancel while reading") return new Promise(() => {});
        if (pulls++ === 0) return controller.enqueue(noise(3, 1));
        if (how === "fail") controller.error(new Error("disk"));
        else controller.close();
      },
    }, { highWaterMark: 0 });
    const response = keeping(new Response(body as BodyInit | null), release, 60_000);
    const reader = response.body?.getReader();
    if (how === "cancel while reading") void reader?.read();
    if (how.startsWith("cancel")) await reader?.cancel();
    else if (how === "fail") await reader?.read().then(() => reader.read()).then(() => assert.fail(), () => {});
    else while (reader !== undefined && !(await reader.read()).done);
    await turns(2);
    assert.strictEqual(released, 1, how);
  }
});

test("attack: numbers in a notification that are none", () => {
  const notification = (term: unknown, index: unknown) =>
    new TextEncoder().encode(JSON.stringify({ term, firstAvailable: { index, term: "1" } }));
  const largest = String(2n ** 63n - 1n);
  assert.strictEqual(parseNotification(notification(largest, largest)).term, 2n ** 63n - 1n);
  for (const wrong of [String(2n ** 63n), "9999999999999999999", "-1", "", "1.5", 1, null, "0x1", " 1", {}]) {
    assert.throws(() => parseNotification(notification(wrong, "1")), /term/);
    assert.throws(() => parseNotification(notification("1", wrong)), /index/);
  }
  for (const bytes of [noise(100, 1), noise(0, 1), new TextEncoder().encode("[]"), new TextEncoder().encode("null")]) {
    assert.throws(() => parseNotification(bytes));
  }
});

test("attack: a notification, an offer, and their sizes", () =>
  serving(async (ask) => {
    const post = (body: BodyInit) => ask("/snapshots/notification", { ...JSON_POST, body });
    assert.deepEqual(await code(await post(" ".repeat(70_000))), [400, "MALFORMED"]);
    assert.deepEqual(await code(await post("{}")), [400, "MALFORMED"]);
    assert.deepEqual(await code(await post("x")), [400, "MALFORMED"]);
    const offer = (body: BodyInit) => ask("/snapshots/8/manifest", { method: "PUT", body });
    for (const body of [noise(1000, 5), noise(0, 1), "<html>"]) {
      assert.strictEqual((await code(await offer(body)))[0], 422);
    }
  }));

test("attack: an address that is none", async () => {
  const storage = new MemoryStorage();
  const handler = snapshotHandler(storage, { onError: (error) => assert.fail(String(error)) });
  const like = (url: string) =>
    ({ url, method: "GET", headers: new Headers(), body: null, bodyUsed: false }) as Request;
  assert.deepEqual(await code(await handler(like("http://a b/snapshots"))), [400, "MALFORMED"]);
  assert.strictEqual((await handler(like("/snapshots"))).status, 200); // Bun, of HTTP/1.0 with no Host
  await handler.close();
  await storage.close();
});
