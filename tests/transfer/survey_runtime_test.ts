// Sources of which some lag, drip, lie or are away: a pull takes the newest that one of them has.

import { MemoryStorage, notifyInstall, pull, type SnapshotError, type SourceOptions } from "../../mod.ts";
import { listRemote, LogSource, remoteStatus, takeRemote } from "../../src/transfer/mod.ts";
import { equal, toHex } from "../../src/stream/mod.ts";
import { type FakeClock, inFakeTime } from "../support/fake_clock.ts";
import { assert, bytesOf, noise, rejects, test } from "../support/harness.ts";
import { save, storageWith } from "../support/samples.ts";
import { sourceOf, type TestSource, type Twist } from "../support/servers.ts";

const STATE = noise(3_000_000, 1);

interface World {
  /** A source of a storage that has a snapshot. */
  from(name: string, index: bigint, twist?: Twist): Promise<TestSource>;
  readonly here: MemoryStorage;
  readonly errors: SnapshotError[];
  pull(sources: readonly SourceOptions[], options?: Parameters<typeof pull>[2]): ReturnType<typeof pull>;
  readonly clock: FakeClock;
}

function inWorld(work: (world: World) => Promise<void>): Promise<void> {
  return inFakeTime(async (clock) => {
    const here = new MemoryStorage();
    const open: { close(): Promise<void> }[] = [here];
    const errors: SnapshotError[] = [];
    await work({
      here,
      errors,
      clock,
      pull: (sources, options) => pull(here, sources, { onSourceError: (error) => errors.push(error), ...options }),
      async from(name, index, twist) {
        const storage = await storageWith(index, { state: STATE });
        const source = sourceOf(name, storage, twist, true);
        open.push(source, storage);
        return source;
      },
    });
    for (const it of open.reverse()) await it.close();
  });
}

async function isWhole(storage: MemoryStorage, index: bigint): Promise<void> {
  const reader = await storage.open();
  assert.strictEqual(reader.meta.lastIncludedIndex, index);
  assert.isTrue(equal(await bytesOf(reader.file("state")), STATE));
  await reader.close();
}

const isManifest = ({ url }: Request) => url.endsWith("/manifest");

/** Sends a manifest at a byte a second. */
const DRIPPING: Twist = (request, _count, answer) =>
  isManifest(request)
    ? answer().then((response) => response.bytes()).then((bytes) => {
      let at = 0;
      return new Response(
        new ReadableStream<Uint8Array<ArrayBuffer>>({
          async pull(controller) {
            await new Promise((resolve) => setTimeout(resolve, 1000));
            if (at < bytes.length) controller.enqueue(bytes.slice(at, ++at));
            else controller.close();
          },
        }, { highWaterMark: 0 }),
      );
    })
    : undefined;

test("survey: one drips its manifest, and the good one is asked", () =>
  inWorld(async ({ from, here, pull, clock }) => {
    await pull([await from("drip", 9n, DRIPPING), await from("good", 9n)]).result;
    assert.isBelow(clock.passed, 5000);
    await isWhole(here, 9n);
  }));

test("survey: one that drips alone is TIMEOUT, after its time and not after a byte a second", () =>
  inWorld(async ({ from, pull, clock }) => {
    const error = await rejects(pull([await from("drip", 9n, DRIPPING)], { retryFor: 0 }).result, "TIMEOUT");
    assert.match(error.message, /^http:\/\/drip sent only [0-9]+ bytes in [0-9]+ ms$/);
    assert.isBelow(clock.passed, 20_000);
  }));

test("survey: one that never answers does not hold up the others", () =>
  inWorld(async ({ from, here, pull, clock }) => {
    await pull([await from("silent", 9n, () => new Promise(() => {})), await from("good", 9n)]).result;
    assert.isBelow(clock.passed, 5000);
    await isWhole(here, 9n);
  }));

test("survey: the newest is taken, whoever answers first", async () => {
  for (const delays of [[0, 100, 0], [100, 0, 100], [50, 100, 0], [0, 50, 100]]) {
    await inWorld(async ({ from, here, pull }) => {
      const late = (i: number): Twist => (request, _count, answer) =>
        isManifest(request) && delays[i]! > 0
          ? new Promise<void>((resolve) => setTimeout(resolve, delays[i])).then(answer)
          : undefined;
      const sources = [
        await from("lagging", 8n, late(0)),
        await from("leader", 10n, late(1)),
        await from("old", 9n, late(2)),
      ];
      const { snapshot } = await pull(sources).result;
      assert.strictEqual(snapshot.meta.lastIncludedIndex, 10n, String(delays));
      await isWhole(here, 10n);
    });
  }
});

