// What a client may send over a real socket, and not do, without harm to the server.

import { archive, snapshotHandler, type SnapshotHandlerOptions } from "../../mod.ts";
import { type Handler, serve } from "../../src/serve.ts";
import { inFrozenTime } from "../support/fake_clock.ts";
import { assert, bytesOf, noise, test, turns } from "../support/harness.ts";
import { storageWith } from "../support/samples.ts";
import { connect, type Socket } from "node:net";

const STATE = noise(30_000_000, 1);

/** Sends something as it is, and gives all that is answered until the server closes the connection. */
function exchange(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let answer = "";
    const socket = connect(port, "127.0.0.1", () => socket.write(text));
    socket.setEncoding("latin1");
    socket.on("data", (piece: string) => answer += piece);
    socket.on("end", () => socket.end());
    socket.on("close", () => resolve(answer));
    socket.on("error", reject);
  });
}

async function onSocket(
  work: (port: number, unpinned: (onTurn?: () => void) => Promise<void>) => Promise<void>,
  options: SnapshotHandlerOptions = {},
  wrap: (handler: Handler) => Handler = (handler) => handler,
): Promise<void> {
  const storage = await storageWith(7n, { state: STATE });
  const handler = snapshotHandler(storage, { allowWrites: true, leaseDuration: 1, ...options });
  const server = await serve(wrap(handler), { port: 0 });
  await work(Number(new URL(server.url).port), async (onTurn = () => {}) => {
    while ((await storage.list()).some(({ pinned }) => pinned)) {
      onTurn();
      await turns(1);
    }
  });
  await server.close();
  await handler.close();
  await storage.close();
}

const END = "Connection: close\r\n\r\n";

test("socket: requests that are none are answered, and tell nothing", () =>
  onSocket(async (port) => {
    const requests: [text: string, answer: RegExp][] = [
      [`GET /snapshots HTTP/1.1\r\nHost: a b\r\n${END}`, /^HTTP\/1\.1 [24]00 /], // Bun knows the path nevertheless
      [`GET /snapshots HTTP/1.1\r\nHost: [\r\n${END}`, /^HTTP\/1\.1 [24]00 /],
      [`TRACE /snapshots HTTP/1.1\r\nHost: h\r\n${END}`, /^HTTP\/1\.1 40[05] /],
      // A path of two slashes is not another host, so that what a proxy does not let through by its path is not got so.
      [`GET //evil/snapshots HTTP/1.1\r\nHost: h\r\n${END}`, /^HTTP\/1\.1 404 /],
      [`GET // HTTP/1.1\r\nHost: h\r\n${END}`, /^HTTP\/1\.1 404 /],
      [`GET http://other/snapshots HTTP/1.1\r\nHost: h\r\n${END}`, /^HTTP\/1\.1 200 /],
      ["GET /snapshots HTTP/1.0\r\n\r\n", /^HTTP\/1\.[01] 200 /],
      [`constructor /snapshots HTTP/1.1\r\nHost: h\r\n${END}`, /^(HTTP\/1\.1 40[05] |$)/],
    ];
    for (const [text, expected] of requests) {
      const answer = await exchange(port, text).catch((error) => error.code === "ECONNRESET" ? "" : String(error));
      assert.match(answer, expected, text);
      assert.notMatch(answer, /\.m?[jt]s\b|Error:/, text);
    }
  }));

test("socket: what a handler throws is not shown", async () => {
  const throwing = () => () => {
    throw new Error("secret");
  };
  if ("Deno" in globalThis) return; // its server prints what is thrown
  await onSocket(
    async (port) => {
      const answer = await exchange(port, `GET /snapshots HTTP/1.1\r\nHost: h\r\n${END}`);
      assert.notInclude(answer, "secret");
      assert.notMatch(answer, /\.m?[jt]s\b/);
    },
    {},
    throwing,
  );
});

// The sockets are real, and the clock is fake: it stands still while those that read are served.
test("socket: clients that do not read, or do not send, lose their places to those that do", () =>
  inFrozenTime((clock) =>
    onSocket(async (port, unpinned) => {
      const idle: Socket[] = [];
      const received: number[] = [];
      for (const path of ["files/state", "content", "archive"]) {
        const socket = connect(
          port,
          "127.0.0.1",
          () => socket.write(`GET /snapshots/7/${path} HTTP/1.1\r\nHost: h\r\n\r\n`),
        );
        const i = received.push(0) - 1;
        socket.on("error", () => {}).on("data", (piece: Uint8Array) => received[i]! += piece.length).pause();
        idle.push(socket);
      }
      const sending = connect(port, "127.0.0.1", () => {
        sending.write("PUT /snapshots/8 HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nabc");
      });
      let said = "";
      sending.setEncoding("latin1").on("data", (piece: string) => said += piece).on("error", () => {});
      idle.push(sending);
      for (; said === ""; await turns(1)) clock.advance(10);
      assert.match(said, /^HTTP\/1\.1 408 /);
      await unpinned(() => clock.advance(100));
      const responses = await Promise.all(Array.from({ length: 4 }, () =>
        fetch(`http://127.0.0.1:${port}/snapshots/7/files/state`, { headers: { Range: "bytes=0-9" } })));
      for (const response of responses) {
        assert.strictEqual(response.status, 206);
        assert.deepEqual(await bytesOf(response.body!), STATE.slice(0, 10));
      }
      await unpinned(() =>
        clock.advance(10)
      );
      const closed = idle.map((socket) =>
        new Promise((resolve) => socket.closed ? resolve(0) : socket.once("close", resolve))
      );
      for (const socket of idle) socket.resume().end(); // what was sent before they lost their places
      await Promise.all(closed);
      for (const bytes of received) assert.isBelow(bytes, STATE.length);
    }, { maxTransfers: 4, stallTimeout: 100 })
  ));

test("socket: clients that go in any way leave nothing behind", () =>
  onSocket(async (port, unpinned) => {
    for (const path of ["files/state", "content", "archive"]) {
      for (const range of ["", "Range: bytes=0-19999999\r\n", "Range: bytes=0-9999999,20000000-29999999\r\n"]) {
        for (const after of ["asking", "reading"]) {
          const gone = Array.from({ length: 4 }, () =>
            new Promise<void>((resolve) => {
              const socket = connect(port, "127.0.0.1", () => {
                socket.write(`GET /snapshots/7/${path} HTTP/1.1\r\nHost: h\r\n${range}\r\n`, () => {
                  if (after === "asking") socket.destroy();
                });
              });
              socket.on("data", () => socket.destroy());
              socket.on("error", () => {});
              socket.on("close", () => resolve());
            }));
          await Promise.all(gone);
          const next = await fetch(`http://127.0.0.1:${port}/snapshots/7/content`, { headers: { Range: "bytes=0-9" } });
          assert.strictEqual((await bytesOf(next.body!)).length, 10);
        }
      }
    }
    await unpinned();
  }, { maxTransfers: 2 }));

test("socket: an archive that is sent while nobody reads the answer", () =>
  onSocket(async (port) => {
    const source = await storageWith(9n, { state: noise(3_000_000, 2) });
    const reader = await source.open();
    const body = await bytesOf(archive(reader)) as Uint8Array<ArrayBuffer>;
    const response = await fetch(`http://127.0.0.1:${port}/snapshots/9`, { method: "PUT", body });
    assert.strictEqual(response.status, 201);
    await response.body?.cancel();
    await reader.close();
    await source.close();
  }));
