// Reading a snapshot where it is, from servers that fail now and then.

import { MemoryStorage, openRemote, pull, snapshotHandler, type SourceOptions } from "../../mod.ts";
import { inFakeTime } from "../support/fake_clock.ts";
import { assert, bytesOf, noise, rejects, test } from "../support/harness.ts";
import { storageWith } from "../support/samples.ts";
import { after, sourceOf, type TestSource, type Twist, withBody } from "../support/servers.ts";

const STATE = noise(1_000_000, 1);

/** Reads a snapshot from a source for each twist, in fake time. */
function reading(
  twists: readonly (Twist | undefined)[],
  work: (sources: readonly TestSource[]) => Promise<void>,
): Promise<void> {
  return inFakeTime(async () => {
    const there = await storageWith(9n, { state: STATE });
    const sources = twists.map((twist, i) => sourceOf(`s${i}`, there, twist, true));
    await work(sources);
    for (const source of sources) await source.close();
    await there.close();
  });
}

async function isRight(sources: SourceOptions | readonly SourceOptions[]): Promise<void> {
  const reader = await openRemote(sources);
  assert.deepEqual(await bytesOf(reader.file("state")), STATE);
  assert.isTrue((await reader.verify().result).ok);
  await reader.close();
}

const ONCE: Readonly<Record<string, Twist>> = {
  "503": () => new Response("later", { status: 503 }),
  "429 with Retry-After": () => new Response("later", { status: 429, headers: { "Retry-After": "30" } }),
  "refused": () => Promise.reject(new TypeError("refused")),
  "silent": () => new Promise(() => {}),
  "403": () => new Response("", { status: 403 }),
  "a page": () => new Response("<html>", { headers: { "Content-Type": "text/html" } }),
  "cut": (_request, _count, answer) =>
    answer().then((response) =>
      withBody(response, (body) => body.pipeThrough(after(100, () => Promise.reject(new TypeError("reset")))))
    ),
  "wrong": (_request, _count, answer) =>
    answer().then(async (response) => new Response((await response.bytes()).fill(7), response)),
};

test("a remote snapshot: any failure, once, at any request, is made up for", async () => {
  for (const [what, fail] of Object.entries(ONCE)) {
    for (const at of [1, 2, 3]) {
      const twist: Twist = (request, count, answer) => count === at ? fail(request, count, answer) : undefined;
      await reading([twist], async ([source]) => {
        await isRight(source!).catch((error) => assert.fail(`${what} ${at}: ${error.stack}`));
      });
    }
  }
});

test("a remote snapshot: what was read is not fetched again after a cut", () => {
  const cut: Twist = (request, _count, answer) =>
    request.url.includes("/content")
      ? answer().then((response) =>
        withBody(response, (body) => body.pipeThrough(after(300_000, () => Promise.reject(new TypeError("reset")))))
      )
      : undefined;
  return reading([cut], async ([source]) => {
    const reader = await openRemote(source!);
    assert.deepEqual(await bytesOf(reader.file("state")), STATE);
    await reader.close();
    const starts = source!.log.flatMap((line) => /bytes=([0-9]+)-/.exec(line)?.[1] ?? []).map(Number);
    assert.deepEqual(starts, [0, 4, 8, 12].map((chunk) => chunk * 65_536));
  });
});

test("a remote snapshot: another server goes on where one fails for good", async () => {
  for (const [what, fail] of Object.entries(ONCE)) {
    const bad: Twist = (request, count, answer) =>
      request.url.includes("/content") ? fail(request, count, answer) : undefined;
    await reading([bad, undefined], async (sources) => {
      await isRight(sources).catch((error) => assert.fail(`${what}: ${error.stack}`));
    });
  }
});

test("a remote snapshot: the newest of several servers is opened", () =>
  inFakeTime(async () => {
    const storages = [await storageWith(8n, {}), await storageWith(10n, { state: STATE }), await storageWith(9n, {})];
    const sources = storages.map((storage, i) => sourceOf(`s${i}`, storage));
    const reader = await openRemote(sources);
    assert.strictEqual(reader.meta.lastIncludedIndex, 10n);
    assert.deepEqual(await bytesOf(reader.file("state")), STATE); // the others do not have it
    await reader.close();
    await rejects(openRemote([]), "MALFORMED");
    await rejects(openRemote(sources.map((source) => ({ ...source, chunksOnly: true }))), "MALFORMED");
    for (const it of [...sources, ...storages]) await it.close();
  }));

test("a remote snapshot: a hundred readers of a handler that takes few at a time", () =>
  inFakeTime(async () => {
    const there = await storageWith(9n, { state: STATE });
    const handler = snapshotHandler(there, { maxTransfers: 1 });
    let refused = 0;
    const fetch = async (request: Request) => {
      const response = await handler(request);
      if (response.status === 429 || response.status === 503) refused++;
      return response;
    };
    await Promise.all(Array.from({ length: 100 }, async () => {
      const reader = await openRemote({ url: "http://there", fetch });
      assert.lengthOf(await bytesOf(reader.file("state", { start: 0, end: 70_000 })), 70_000);
      await reader.close();
    }));
    assert.isAbove(refused, 0);
    await handler.close();
    await there.close();
  }));

test("a remote snapshot: the errors of all servers are weighed", () =>
  reading(
    [() => new Response("", { status: 403 }), () => Promise.reject(new TypeError("refused"))],
    async (sources) => {
      await rejects(openRemote(sources), "UNAVAILABLE");
      await rejects(openRemote(sources[0]!), "FORBIDDEN");
      const here = new MemoryStorage();
      await rejects(pull(here, sources).result, "UNAVAILABLE");
      await here.close();
    },
  ));
