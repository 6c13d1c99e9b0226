// Pushes through proxies: which refuse, move, and do not wait as long as an install takes.

import { MemoryStorage, push, SnapshotError, snapshotHandler, type SnapshotTarget, unarchive } from "../../mod.ts";
import { type FakeClock, inFakeTime } from "../support/fake_clock.ts";
import { assert, noise, rejects, test } from "../support/harness.ts";
import { storageWith } from "../support/samples.ts";

/** How long the proxy waits for an answer. */
const PROXY_TIMEOUT = 60_000;

interface World {
  readonly reader: Awaited<ReturnType<MemoryStorage["open"]>>;
  readonly there: MemoryStorage;
  readonly clock: FakeClock;
  /** Requests, as `METHOD path`. */
  readonly asked: string[];
  /** What the target's server was told of its own errors. */
  readonly reported: unknown[];
  /** The target behind a proxy that answers 504. */
  readonly target: { url: string; fetch(request: Request): Promise<Response> };
}

/** A follower whose load takes a while, behind a proxy; in fake time. */
function behindProxy(loads: number, outcome: SnapshotError | undefined, work: (world: World) => Promise<void>) {
  return inFakeTime(async (clock) => {
    const from = await storageWith(9n, { state: noise(300_000, 1) });
    const reader = await from.open();
    const there = new MemoryStorage();
    const replica: SnapshotTarget = {
      snapshot: () => assert.fail(),
      install(archive, options) {
        const check = async () => {
          await new Promise((resolve) => setTimeout(resolve, loads));
          if (outcome !== undefined) throw outcome;
        };
        return unarchive(archive, there, { ...options, check }).then((snapshot) => ({ snapshot }));
      },
    };
    const reported: unknown[] = [];
    const onError = (error: unknown) => void reported.push(error);
    const handler = snapshotHandler(there, { target: replica, allowWrites: true, onError });
    const asked: string[] = [];
    const fetch = async (request: Request) => {
      asked.push(`${request.method} ${new URL(request.url).pathname}`);
      let timer: ReturnType<typeof setTimeout> | undefined;
      const tooLong = new Promise<Response>((resolve) => {
        timer = setTimeout(() => resolve(new Response("<html>", { status: 504 })), PROXY_TIMEOUT);
      });
      const response = await Promise.race([handler(request), tooLong]);
      clearTimeout(timer);
      return response;
    };
    await work({ reader, there, clock, asked, reported, target: { url: "http://proxy", fetch } });
    await handler.close();
    await reader.close();
    await Promise.all([from.close(), there.close()]);
  });
}

test("push: a load that takes longer than a proxy waits ends with the truth, and is done once", () =>
  behindProxy(3 * PROXY_TIMEOUT, undefined, async ({ reader, there, asked, target, clock }) => {
    await push(reader, target).result;
    assert.isAtLeast(clock.passed, 3 * PROXY_TIMEOUT);
    assert.deepEqual((await there.list())[0]!.digest, reader.manifest.digest);
    assert.lengthOf(asked.filter((line) => line === "PUT /snapshots/9"), 1);
    assert.include(asked, "GET /snapshots/9/install");
  }));

test("push: … also if it fails", () =>
  behindProxy(
    PROXY_TIMEOUT,
    new SnapshotError("MALFORMED", "It does not load"),
    async ({ reader, there, asked, reported, target }) => {
      const error = await rejects(push(reader, target).result, "MALFORMED");
      assert.include(error.message, "It does not load");
      assert.lengthOf(asked.filter((line) => line === "PUT /snapshots/9"), 1);
      assert.deepEqual(await there.list(), []);
      assert.isEmpty(reported, "it is the snapshot's fault");
    },
  ));

test("push: … and the server is told if it was its own fault, though nobody asks any more", () => {
  const own = new SnapshotError("UNAVAILABLE", "The disk fails", { file: "/disk" });
  return behindProxy(PROXY_TIMEOUT, own, async ({ reader, clock, reported, target }) => {
    const stop = new AbortController();
    const fetch = async (request: Request) => {
      if (request.url.endsWith("/install")) stop.abort();
      return await target.fetch(request);
    };
    await rejects(push(reader, { ...target, fetch }, { signal: stop.signal }).result, "CANCELLED");
    while (clock.passed < 2 * PROXY_TIMEOUT) await new Promise((resolve) => setTimeout(resolve, 1000));
    assert.deepEqual(reported, [own]);
  });
});

test("push: a quick one is answered at once", () =>
  behindProxy(100, undefined, async ({ reader, asked, target }) => {
    await push(reader, target).result;
    assert.deepEqual(asked, ["PUT /snapshots/9/manifest", "PUT /snapshots/9"]);
  }));

test("push: the status of an install that nobody knows of is 404; a server that forgets it is asked anew", () =>
  behindProxy(20_000, undefined, async ({ reader, there, target }) => {
    let forgotten = 0;
    const fetch = (request: Request) => {
      if (!request.url.endsWith("/install") || forgotten++ > 0) return target.fetch(request);
      return Promise.resolve(Response.json({ code: "NOT_FOUND" }, { status: 404 }));
    };
    const unknown = await target.fetch(new Request("http://proxy/snapshots/7/install"));
    assert.strictEqual(unknown.status, 404);
    await unknown.body?.cancel();
    await push(reader, { ...target, fetch }, { retryFor: 60_000 }).result;
    assert.lengthOf(await there.list(), 1);
  }));

test("push: what will be refused again fails at once, and says what to do", () =>
  behindProxy(0, undefined, async ({ reader, clock, target }) => {
    const codes = {
      400: "UNSUPPORTED",
      401: "FORBIDDEN",
      404: "NOT_FOUND",
      411: "UNSUPPORTED",
      413: "UNSUPPORTED",
      501: "UNSUPPORTED",
    };
    for (const [status, code] of Object.entries(codes)) {
      for (const at of ["manifest", "9"]) {
        let refused = 0;
        const fetch = (request: Request) => {
          if (!request.url.endsWith(at)) return target.fetch(request);
          refused++;
          return Promise.resolve(
            new Response("<html>", { status: Number(status), headers: { "Content-Type": "text/html" } }),
          );
        };
        const began = clock.passed;
        const error = await rejects(push(reader, { ...target, fetch }).result, code as SnapshotError["code"]);
        assert.match(error.message, new RegExp(`^http://proxy answered ${status} with text/html`));
        if (status === "413") assert.include(error.message, "client_max_body_size");
        assert.deepEqual([refused, clock.passed - began], [1, 0], `${status} ${at}`);
      }
    }
  }));

test("push: what is busy for a while is waited for", () =>
  behindProxy(0, undefined, async ({ reader, there, clock, target }) => {
    const fetch = (request: Request) =>
      clock.passed < 14_000 ? Promise.resolve(new Response("", { status: 503 })) : target.fetch(request);
    await push(reader, { ...target, fetch }).result;
    assert.lengthOf(await there.list(), 1);
  }));