test("survey: up to date only if all say so, or have none", () =>
  inWorld(async ({ from, here, pull }) => {
    await save(here, 8n, { state: STATE });
    const [lagging, same, away, leader] = [
      await from("lagging", 7n),
      await from("same", 8n),
      await from("away", 9n, () => Promise.reject(new TypeError("refused"))),
      await from("leader", 9n),
    ];
    const empty = sourceOf("empty", new MemoryStorage());
    for (const sources of [[lagging, same], [empty, lagging]]) {
      const { upToDate, snapshot } = await pull(sources);
      assert.deepEqual([upToDate, snapshot.meta.lastIncludedIndex], [true, 8n]);
    }
    const at = (index: bigint) => pull([lagging, same], { index });
    assert.isTrue((await at(8n)).upToDate);
    await rejects(at(7n), "STALE"); // it is not here, and cannot be installed any more
    await rejects(pull([lagging, away]).result, "UNAVAILABLE"); // nobody knows what that one has
    await pull([lagging, same, leader]).result;
    await isWhole(here, 9n);
    await empty.close();
  }));

test("survey: of another group is the error of that source only", () =>
  inWorld(async ({ from, here, pull, errors }) => {
    const other = new MemoryStorage({ group: "other" });
    await save(other, 99n, { state: STATE });
    await save(here, 8n, { state: STATE });
    const stranger = sourceOf("stranger", other);
    await pull([stranger, await from("leader", 9n)]).result;
    await isWhole(here, 9n);
    assert.isTrue(errors.every(({ code, source }) => code === "FORBIDDEN" && source === "http://stranger"));
    await stranger.close();
    await other.close();
  }));

test("survey: a source that is away for a while is waited for, however many requests fail meanwhile", () =>
  inWorld(async ({ from, here, pull, clock }) => {
    let until = Infinity;
    let failed = 0;
    const source = await from("away", 9n, (request, count) => {
      if (count === 3) until = clock.passed + 14_000;
      if (isManifest(request) || count < 3 || clock.passed >= until) return undefined;
      failed++;
      return Promise.reject(new TypeError("refused"));
    });
    await pull([source], { concurrency: 8 }).result;
    assert.isAbove(failed, 8);
    await isWhole(here, 9n);
  }));

test("survey: one that is away for longer than its time is dropped, then and not before", () =>
  inWorld(async ({ from, pull, clock }) => {
    const source = await from(
      "away",
      9n,
      (request) => isManifest(request) ? undefined : Promise.reject(new TypeError()),
    );
    for (const retryFor of [15_000, 3000, 0]) {
      const began = clock.passed;
      await rejects(pull([source], { retryFor }).result, "UNAVAILABLE");
      assert.isAtLeast(clock.passed - began, retryFor);
      assert.isBelow(clock.passed - began, retryFor + 1000);
    }
  }));

test("survey: the newest is bad there, and the older good one is taken", async () => {
  const bad: Readonly<Record<string, Twist>> = {
    damaged: (_request, _count, answer) =>
      answer().then(async (response) => new Response((await response.bytes()).fill(1), response)),
    gone: () => new Response("", { status: 404 }),
    "not readable": () => Response.json({ code: "CORRUPT" }, { status: 500 }),
  };
  for (const [how, answerBadly] of Object.entries(bad)) {
    for (const isOther of [false, true]) { // has another source the older one, or the same?
      await inWorld(async ({ from, here, pull }) => {
        const there = await storageWith(isOther ? 1n : 8n, { state: isOther ? noise(10, 1) : STATE });
        const digest = toHex((await save(there, 9n, { state: noise(3_000_000, 2) })).digest);
        const source = sourceOf(
          "s",
          there,
          (request, count, answer) => request.url.includes(digest) ? answerBadly(request, count, answer) : undefined,
        );
        const { snapshot } = await pull([source, ...(isOther ? [await from("other", 8n)] : [])]).result;
        assert.strictEqual(snapshot.meta.lastIncludedIndex, 8n, how);
        await isWhole(here, 8n);
        const alone = pull([source], { index: 9n });
        assert.include(["CORRUPT", "NOT_FOUND"], (await alone.result.catch((error) => error)).code, how); // as asked for
        await source.close();
        await there.close();
      });
    }
  }
});

test("survey: one wrong answer of the only source is asked for once more", async () => {
  const wrong: Readonly<Record<string, Twist>> = {
    "a flipped bit": (request, _count, answer) =>
      request.url.includes("/content")
        ? answer().then(async (response) => {
          const bytes = await response.bytes();
          bytes[7]! ^= 1;
          return new Response(bytes, response);
        })
        : undefined,
    "a login page": () => new Response("<html>", { headers: { "Content-Type": "text/html" } }),
    "one 403": () => new Response("no", { status: 403 }),
    "one 403 of the content": (request) =>
      request.url.includes("/content") ? new Response("no", { status: 403 }) : undefined,
    "one 404 of the content": (request) =>
      request.url.includes("/content") ? new Response("no", { status: 404 }) : undefined,
  };
  for (const [what, once] of Object.entries(wrong)) {
    await inWorld(async ({ from, here, pull, errors }) => {
      let given = false;
      const source = await from("s", 9n, (request, count, answer) => {
        const response = given ? undefined : once(request, count, answer);
        given ||= response !== undefined;
        return response;
      });
      await pull([source], { concurrency: 1 }).result;
      assert.lengthOf(errors, 1, what);
      await isWhole(here, 9n);
    });
  }
});

