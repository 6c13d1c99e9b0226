// A good mirror among bad ones: in fake time, where each has a rate of its own, and nothing else takes any.

import { MemoryStorage, notifyInstall, openRemote, pull, snapshotHandler, type SourceOptions } from "../../mod.ts";
import { pause } from "../../src/async/mod.ts";
import { type FakeClock, inFakeTime } from "../support/fake_clock.ts";
import { assert, bytesOf, noise, rejects, test } from "../support/harness.ts";
import { storageWith } from "../support/samples.ts";

const SIZE = 12_000_000;
/** The rate of the good one, in bytes a millisecond: 1 MB/s, so that it takes twelve seconds alone. */
const RATE = 1000;

/** Passes a byte each half a second. */
function dripping(): TransformStream<Uint8Array, Uint8Array> {
  return new TransformStream({
    async transform(piece, controller) {
      for (const byte of piece) {
        await pause(500, undefined);
        controller.enqueue(Uint8Array.of(byte));
      }
    },
  });
}

/** An answer whose body goes through something. */
async function through(
  answer: Promise<Response>,
  by: () => TransformStream<Uint8Array, Uint8Array>,
): Promise<Response> {
  const response = await answer;
  return new Response(response.body?.pipeThrough(by() as ReadableWritablePair) ?? null, response);
}

type Kind = (request: Request, answer: () => Promise<Response>) => Response | Promise<Response>;

/** How mirrors are no good. */
const BAD: Readonly<Record<string, Kind>> = {
  "refuses": () => Promise.reject(new TypeError("connection refused")),
  "never answers": () => new Promise(() => {}),
  "has a page for everything": () => new Response("<html></html>", { headers: { "Content-Type": "text/html" } }),
  "is overloaded": () => new Response(null, { status: 503, headers: { "Retry-After": "3600" } }),
  "redirects elsewhere": () => new Response(null, { status: 307, headers: { Location: "http://169.254.169.254/" } }),
  "drips": (_request, answer) => through(answer(), dripping),
  "stalls": (_request, answer) =>
    through(answer(), () => new TransformStream({ transform: () => new Promise<void>(() => {}) })),
  "lies": (request, answer) =>
    request.url.endsWith("/content")
      ? through(answer(), () =>
        new TransformStream({
          transform: (piece, controller) => controller.enqueue(new Uint8Array(piece.length)),
        }))
      : answer(),
  "breaks off": (request, answer) =>
    request.url.endsWith("/content")
      ? through(answer(), () =>
        new TransformStream({
          transform: (piece, controller) => {
            controller.enqueue(piece.subarray(0, 1000));
            controller.error(new TypeError("reset"));
          },
        }))
      : answer(),
  "has lost it": () => new Response(null, { status: 404 }),
};

type WithMirrors = (sources: readonly SourceOptions[], clock: FakeClock) => Promise<void>;

/** Does something with mirrors of a snapshot that are no good, and one that is good and comes last in the list. */
function amongMirrors(bad: readonly Kind[], work: WithMirrors, size = 1000): Promise<void> {
  return inFakeTime(async (clock) => {
    const there = await storageWith(9n, { state: noise(size, 1) });
    const handler = snapshotHandler(there, { allowWrites: true });
    const source = (name: string, kind: Kind): SourceOptions => ({
      url: `http://${name}`,
      fetch: async (request) => await kind(request, () => handler(request)),
    });
    const all = [...bad.map((kind, i) => source(`bad-${i}`, kind)), source("good", (_request, answer) => answer())];
    await work(all, clock);
    await Promise.all([handler.close(), there.close()]);
  });
}

/** How long a pull takes from a good mirror that comes last in the list, in fake milliseconds. */
function pulled(bad: readonly Kind[]): Promise<number> {
  return inFakeTime(async (clock) => {
    const there = await storageWith(9n, { state: noise(SIZE, 1) });
    const here = new MemoryStorage();
    const handler = snapshotHandler(there);
    const source = (name: string, kind: Kind): SourceOptions => ({
      url: `http://${name}`,
      fetch: async (request) => await kind(request, () => handler(request)),
    });
    let free = clock.passed;
    const good: Kind = (_request, answer) =>
      through(answer(), () =>
        new TransformStream<Uint8Array, Uint8Array>({
          async transform(piece, controller) { // one link for all of its answers
            free = Math.max(free, clock.passed) + piece.length / RATE;
            await pause(free - clock.passed, undefined);
            controller.enqueue(piece);
          },
        }));
    const sources = [...bad.map((kind, i) => source(`bad-${i}`, kind)), source("good", good)];
    const begun = clock.passed;
    const { fetched } = await pull(here, sources).result;
    const took = clock.passed - begun;
    assert.isAtLeast(fetched, SIZE);
    await Promise.all([handler.close(), there.close(), here.close()]);
    return took;
  });
}

const kinds = Object.entries(BAD);
const groups = [kinds.filter((_, i) => i % 2 === 0), kinds.filter((_, i) => i % 2 === 1)];
for (const group of groups) {
  test(`a good mirror among five bad ones keeps 0.8 of its rate: ${group.map(([name]) => name).join(", ")}`, async () => {
    const alone = await pulled([]);
    assert.isAtLeast(alone, SIZE / RATE);
    const among = await pulled(group.map(([, kind]) => kind));
    assert.isAtLeast(alone / among, 0.8, `alone ${alone} ms, among them ${among} ms`);
  });
}

for (const group of groups) {
  test(`openRemote reads from the good one among five bad: ${group.map(([name]) => name).join(", ")}`, () =>
    amongMirrors(group.map(([, kind]) => kind), async (sources) => {
      const reader = await openRemote(sources, { timeout: 1000, retryFor: 3000 });
      assert.deepEqual(await bytesOf(reader.file("state")), noise(1000, 1));
      await reader.close();
    }));
}

for (const kind of ["never answers", "drips", "stalls"]) {
  test(`openRemote and notifyInstall end, though the only server ${kind}`, () =>
    amongMirrors([BAD[kind]!], async ([bad], clock) => {
      const limits = { timeout: 1000, retryFor: 0 };
      await rejects(openRemote(bad!, limits), "TIMEOUT");
      const notification = { term: 1n, firstAvailable: { index: 10n, term: 1n } };
      await rejects(notifyInstall(bad!, notification, limits), "TIMEOUT");
      assert.isBelow(clock.passed, 60_000);
    }));
}
