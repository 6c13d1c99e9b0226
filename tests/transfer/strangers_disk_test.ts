// Strangers at a real socket: whoever does not read, or does not finish its request, is closed.

import { snapshotHandler } from "../../mod.ts";
import { Connections } from "../../src/transfer/server/connections.ts";
import { serve } from "../../src/transfer/server/serve.ts";
import { inFrozenTime } from "../support/fake_clock.ts";
import { assert, noise, test, turns } from "../support/harness.ts";
import { storageWith } from "../support/samples.ts";
import { connect, type Socket } from "node:net";

/** A connection at which something is sent, and nothing read. */
function stranger(port: number, text: string): Socket {
  const socket = connect(port, "127.0.0.1", () => socket.write(text));
  return socket.on("error", () => {}).pause();
}

test("strangers: of too many connections, those of who has the most go, and of these the idle ones first", () => {
  const closed: string[] = [];
  const connections = new Connections(4);
  const socket = (name: string, remoteAddress: string) => {
    const listeners: (() => void)[] = [];
    const it = {
      remoteAddress,
      once: (_event: "close", listener: () => void) => listeners.push(listener),
      destroy() {
        closed.push(name);
        for (const listener of listeners) listener();
      },
    };
    connections.add(it);
    return it;
  };
  const [a1] = [socket("a1", "a"), socket("a2", "a"), socket("a3", "a")];
  const answered = connections.answering(a1);
  const b1 = socket("b1", "b");
  socket("b2", "b");
  assert.deepEqual(closed, ["a2"], "a1 is being answered");
  answered();
  socket("c1", "c");
  assert.deepEqual(closed.splice(0), ["a2", "a1"]);
  b1.destroy();
  assert.deepEqual(closed.splice(0), ["b1"]);
  const all = ["d1", "d2"].map((name) => socket(name, "d"));
  assert.deepEqual(closed.splice(0), ["d1"], "whoever has the most, though it has just come");
  connections.answering(all[1]!);
  socket("d3", "d");
  assert.deepEqual(closed.splice(0), ["d2"], "if all are being answered, the oldest");
});

test("strangers: ten times as many connections as there may be keep nobody out", async () => {
  const storage = await storageWith(7n, { state: noise(300_000, 1) });
  const handler = snapshotHandler(storage);
  const server = await serve(handler, { port: 0, maxConnections: 16 });
  const port = Number(new URL(server.url).port);
  const strangers: Socket[] = [];
  for (let i = 0; i < 160; i++) {
    const socket = stranger(port, i % 2 === 0 ? "" : "GET /snapshots HTTP/1.1\r\nHo").resume();
    await new Promise((resolve) => socket.once("connect", resolve).once("close", resolve));
    strangers.push(socket);
    if (i % 40 > 0) continue;
    const answer = await fetch(`${server.url}/snapshots/7/content`);
    assert.strictEqual((await answer.bytes()).length, 300_000);
  }
  const open = () => strangers.filter(({ closed }) => !closed).length;
  if (!("Bun" in globalThis)) { while (open() > 16) await turns(1); }
  for (const socket of strangers) socket.destroy();
  await server.close();
  await handler.close();
  await storage.close();
});

// The handler's time is a fake one; that of the runtime's own server is real.
test("strangers: a connection is closed if its client reads nothing, or sends half of its headers", () =>
  inFrozenTime(async (clock) => {
    const storage = await storageWith(7n, { state: noise(30_000_000, 1) });
    const handler = snapshotHandler(storage, { leaseDuration: 1, stallTimeout: 300 });
    const server = await serve(handler, { port: 0, stallTimeout: 300 });
    const port = Number(new URL(server.url).port);
    const silent = ["content", "archive"].map((what) =>
      stranger(port, `GET /snapshots/7/${what} HTTP/1.1\r\nHost: h\r\n\r\n`)
    );
    const slow = ["GET /snapshots HTTP/1.1\r\nHo", "PUT /snapshots/9 HTTP/1.1\r\nHost: h\r\nContent-Length: 10"]
      .map((text) => stranger(port, text));
    while ([...silent, ...slow].some(({ closed }) => !closed)) {
      // A socket that is not read sees its end when it writes. Empty lines between requests mean nothing.
      for (const socket of silent) if (!socket.closed) socket.write("\r\n");
      for (const socket of slow) if (!socket.closed) socket.write("1");
      clock.advance(50);
      await turns(1);
    }
    const answer = await fetch(`${server.url}/snapshots/7/content`, { headers: { Range: "bytes=0-9" } });
    assert.strictEqual((await answer.bytes()).length, 10);
    await server.close();
    await handler.close();
    await storage.close();
  }));

test("strangers: a client that waits for longer than it may stall is answered, as often as it asks", async () => {
  const serving = async (request: Request) => {
    const { length } = await request.bytes();
    await new Promise((resolve) => setTimeout(resolve, 1500)); // the verifying and loading of what it has sent
    return new Response(`${length}`);
  };
  const server = await serve(serving, { port: 0, stallTimeout: 1000 });
  for (let i = 0; i < 2; i++) {
    assert.strictEqual(await (await fetch(server.url, { method: "PUT", body: "12345" })).text(), "5");
  }
  await server.close();
});

test("strangers: a connection is closed, too, if what its client does not read is its second answer", async () => {
  const { promise: closed, resolve } = Promise.withResolvers<void>();
  const endless = {
    pull: (to: ReadableStreamDefaultController) => to.enqueue(new Uint8Array(2 ** 20)),
    cancel: resolve,
  };
  let asked = 0;
  const serving = () => new Response(asked++ === 0 ? "" : new ReadableStream(endless, { highWaterMark: 0 }));
  const server = await serve(serving, { port: 0, stallTimeout: 1000 });
  const request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
  const socket = stranger(Number(new URL(server.url).port), request).resume();
  socket.once("data", () => void socket.pause().write(request));
  await closed;
  assert.strictEqual(asked, 2);
  socket.destroy();
  await server.close();
});
