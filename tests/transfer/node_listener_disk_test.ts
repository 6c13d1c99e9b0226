// A handler below a prefix of a server of Node's kind, as Express mounts it.

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { archive, MemoryStorage, pull, push, snapshotHandler } from "../../mod.ts";
import { page } from "../../src/page.ts";
import { type Handler, nodeListener } from "../../src/serve.ts";
import { assert, bytesOf, noise, test } from "../support/harness.ts";
import { storageWith } from "../support/samples.ts";

type Mounted = (incoming: IncomingMessage, outgoing: ServerResponse) => void;

/** Listens while something is done. */
async function listening(mounted: Mounted, work: (url: string) => Promise<void>): Promise<void> {
  const server = createServer(mounted);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }
}

/** Takes the prefix away, as Express does. */
function below(prefix: string, listener: Mounted): Mounted {
  return (incoming, outgoing) => {
    incoming.url = incoming.url!.slice(prefix.length) || "/";
    listener(incoming, outgoing);
  };
}

test("node listener: below a prefix a handler is pulled from and pushed to, and where it points is below it", async () => {
  const there = await storageWith(9n, { state: noise(300_000, 1) });
  const handler = snapshotHandler(there, { allowWrites: true });
  await listening(below("/state", nodeListener(handler)), async (url) => {
    const here = new MemoryStorage();
    assert.strictEqual((await pull(here, [`${url}/state`])).snapshot.meta.lastIncludedIndex, 9n);

    const newer = await storageWith(12n, { state: noise(300_000, 2) });
    const reader = await newer.open();
    await push(reader, `${url}/state`);
    assert.lengthOf(await there.list(), 2);
    await reader.close();

    const newest = await (await storageWith(13n, { state: noise(10, 3) })).open();
    const body = new Uint8Array(await bytesOf(archive(newest)));
    const response = await fetch(`${url}/state/snapshots/13`, { method: "PUT", body });
    await response.body?.cancel();
    assert.strictEqual(response.status, 201);
    const pointed = await fetch(new URL(response.headers.get("Location")!, response.url), { method: "HEAD" });
    assert.deepEqual([pointed.status, new URL(pointed.url).pathname], [200, "/state/snapshots/13/manifest"]);
  });
  await handler.close();
});

test("node listener: an answer of authorize keeps each of its cookies", async () => {
  const headers = new Headers([["Set-Cookie", "a=1; Secure"], ["Set-Cookie", "b=2"], ["WWW-Authenticate", "Basic"]]);
  const authorize = () => new Response("no", { status: 401, headers });
  const handler = snapshotHandler(new MemoryStorage(), { authorize });
  await listening(nodeListener(handler), async (url) => {
    const response = await fetch(`${url}/snapshots`);
    assert.strictEqual(await response.text(), "no");
    assert.deepEqual(response.headers.getSetCookie(), ["a=1; Secure", "b=2"]);
    assert.deepEqual([response.status, response.headers.get("WWW-Authenticate")], [401, "Basic"]);
  });
  await handler.close();
});

test("node listener: who asks for the page where it is mounted, without the slash, is led to where its addresses are right", async () => {
  const handler = snapshotHandler(new MemoryStorage(), { page });
  const listener = nodeListener(handler);
  const express: Mounted = (incoming, outgoing) => {
    Object.assign(incoming, { originalUrl: incoming.url });
    const below = incoming.url!.replace(/^\/a%20b\/state/, "");
    incoming.url = below.startsWith("/") ? below : `/${below}`;
    listener(incoming, outgoing);
  };
  await listening(express, async (url) => {
    for (const [asked, led] of [["", "/"], ["?x=/", "/?x=/"], ["/", "/"], ["/?x", "/?x"]] as const) {
      const response = await fetch(`${url}/a%20b/state${asked}`);
      assert.deepEqual([response.status, response.url], [200, `${url}/a%20b/state${led}`]);
      const script = new URL(/src="([^"]+)"/.exec(await response.text())![1]!, response.url);
      assert.match(await (await fetch(script)).text(), /snapshots\/status/);
    }
    const posted = await fetch(`${url}/a%20b/state`, { method: "POST", redirect: "manual" });
    assert.strictEqual(posted.status, 405);
    await posted.body?.cancel();
    const listed = await fetch(`${url}/a%20b/state/snapshots`);
    await listed.body?.cancel();
    assert.strictEqual(listed.status, 200);
  });
  await handler.close();
});

test("node listener: a body that was read before goes to `next`, or is answered with 500; the handler is not asked", async () => {
  let asked = 0;
  const handler: Handler = () => {
    asked++;
    return new Response("asked");
  };
  const seen: unknown[] = [];
  const listener = nodeListener(handler);
  const afterParser = (next?: (error: unknown, outgoing: ServerResponse) => void): Mounted => (incoming, outgoing) => {
    incoming.once("end", () => listener(incoming, outgoing, next && ((error) => next(error, outgoing))));
    incoming.resume();
  };
  const post = async (url: string) => {
    const response = await fetch(`${url}/snapshots`, { method: "POST", body: "{}" });
    await response.body?.cancel();
    return response.status;
  };
  await listening(afterParser(), async (url) => assert.strictEqual(await post(url), 500));
  const next = (error: unknown, outgoing: ServerResponse) => {
    seen.push(error);
    outgoing.writeHead(418).end();
  };
  await listening(afterParser(next), async (url) => {
    assert.strictEqual(await post(url), 418);
    assert.strictEqual(asked, 0);
    assert.strictEqual(await (await fetch(url)).text(), "asked", "there is nothing to be read of a GET");
  });
  assert.lengthOf(seen, 1);
  assert.include(seen[0], { name: "SnapshotError", code: "UNAVAILABLE" });
  assert.include((seen[0] as Error).message, "POST /snapshots");
});

/** Sends the head of a request as it is, and returns the status of the answer. */
function raw(url: string, target: string, host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1", () => {
      socket.write(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
    });
    let answer = "";
    socket.on("data", (piece) => answer += new TextDecoder().decode(piece));
    socket.on("close", () => resolve(answer.slice(9, 12))).on("error", reject);
  });
}

test("node listener: no path is another one for the handler than for who let it pass before", async () => {
  const seen: string[] = [];
  const listener = nodeListener(({ url }) => {
    seen.push(url);
    return new Response(null, { status: 204 });
  });
  await listening(listener, async (url) => {
    for (const host of ["h/snapshots/13?", "h/snapshots#", "h?", "h\\snapshots", "h/snapshots/13/..", "u:p@h"]) {
      assert.strictEqual(await raw(url, "/public", host), "400", host);
    }
    const targets = [
      ...["/public/../snapshots", "/public/%2e%2E/snapshots", "/./snapshots", "/public/..", "/snapshots/."],
      ...["/public\\..\\snapshots", "/snapshots#/public", "http://h/public/../snapshots"],
    ];
    for (const target of targets) assert.strictEqual(await raw(url, target, "h"), "400", target);
    assert.deepEqual(seen, []);
    const right = ["/a/..b/c.", "/a?b=/../c#d", "/...", "/a/.b", "/a%2Fb", "//a"];
    for (const target of right) assert.strictEqual(await raw(url, target, "h:80"), "204", target);
    assert.deepEqual(seen, right.map((target) => `http://h${target}`));
  });
});
