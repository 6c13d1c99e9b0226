import fc from "fast-check";
import { MemoryStorage, push, snapshotHandler, Throttle } from "../../mod.ts";
import { inFakeTime } from "../support/fake_clock.ts";
import { open, parts } from "../support/parts.ts";
import { commit } from "../support/probe.ts";
import { assert, gate, noise, rejects, test } from "../support/harness.ts";
import { storageWith } from "../support/samples.ts";

test("push: a low rate is not taken for a stall, and a stall is", () =>
  inFakeTime(async () => {
    const here = await storageWith(9n, { state: noise(70_000, 1) });
    const there = new MemoryStorage();
    const handler = snapshotHandler(there, { allowWrites: true });
    const reader = await here.open();
    const options = { throttle: new Throttle(40_000), timeout: 1000, retryFor: 0 };
    await push(reader, { url: "http://there", fetch: handler }, options).result;
    assert.deepEqual((await there.list())[0]!.digest, reader.manifest.digest);
    const stalled = async (request: Request) => {
      if (request.url.endsWith("/manifest")) return new Response(new Uint8Array(1));
      await request.body!.getReader().read();
      return await new Promise<Response>(() => {});
    };
    await rejects(push(reader, { url: "http://there", fetch: stalled }, options).result, "TIMEOUT");
    await handler.close();
    await Promise.all([here.close(), there.close()]);
  }));

test("push: how far the other side is, nobody says, and it goes on all the same", () =>
  inFakeTime(async () => {
    const here = await storageWith(9n, { state: noise(20_000_000, 1) });
    const there = new MemoryStorage();
    const handler = snapshotHandler(there, { allowWrites: true });
    const reader = await here.open();
    const fetch = (request: Request) => request.method === "HEAD" ? new Promise<Response>(() => {}) : handler(request);
    await push(reader, { url: "http://there", fetch }, { timeout: 0 }).result;
    assert.deepEqual((await there.list())[0]!.digest, reader.manifest.digest);
    await handler.close();
    await Promise.all([here.close(), there.close()]);
  }));

test("push: one wrong answer to the offer is doubted; what is none is named by address, status and type", async () => {
  const here = await storageWith(9n, { state: noise(70_000, 1) });
  const reader = await here.open();
  for (const wrong of [1, 2]) {
    const there = new MemoryStorage();
    const handler = snapshotHandler(there, { allowWrites: true });
    let offers = 0;
    const fetch = (request: Request) =>
      request.url.endsWith("/manifest") && ++offers <= wrong
        ? Promise.resolve(new Response("<html>", { headers: { "Content-Type": "text/html" } }))
        : handler(request);
    const pushing = push(reader, { url: "http://there", fetch }).result;
    if (wrong === 1) await pushing;
    else {
      const { message } = await rejects(pushing, "MALFORMED");
      assert.match(message, /^http:\/\/there answered 200 with text\/html, which is not a set of chunks: /);
    }
    assert.lengthOf(await there.list(), 2 - wrong);
    assert.strictEqual(offers, 2);
    const lying = () => Promise.resolve(Response.json({ index: 9 }, { status: 201 }));
    const lie = (request: Request) => request.url.endsWith("/9") ? lying() : handler(request);
    const { message } = await rejects(
      push(reader, { url: "http://there", fetch: lie }, { retryFor: 0 }).result,
      "UNAVAILABLE",
    );
    assert.match(message, /^http:\/\/there answered 201 with application\/json, which does not say that/);
    await handler.close();
    await there.close();
  }
  await reader.close();
  await here.close();
});

test("push: the answer was lost, and the install ends only after the next offer", () =>
  inFakeTime(async () => {
    const here = await storageWith(9n, { state: noise(200_000, 1) });
    const there = new MemoryStorage();
    const handler = snapshotHandler(there, { allowWrites: true });
    const reader = await here.open();
    const archive = gate<Request>();
    let offers = 0;
    const fetch = async (request: Request) => {
      if (request.method === "HEAD") return await handler(request);
      if (!request.url.endsWith("/manifest")) {
        if (offers > 1) return await handler(request);
        archive.open(new Request(request.url, { method: "PUT", body: await request.arrayBuffer() }));
        throw new TypeError("connection reset");
      }
      const answer = await handler(request.clone());
      if (++offers > 1) assert.strictEqual((await handler(await archive.promise)).status, 201);
      return answer;
    };
    await push(reader, { url: "http://there", fetch }).result;
    assert.strictEqual(offers, 2);
    await handler.close();
    await Promise.all([here.close(), there.close()]);
  }));

test("push: what the other side has and could not load is not installed; it is made to try again", async () => {
  const here = new MemoryStorage();
  await commit(here, { lastIncludedIndex: 9n }, "installed");
  const made = parts();
  const replica = await open(made);
  let loads = 0;
  replica.machine.onLoad = () => {
    if (++loads < 3) throw new Error("cannot load");
  };
  const handler = snapshotHandler(made.storage, { allowWrites: true, target: replica });
  const reader = await here.open();
  await push(reader, { url: "http://there", fetch: handler }).result;
  assert.strictEqual(loads, 3);
  assert.strictEqual(replica.machine.state, "installed");
  await handler.close();
  await replica.close();
  await here.close();
});

/** What becomes of a request. */
const FATES = ["refused", "cut", "lost", "busy", "fine"] as const;

test("push: any failures on the way; it arrives whole, or not at all, and says which", () =>
  inFakeTime(async () => {
    const here = await storageWith(9n, { a: noise(400_000, 1), b: noise(100, 2), c: new Uint8Array(0) });
    const reader = await here.open();
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom(...FATES), { maxLength: 3 }),
        fc.nat(400_000),
        async (fates, length) => {
          const there = new MemoryStorage();
          const handler = snapshotHandler(there, { allowWrites: true });
          const left = [...fates];
          const fetch = async (request: Request) => {
            const fate = left.shift() ?? "fine";
            if (fate === "refused") throw new TypeError("refused");
            if (fate === "busy") return new Response("", { status: 503 });
            if (fate === "fine") return await handler(request);
            const whole = request.method === "PUT" ? new Uint8Array(await request.arrayBuffer()) : undefined;
            const body = fate === "cut" ? whole?.slice(0, length) : whole;
            await handler(new Request(request.url, { method: request.method, ...(body !== undefined && { body }) }));
            throw new TypeError("connection reset");
          };
          await push(reader, { url: "http://there", fetch }).result;
          assert.deepEqual((await there.list()).map(({ digest }) => digest), [reader.manifest.digest]);
          assert.isTrue((await (await there.open()).verify().result).ok);
          await handler.close();
          await there.close();
        },
      ),
      { numRuns: 10 },
    );
    await here.close();
  }));
