// Redirects over real sockets, with the runtime's own fetch: what it would follow by itself, and send along.

import { MemoryStorage, notifyInstall, openRemote, pull, push, snapshotHandler } from "../../mod.ts";
import { serve } from "../../src/transfer/server/serve.ts";
import { assert, bytesOf, noise, rejects, test } from "../support/harness.ts";
import { storageWith } from "../support/samples.ts";

const STATE = noise(2_000_000, 1);

interface Asked {
  readonly method: string;
  readonly key: string | null;
}

/** A server, and one in front of it that redirects to it; `within` redirects to another path of the same origin. */
async function redirected(
  status: number,
  storage: MemoryStorage,
  work: (front: string, back: string, asked: Asked[]) => Promise<void>,
  within = false,
): Promise<void> {
  const handler = snapshotHandler(storage, { allowWrites: true });
  const asked: Asked[] = [];
  const answer = (request: Request) => {
    asked.push({ method: request.method, key: request.headers.get("X-Api-Key") });
    return handler(request);
  };
  const back = await serve(answer, { port: 0 });
  const front = await serve(async (request) => {
    const { pathname } = new URL(request.url);
    if (within && pathname.startsWith("/v2/")) {
      const { method, headers, body } = request;
      const init = { method, headers, body, ...(body !== null && { duplex: "half" }) };
      return await answer(new Request(`http://localhost${pathname.slice(3)}`, init as RequestInit));
    }
    await request.body?.cancel();
    return new Response(null, { status, headers: { Location: `${within ? "/v2" : back.url}${pathname}` } });
  }, { port: 0 });
  try {
    await work(front.url, back.url, asked);
  } finally {
    await front.close();
    await back.close();
    await handler.close();
  }
}

for (const status of [301, 302, 307, 308]) {
  test(`HTTP: ${status} to another origin is not followed, and no key goes there`, async () => {
    const there = await storageWith(9n, { state: STATE });
    const here = new MemoryStorage();
    await redirected(status, there, async (front, back, asked) => {
      const source = { url: front, headers: { "X-Api-Key": "secret" } };
      const error = await rejects(pull(here, [source]).result, "FORBIDDEN");
      assert.include(error.message, back);
      await rejects(openRemote(source), "FORBIDDEN");
      assert.lengthOf(asked, 0);
      await pull(here, [{ ...source, redirects: [back] }]).result;
      assert.isAbove(asked.length, 0);
      assert.isTrue(asked.every(({ key }) => key === null));
    });
    await Promise.all([there.close(), here.close()]);
  });

  test(`HTTP: ${status} within an origin is followed by pull, push, openRemote and notifyInstall`, async () => {
    const there = await storageWith(9n, { state: STATE });
    const here = new MemoryStorage();
    await redirected(status, there, async (front, _back, asked) => {
      const source = { url: front, headers: { "X-Api-Key": "secret" } };
      await pull(here, [source]).result;
      const reader = await openRemote(source);
      assert.deepEqual(await bytesOf(reader.file("state")), STATE);
      await reader.close();
      assert.isTrue(asked.every(({ key }) => key === "secret"));
    }, true);
    const follower = new MemoryStorage();
    await redirected(status, follower, async (front, _back, asked) => {
      const reader = await here.open();
      await push(reader, front).result;
      await reader.close();
      const notification = { term: 1n, firstAvailable: { index: 10n, term: 1n } };
      assert.strictEqual((await notifyInstall(front, notification).result).result, "CONF_MISMATCH");
      assert.deepEqual(asked.filter(({ method }) => method === "GET"), []);
      assert.lengthOf(await follower.list(), 1);
    }, true);
    await Promise.all([there.close(), here.close(), follower.close()]);
  });
}
