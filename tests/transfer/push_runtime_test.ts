import { MemoryStorage, push, snapshotHandler, Throttle } from "../../mod.ts";
import { inFakeTime } from "../support/fake_clock.ts";
import { assert, gate, noise, rejects, test, turns } from "../support/harness.ts";
import { save, storageWith } from "../support/samples.ts";

type Work = (
  reader: Awaited<ReturnType<MemoryStorage["open"]>>,
  handler: ReturnType<typeof snapshotHandler>,
  there: MemoryStorage,
) => Promise<void>;

/** In fake time, a storage with a snapshot to send, and a handler with an empty one to send it to. */
function sending(work: Work): Promise<void> {
  return inFakeTime(() => sendingNow(work));
}

async function sendingNow(work: Work): Promise<void> {
  const here = await storageWith(9n, { state: noise(1_000_000, 1) });
  const there = new MemoryStorage();
  const handler = snapshotHandler(there, { allowWrites: true });
  const reader = await here.open();
  try {
    await work(reader, handler, there);
  } finally {
    await handler.close();
    await Promise.all([here.close(), there.close()]);
  }
}

test("push: a snapshot arrives", () =>
  sending(async (reader, fetch, there) => {
    const operation = push(reader, { url: "http://there/", fetch }, { throttle: new Throttle(1e9) });
    assert.deepEqual(await operation, { upToDate: false });
    const info = (await there.list())[0]!;
    assert.deepEqual(info.digest, reader.manifest.digest);
    assert.isAtLeast(operation.progress.bytes, 1_000_000);
  }));

test("push: what the other side says", () =>
  sending(async (reader, fetch, there) => {
    await save(there, 9n, {});
    assert.deepEqual(await push(reader, { url: "http://there", fetch }), { upToDate: true });
    const says = (status: number) => ({
      url: "http://there",
      fetch: () => Promise.resolve(new Response("x", { status })),
    });
    await rejects(push(reader, says(403)).result, "FORBIDDEN");
    await rejects(push(reader, says(507)).result, "NO_SPACE");
    await rejects(push(reader, says(502), { retryFor: 100 }).result, "UNAVAILABLE");
    await rejects(push(reader, says(200), { retryFor: 100 }).result, "MALFORMED"); // a proxy that has an answer for everything
    const refused = { url: "http://there", fetch: () => Promise.reject(new TypeError("refused")) };
    await rejects(push(reader, refused, { retryFor: 100 }).result, "UNAVAILABLE");
  }));

test("push: damaged on the way, or cut short", () =>
  sending(async (reader, handler, there) => {
    const changing = (change: (piece: Uint8Array, i: number) => Uint8Array) => ({
      url: "http://there",
      fetch(request: Request) {
        if (!request.url.endsWith("/9")) return handler(request); // the offer
        let i = 0;
        const body = request.body!.pipeThrough(
          new TransformStream<Uint8Array, Uint8Array>({
            transform: (piece, controller) => controller.enqueue(change(piece, i++)),
          }),
        );
        return handler(new Request(request.url, { method: "PUT", body, duplex: "half" } as RequestInit));
      },
    });
    // Each time: what is damaged once is sent again, verified.
    const flipped = changing((piece) => piece.length > 60_000 ? piece.with(-1, piece.at(-1)! ^ 1) : piece);
    const error = await rejects(push(reader, flipped).result, "CORRUPT");
    assert.strictEqual(error.fields.status, 422);
    await rejects(push(reader, changing((piece, i) => i > 4 ? new Uint8Array(0) : piece)).result, "CORRUPT");
    assert.deepEqual(await there.list(), []);
  }));

test("push: CANCELLED at once, even by a server that takes nothing and knows nothing of signals", () =>
  sending(async (reader, fetch, there) => {
    for (const read of [false, true]) {
      const stop = new AbortController();
      const asked = gate();
      const stalled = {
        url: "http://there",
        async fetch(request: Request) {
          if (read) await request.body!.getReader().read();
          asked.open();
          return await new Promise<Response>(() => {});
        },
      };
      const { result } = push(reader, stalled, { signal: stop.signal });
      await asked.promise;
      await turns(1);
      stop.abort("enough");
      assert.strictEqual((await rejects(result, "CANCELLED")).cause, "enough");
    }
    await rejects(push(reader, { url: "http://there", fetch }, { signal: AbortSignal.abort() }).result, "CANCELLED");
    assert.deepEqual(await there.list(), []);
  }));

test("push: the reader's own failure is what it fails with", () =>
  sending(async (reader, fetch, there) => {
    const taking = {
      url: "http://there",
      async fetch(request: Request) {
        await reader.close();
        return await fetch(request);
      },
    };
    await rejects(push(reader, taking).result, "CLOSED");
    assert.deepEqual(await there.list(), []);
  }));