test("survey: what is no answer is named by address, status and content type", () =>
  inWorld(async ({ from, pull }) => {
    const html = (status: number): Twist => () =>
      new Response("<html>", { status, headers: { "Content-Type": "text/html; charset=utf-8" } });
    const page = await from("cafe", 9n, html(200));
    const error = await rejects(pull([page]).result, "MALFORMED");
    assert.match(error.message, /^http:\/\/cafe answered 200 with text\/html, which is not a manifest: /);
    assert.deepEqual([error.source, error.fields.status], ["http://cafe", 200]);
    const refused = await rejects(pull([await from("cafe", 9n, html(403))]).result, "FORBIDDEN");
    assert.strictEqual(refused.message, "http://cafe answered 403 with text/html");
    const content: Twist = (request, count, answer) =>
      request.url.includes("/content") ? html(200)(request, count, answer) : undefined;
    const range = await rejects(pull([await from("cafe", 9n, content)]).result, "UNSUPPORTED");
    assert.match(range.message, /^http:\/\/cafe answered 200 with text\/html to a request for a range/);
  }));

test("survey: what was closed or cancelled at the source is not the caller's, and is asked for again", () =>
  inWorld(async ({ from, here, pull, errors }) => {
    const codes = ["CANCELLED", "CLOSED"];
    const said: Twist = (_request, count) =>
      count <= 2 ? Response.json({ code: codes[count - 1] }, { status: 503 }) : undefined;
    await pull([await from("s", 9n, said)]).result;
    assert.deepEqual(errors.map(({ code, name }) => [code, name]), Array(2).fill(["UNAVAILABLE", "SnapshotError"]));
    await isWhole(here, 9n);
  }));

test("survey: an answer that is too long is named by address, status and content type, whatever was asked for", async () => {
  const fetch = () => Promise.resolve(new Response(new Uint8Array(5 * 1024 * 1024), { status: 200 }));
  const source = { url: "http://long", fetch };
  const notification = { term: 1n, firstAvailable: { index: 5n, term: 1n } };
  for (
    const ask of [
      () => listRemote(source),
      () => remoteStatus(source),
      () => takeRemote(source),
      () => notifyInstall(source, notification, { retryFor: 0 }).result,
      () => new LogSource(source, 1000).status(undefined),
    ]
  ) {
    const error = await rejects(ask, "MALFORMED");
    assert.match(error.message, /^http:\/\/long answered 200 with no Content-Type, which is not /);
    assert.deepEqual([error.source, error.fields.status], ["http://long", 200]);
  }
});

test("survey: bytes are progress, though a chunk takes minutes", () =>
  inFakeTime(async () => {
    const there = new MemoryStorage();
    await save(there, 9n, { state: noise(4 << 20, 1) }, { chunkSize: 4 << 20 });
    const here = new MemoryStorage();
    const source = sourceOf("slow", there, (_request, _count, answer) =>
      answer().then((response) => {
        const bytes = bytesOf(response.body!);
        let at = 0;
        return new Response(
          new ReadableStream<Uint8Array<ArrayBuffer>>({
            async pull(controller) {
              await new Promise((resolve) => setTimeout(resolve, 1000));
              const piece = (await bytes).slice(at, at += 60_000);
              if (piece.length > 0) controller.enqueue(piece);
              else controller.close();
            },
          }, { highWaterMark: 0 }),
          response,
        );
      }));
    const operation = pull(here, [source], { concurrency: 1 });
    let seen = 0;
    for await (const { bytes } of operation) if (bytes === 0) seen++;
    assert.isAbove(seen, 60); // one for each second
    await Promise.all([source.close(), there.close(), here.close()]);
  }));

test("survey: one who makes up ever newer snapshots is not followed for ever", () =>
  inWorld(async ({ here, pull }) => {
    const there = await storageWith(1n, { state: STATE });
    let index = 1n;
    const source = sourceOf("liar", there, (request, _count, answer) => {
      if (request.url.includes("/content")) return new Response("", { status: 404 });
      if (!request.url.endsWith("/latest/manifest")) return undefined;
      return save(there, ++index, { state: STATE }).then(answer);
    }, true);
    await rejects(pull([source]).result, "NOT_FOUND");
    assert.isBelow(Number(index), 40);
    assert.deepEqual(await here.list(), []);
    await source.close();
    await there.close();
  }));
