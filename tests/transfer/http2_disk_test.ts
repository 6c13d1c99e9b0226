// A handler behind a server of `node:http2`.

import { type ClientHttp2Session, connect, createServer, type OutgoingHttpHeaders } from "node:http2";
import type { AddressInfo } from "node:net";
import { archive, snapshotHandler, type SnapshotHandlerOptions } from "../../mod.ts";
import { type Handler, nodeListener } from "../../src/serve.ts";
import { assert, bytesOf, gate, noise, test } from "../support/harness.ts";
import { storageWith } from "../support/samples.ts";

/** Listens while something is done over one connection. */
async function connected(handler: Handler, work: (session: ClientHttp2Session) => Promise<void>): Promise<void> {
  const server = createServer(nodeListener(handler));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  try {
    await work(session);
  } finally {
    session.destroy();
    await new Promise((resolve) => server.close(resolve));
  }
}

/** Asks, and gives status, headers and body; the status is 0 if the answer broke off. */
function ask(session: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: Uint8Array) {
  return new Promise<{ status: number; headers: Record<string, unknown>; bytes: number }>((resolve) => {
    const stream = session.request(headers, { endStream: body === undefined });
    let [answered, bytes, isWhole]: [Record<string, unknown>, number, boolean] = [{}, 0, false];
    stream.on("response", (found) => answered = found as Record<string, unknown>);
    stream.on("data", ({ length }: Uint8Array) => bytes += length);
    stream.on("end", () => isWhole = true);
    stream.on("error", () => isWhole = false);
    stream.on("close", () => resolve({ status: isWhole ? Number(answered[":status"]) : 0, headers: answered, bytes }));
    if (body !== undefined) stream.end(body);
  });
}

/** Has a handler of a snapshot of 300,000 bytes. */
async function serving(
  work: (session: ClientHttp2Session, listed: () => Promise<number>) => Promise<void>,
  options: SnapshotHandlerOptions = {},
): Promise<void> {
  const storage = await storageWith(9n, { state: noise(300_000, 1) });
  const handler = snapshotHandler(storage, { allowWrites: true, ...options });
  await connected(handler, (session) => work(session, async () => (await storage.list()).length));
  await handler.close();
  await storage.close();
}

test("HTTP/2: lists, ranges and archives are read, and archives are put, many at a time over one connection", () =>
  serving(async (session, listed) => {
    const reads = await Promise.all([
      ask(session, { ":path": "/snapshots" }),
      ask(session, { ":path": "/snapshots/latest/content", "range": "bytes=5-104" }),
      ask(session, { ":path": "/snapshots/9/files/state" }),
      ask(session, { ":path": "/snapshots/9/files/state", ":method": "HEAD" }),
      ask(session, { ":path": "/nothing" }),
    ]);
    assert.deepEqual(reads.map(({ status }) => status), [200, 206, 200, 200, 404]);
    assert.deepEqual(reads.slice(1, 4).map(({ bytes }) => bytes), [100, 300_000, 0]);
    const newer = await (await storageWith(13n, { state: noise(100_000, 2) })).open();
    const body = new Uint8Array(await bytesOf(archive(newer)));
    const put = { ":path": "/snapshots/13", ":method": "PUT" };
    assert.strictEqual((await ask(session, put, body.slice(0, 50_000))).status, 422);
    const { status, headers } = await ask(session, put, body);
    assert.strictEqual(status, 201);
    assert.strictEqual(await listed(), 2);
    const { pathname } = new URL(String(headers["location"]), "http://h/snapshots/13");
    assert.strictEqual((await ask(session, { ":path": pathname })).status, 200);
  }));

test("HTTP/2: an answer that would close a connection of HTTP/1 is given, and the others of the connection go on", () =>
  connected(
    ({ url, headers }) => new Response(url, { headers: { Connection: "close", Said: headers.get("host")! } }),
    async (session) => {
      const answers = await Promise.all([1, 2, 3].map(() => ask(session, { ":path": "/a?b", ":authority": "h:8" })));
      for (const { status, headers } of answers) {
        assert.deepEqual([status, headers["said"], headers["connection"]], [200, "h:8", undefined]);
      }
    },
  ));

test("HTTP/2: a client that resets its stream, or the connection, is known to have gone", async () => {
  for (const leave of ["stream", "session"]) {
    const asked = gate();
    const gone = gate();
    const handler: Handler = ({ signal }) => {
      signal.addEventListener("abort", () => gone.open());
      asked.open();
      return new Promise(() => {});
    };
    await connected(handler, async (session) => {
      const stream = session.request({ ":path": "/" });
      stream.on("error", () => {});
      session.on("error", () => {});
      await asked.promise;
      if (leave === "stream") stream.close(8); // CANCEL
      else session.destroy();
      await gone.promise;
    });
  }
});

test("HTTP/2: a body that fails while its client reads nothing resets the stream, and others go on", async () => {
  let fail = () => {};
  const handler: Handler = ({ url }) => {
    if (!url.endsWith("/unread")) return new Response("read");
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new Uint8Array(1_000_000));
        fail = () => controller.error(new Error("The client reads too slowly, or not at all"));
      },
    });
    return new Response(body as BodyInit);
  };
  await connected(handler, async (session) => {
    const stream = session.request({ ":path": "/unread" });
    const reset = new Promise((resolve) => stream.on("error", resolve));
    await new Promise((resolve) => stream.once("response", resolve));
    stream.pause();
    fail();
    await reset;
    assert.strictEqual((await ask(session, { ":path": "/" })).bytes, 4);
  });
});
