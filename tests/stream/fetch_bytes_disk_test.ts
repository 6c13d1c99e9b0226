// Bytes by the shortest way: on Node past `fetch`, and yet with what `fetch` does.

import { Buffer } from "node:buffer";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { gzipSync } from "node:zlib";
import { fetchBytes } from "../../src/stream/mod.ts";
import { assert, closing, test } from "../support/harness.ts";

const BYTES = Uint8Array.from({ length: 1_000_000 }, (_, i) => i * 7 + (i >> 9));

/** Starts a server; its address. */
async function serving(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing({
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function wanted(url: string, signal?: AbortSignal): Request {
  const headers = { "Accept-Encoding": "identity", Range: "bytes=0-" };
  return new Request(url, { headers, redirect: "manual", ...(signal !== undefined && { signal }) });
}

async function failure(work: Promise<unknown>): Promise<Error> {
  return await work.then(() => assert.fail("It did not fail"), (error) => error as Error);
}

test("fetchBytes: all bytes come, with status and headers", async () => {
  let seen: IncomingMessage | undefined;
  const url = await serving((request, response) => {
    seen = request;
    response.writeHead(206, { "Content-Range": "bytes 0-999999/1000000", "X-Name": "one" }).end(BYTES);
  });
  const response = await fetchBytes(wanted(`${url}/a/b?c=d`));
  assert.strictEqual(response.status, 206);
  assert.strictEqual(response.headers.get("Content-Range"), "bytes 0-999999/1000000");
  assert.strictEqual(response.headers.get("X-Name"), "one");
  assert.deepEqual(new Uint8Array(await response.arrayBuffer()), BYTES);
  assert.strictEqual(seen!.url, "/a/b?c=d");
  assert.strictEqual(seen!.headers.range, "bytes=0-");
  // The `fetch` of Node says what it is, and what goes past it does not.
  assert.isUndefined(seen!.headers["sec-fetch-mode"]);
});

test("fetchBytes: a redirect is not followed, and an answer may have no body", async () => {
  const url = await serving(({ url }, response) => {
    if (url === "/moved") response.writeHead(307, { Location: "/there" }).end();
    else response.writeHead(304).end();
  });
  const moved = await fetchBytes(wanted(`${url}/moved`));
  assert.strictEqual(moved.status, 307);
  assert.strictEqual(moved.headers.get("Location"), "/there");
  assert.strictEqual(await moved.text(), "");
  assert.strictEqual((await fetchBytes(wanted(url))).status, 304);
});

test("fetchBytes: what is compressed though nobody asked for it comes as the runtime's fetch gives it", async () => {
  const url = await serving((_, response) => {
    response.writeHead(200, { "Content-Encoding": "gzip" }).end(gzipSync(BYTES));
  });
  const [response, own] = [await fetchBytes(wanted(url)), await fetch(wanted(url))]; // not all decompress it
  assert.deepEqual(new Uint8Array(await response.arrayBuffer()), new Uint8Array(await own.arrayBuffer()));
});

test("fetchBytes: a server is not read ahead of who reads its answer", async () => {
  const total = 64 * 1024 * 1024;
  let sent = 0;
  let stopped: () => void = () => {};
  const isFull = new Promise<void>((resolve) => stopped = resolve);
  const url = await serving((_, response) => {
    response.writeHead(200, { "Content-Length": total });
    const block = Buffer.alloc(256 * 1024);
    const go = () => {
      while (sent < total) {
        sent += block.length;
        if (!response.write(block)) break;
      }
      if (sent === total) response.end();
    };
    response.on("drain", go);
    go();
    // The socket takes nothing more for as long as nobody reads: then its sender stands still.
    let before = -1;
    const look = setInterval(() => {
      if (sent === before || response.destroyed) {
        clearInterval(look);
        stopped();
      }
      before = sent;
    }, 50);
  });
  const { body } = await fetchBytes(wanted(url));
  await isFull;
  assert.isBelow(sent, total / 2);
  let length = 0;
  for await (const piece of body!) length += piece.length;
  assert.strictEqual(length, total);
});

test("fetchBytes: a signal ends it, before the answer and within", async () => {
  let closed = 0;
  const url = await serving(({ url }, response) => {
    response.once("close", () => closed++);
    if (url === "/never") return;
    response.writeHead(200, { "Content-Length": BYTES.length }).write(BYTES.subarray(0, 1000));
  });
  const aborted = new AbortController();
  aborted.abort(new Error("before"));
  await failure(fetchBytes(wanted(url, aborted.signal)));

  const never = new AbortController();
  const waiting = failure(fetchBytes(wanted(`${url}/never`, never.signal)));
  never.abort(new Error("while"));
  await waiting;

  const within = new AbortController();
  const reader = (await fetchBytes(wanted(url, within.signal))).body!.getReader();
  assert.strictEqual((await reader.read()).value!.length, 1000);
  const reading = failure(reader.read());
  within.abort(new Error("within"));
  await reading;
});

test("fetchBytes: a body that is cancelled closes its connection", async () => {
  let closed: () => void = () => {};
  const isClosed = new Promise<void>((resolve) => closed = resolve);
  const url = await serving((_, response) => {
    response.once("close", closed);
    response.writeHead(200, { "Content-Length": BYTES.length }).write(BYTES.subarray(0, 1000));
  });
  const { body } = await fetchBytes(wanted(url));
  await body!.cancel();
  await isClosed;
});

test("fetchBytes: a server that breaks off, or is not there, is an error", async () => {
  const url = await serving((_, response) => {
    response.writeHead(200, { "Content-Length": BYTES.length }).write(
      BYTES.subarray(0, 1000),
      () => response.destroy(),
    );
  });
  await failure((async () => await (await fetchBytes(wanted(url))).arrayBuffer())());
  assert.instanceOf(await failure(fetchBytes(wanted("http://127.0.0.1:1"))), Error);
});

test("fetchBytes: a fetch that the program has put in the place of the runtime's is used", async () => {
  const own = globalThis.fetch;
  try {
    globalThis.fetch = () => Promise.resolve(new Response("ours"));
    assert.strictEqual(await (await fetchBytes(wanted("http://127.0.0.1:1"))).text(), "ours");
  } finally {
    globalThis.fetch = own;
  }
});

test("fetchBytes: where undici wants to be called otherwise, fetch does it", async () => {
  const url = await serving((_, response) => response.writeHead(200).end(BYTES));
  const name = Symbol.for("undici.globalDispatcher.1");
  const world = globalThis as { [name: symbol]: unknown };
  const own = world[name] as { dispatch(options: unknown, handler: object): unknown } | undefined;
  if (own === undefined) return; // not Node
  const asked: object[] = [];
  const stricter = Object.create(own, {
    dispatch: {
      value(options: unknown, handler: object) {
        asked.push(handler);
        if (asked.length === 1) throw new TypeError("invalid onRequestStart method");
        return own.dispatch(options, handler);
      },
    },
  });
  world[name] = stricter;
  try {
    assert.deepEqual(new Uint8Array(await (await fetchBytes(wanted(url))).arrayBuffer()), BYTES);
    assert.strictEqual(asked.length, 2);
  } finally {
    world[name] = own;
  }
});
