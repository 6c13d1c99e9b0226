// Redirects, and the secrets of an address: where a request may go, and what goes along.

import { MemoryStorage, notifyInstall, openRemote, pull, push, pushLive, snapshotHandler } from "../../mod.ts";
import { assert, noise, rejects, test } from "../support/harness.ts";
import { inFakeTime } from "../support/fake_clock.ts";
import { storageWith } from "../support/samples.ts";

const STATE = noise(300_000, 1);
const NOTIFICATION = { term: 1n, firstAvailable: { index: 10n, term: 1n } };

/** Requests, as they came: method, address, and the headers that are a secret. */
interface Asked {
  readonly method: string;
  readonly url: string;
  readonly key: string | null;
  readonly authorization: string | null;
}

type Route = (request: Request, answer: () => Promise<Response>) => Response | Promise<Response> | undefined;

/** A network of one storage, in fake time: `route` may redirect. */
function onNetwork(
  route: Route,
  work: (fetch: (request: Request) => Promise<Response>, asked: Asked[], there: MemoryStorage) => Promise<void>,
  content = true,
): Promise<void> {
  return inFakeTime(async () => {
    const there = content ? await storageWith(9n, { state: STATE }) : new MemoryStorage();
    const handler = snapshotHandler(there, { allowWrites: true });
    const asked: Asked[] = [];
    const fetch = (request: Request) => {
      const { method, url, headers } = request;
      asked.push({ method, url, key: headers.get("X-Api-Key"), authorization: headers.get("Authorization") });
      const answer = () => handler(request);
      return Promise.resolve(route(request, answer) ?? answer());
    };
    await work(fetch, asked, there);
    await handler.close();
    await there.close();
  });
}

/** Redirects whatever goes to one origin to another. */
const moving = (from: string, to: string, status: number): Route => ({ url }) => {
  const { origin, pathname, search } = new URL(url);
  if (origin !== from) return undefined;
  return new Response(null, { status, headers: { Location: to + pathname + search } });
};

const KEY = { "X-Api-Key": "secret" };

test("redirects: to TLS of the same host the caller's headers go along", async () => {
  for (const status of [301, 302, 303, 307, 308]) {
    await onNetwork(moving("http://leader", "https://leader", status), async (fetch, asked) => {
      const here = new MemoryStorage();
      await pull(here, [{ url: "http://leader", headers: KEY, fetch }]).result;
      assert.isTrue(asked.every(({ key }) => key === "secret"), String(status));
      assert.isTrue(asked.some(({ url }) => url.startsWith("https://leader/snapshots/")));
      await here.close();
    });
  }
});

test("redirects: a loop of them ends", () =>
  onNetwork(({ url }) => new Response(null, { status: 308, headers: { Location: url } }), async (fetch, asked) => {
    const error = await rejects(openRemote({ url: "http://leader", fetch }, { retryFor: 0 }), "UNAVAILABLE");
    assert.strictEqual(error.message, "http://leader redirects more than 5 times");
    assert.lengthOf(asked, 6);
  }));

