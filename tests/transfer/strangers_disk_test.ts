// Strangers at a real socket: whoever does not read, or does not finish its request, is closed.

import { snapshotHandler } from "../../mod.ts";
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