test("redirects: elsewhere only to allowed origins, and the caller's headers stay home", async () => {
  for (const status of [301, 302, 307, 308]) {
    await onNetwork(moving("http://leader", "https://cdn.example", status), async (fetch, asked) => {
      const here = new MemoryStorage();
      const source = { url: "http://user:pass@leader?token=t", headers: KEY, fetch };
      const error = await rejects(pull(here, [source]).result, "FORBIDDEN");
      assert.match(error.message, /^http:\/\/leader redirects \([0-9]+\) to another origin, https:\/\/cdn\.example\//);
      assert.notMatch(error.message, /pass|token/);
      assert.isTrue(asked.every(({ url }) => url.startsWith("http://leader/")));
      await pull(here, [{ ...source, redirects: ["https://cdn.example/"] }]).result;
      for (const { url, key, authorization } of asked) {
        const isHome = url.startsWith("http://leader/");
        assert.deepEqual([key, authorization !== null], isHome ? ["secret", true] : [null, false], url);
      }
      assert.lengthOf(await here.list(), 1);
      await here.close();
    });
  }
});

test("redirects: not from TLS to none, to another port, scheme, or with a password", async () => {
  const elsewhere = [
    "http://leader",
    "https://leader:444",
    "https://user:pass@leader",
    "ftp://leader",
    "https://",
    "//evil",
  ];
  for (const to of elsewhere) {
    await onNetwork(moving("https://leader", to, 307), async (fetch, asked) => {
      const error = await rejects(openRemote({ url: "https://leader", fetch }, { retryFor: 0 }), "FORBIDDEN");
      assert.notInclude(error.message, "pass@");
      assert.lengthOf(asked, 1);
    });
  }
});

test("redirects: a push goes on at the new address, with its method and body", async () => {
  for (const status of [301, 302, 307, 308]) {
    for (const isLive of [false, true]) {
      await onNetwork(moving("http://follower", "https://follower", status), async (fetch, asked, there) => {
        const from = await storageWith(9n, { state: STATE });
        const reader = await from.open();
        const target = { url: "http://follower", headers: KEY, fetch };
        if (isLive) {
          const write = async (writer: { file(name: string): WritableStream<Uint8Array> }) =>
            await ReadableStream.from([STATE]).pipeTo(writer.file("state"));
          await pushLive({ ...reader.meta }, write, target).result;
        } else await push(reader, target).result;
        assert.lengthOf(await there.list(), 1);
        assert.isTrue(asked.some(({ method, url }) => method === "PUT" && url === "https://follower/snapshots/9"));
        assert.isFalse(asked.some(({ method, url }) => method === "PUT" && url === "http://follower/snapshots/9"));
        assert.isTrue(asked.every(({ key }) => key === "secret"));
        await reader.close();
        await from.close();
      }, false);
    }
  }
});

test("redirects: of an upload, elsewhere or to a GET, are named at once", async () => {
  const from = await storageWith(9n, { state: STATE });
  const reader = await from.open();
  for (const [to, status] of [["https://other", 307], ["https://follower", 303]] as const) {
    await onNetwork(moving("http://follower", to, status), async (fetch, asked) => {
      const error = await rejects(push(reader, { url: "http://follower", fetch }).result, "FORBIDDEN");
      assert.include(error.message, `${to}/snapshots/9/manifest`);
      assert.lengthOf(asked, 1);
    }, false);
  }
  await reader.close();
  await from.close();
});

test("redirects: one that comes in the middle of an upload makes it go there from then on", () =>
  onNetwork((request, answer) => {
    if (request.method !== "PUT" || request.url !== "http://follower/snapshots/9") return undefined;
    return moving("http://follower", "https://follower", 307)(request, answer);
  }, async (fetch, _asked, there) => {
    const from = await storageWith(9n, { state: STATE });
    const reader = await from.open();
    await push(reader, { url: "http://follower", fetch }).result;
    assert.lengthOf(await there.list(), 1);
    await reader.close();
    await from.close();
  }, false));

test("redirects: a notification stays a POST", async () => {
  for (const status of [301, 302, 307, 308]) {
    await onNetwork(moving("http://follower", "https://follower", status), async (fetch, asked) => {
      const { result } = await notifyInstall({ url: "http://follower", fetch }, NOTIFICATION).result;
      assert.strictEqual(result, "CONF_MISMATCH");
      assert.deepEqual(asked.map(({ method }) => method), ["POST", "POST"]);
    }, false);
  }
});

test("addresses: user, password and query are used with every request", () =>
  onNetwork(() => undefined, async (fetch, asked) => {
    const here = new MemoryStorage();
    const reader = await openRemote({ url: "http://us%C3%A9r:p%40ss@leader/?token=t%20x", fetch });
    await reader.verify().result;
    await pull(here, [{ url: new URL("http://us%C3%A9r:p%40ss@leader/?token=t%20x"), fetch }]).result;
    const expected = `Basic ${btoa(String.fromCharCode(...new TextEncoder().encode("usér:p@ss")))}`;
    for (const { url, authorization } of asked) {
      const search = new URL(url).search.replace("?verified-by=client&", "?");
      assert.deepEqual([authorization, search], [expected, "?token=t%20x"]);
      assert.notInclude(url, "@");
    }
    await reader.close();
    await here.close();
  }));

test("addresses: what could not be used is refused, and no message has a secret", async () => {
  const both = { url: "http://user:hunter2@leader", headers: { Authorization: "Bearer x" } };
  const unfit = [
    ...["http://user:hunter2@leader#part", "http://user:hunter2@le ader", "http://user:hunter2/x@leader"],
    ...["http://user:hunter2", "ftp://user:hunter2@leader", "user:hunter2@leader", "http:// leader?token=hunter2"],
    ...["hunter2@", "http://[hunter2", `http://user:${"hunter2".repeat(20)}@`],
    both,
  ];
  for (const source of unfit) {
    if (source === "http://[hunter2") continue; // nothing says that this is a secret
    const error = await rejects(() => pull(new MemoryStorage(), [source]).result, "MALFORMED");
    assert.notInclude(JSON.stringify([error.message, error.fields]), "hunter2", String(source));
  }
  const fetch = () => Promise.reject(new TypeError("refused"));
  const { message, source } = await rejects(
    openRemote({ url: "http://user:hunter2@leader/a?token=hunter2", fetch }, { retryFor: 0 }),
    "UNAVAILABLE",
  );
  assert.notInclude(message, "hunter2");
  assert.strictEqual(source, "http://leader/a");
  const plain = await rejects(() => pull(new MemoryStorage(), ["not a url"]).result, "MALFORMED");
  assert.include(plain.message, '"not a url"');
});

test("addresses: 60,000 slashes are looked at once each", async () => {
  const url = `http://leader/${"/".repeat(60_000)}x`;
  let requests = 0;
  const counted = () => {
    requests++;
    return Promise.reject(new TypeError("refused"));
  };
  const began = performance.now();
  for (let i = 0; i < 20; i++) {
    await rejects(openRemote({ url: i % 2 ? url : url.slice(0, -1), fetch: counted }, { retryFor: 0 }), "UNAVAILABLE");
  }
  assert.strictEqual(requests, 20);
  assert.isBelow(performance.now() - began, 60_000); // four minutes where each slash begins a search for the last
});
