// A follower among sources of a log that are no good: they drip, lie, never send, and praise themselves.

import { pause } from "../../src/async/mod.ts";
import type { FollowerEvent } from "../../src/extend.ts";
import { encodeBatch, encodeHeader, encodeHeartbeat } from "../../src/log/mod.ts";
import { baseDigest } from "../../src/log/chain.ts";
import { inFakeTime } from "../support/fake_clock.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { node, put, within } from "../support/log_nodes.ts";

const START = baseDigest(0n, 0n);
const LARGEST = 2n ** 63n - 1n;

/** What a source answers to requests for its log. */
type Answer = (request: Request) => Response | Promise<Response>;

const header = encodeHeader({ first: 1n, previous: START, term: 0n });
const beat = (last: bigint, term = 1n) => encodeHeartbeat({ last, term, time: 1 });
const entries = Array.from({ length: 10 }, (_, i) => ({ index: BigInt(i + 1), term: 1n, data: new Uint8Array(1000) }));
const batch = encodeBatch(entries, START).bytes;

/** A stream of pieces, with a wait before each; it does not end. */
function stream(pieces: Iterable<Uint8Array>, wait = 0): Response {
  const all = pieces[Symbol.iterator]();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      if (wait > 0) await pause(wait, undefined);
      const { done, value } = all.next();
      if (done) return new Promise(() => {});
      controller.enqueue(value);
    },
  }, { highWaterMark: 0 });
  return new Response(body as BodyInit);
}

function bytewise(bytes: Uint8Array): Uint8Array[] {
  return Array.from(bytes, (byte) => Uint8Array.of(byte));
}

function* forever(make: () => Uint8Array, ...first: Uint8Array[]): Generator<Uint8Array, void, undefined> {
  yield* first;
  for (;;) yield make();
}

function changed(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  copy[copy.length - 500]! ^= 1;
  return copy;
}

const json = (value: unknown) => Response.json(value);
const state = (last: bigint, term = 1n) => json({ first: "1", last: String(last), term: String(term), role: "leader" });

const KINDS: Readonly<Record<string, Answer>> = {
  "refuses": () => Promise.reject(new TypeError("connection refused")),
  "never answers": () => new Promise<never>(() => {}),
  "answers with a page": () => new Response("<html>Sign in</html>", { headers: { "Content-Type": "text/html" } }),
  "sends nothing": () => stream([]),
  "sends a header, and no more": () => stream([header]),
  "drips its header": () => stream(bytewise(header), 5000),
  "drips heartbeats": () => stream(forever(() => beat(10n).subarray(0, 1), header), 5000),
  "drips a batch": () => stream([header, beat(10n), ...bytewise(batch)], 5000),
  "has entries, and sends none": () => stream(forever(() => beat(10n), header), 1000),
  "has ever more, and sends none": () => {
    let last = 10n;
    return stream(forever(() => beat(last++), header), 1000);
  },
  "announces an endless record": () => stream([Uint8Array.of(255, 255, 255, 255, 127)]),
  "sends a wrong batch": () => stream([header, beat(10n), changed(batch)]),
  "sends a batch before it says what it has": () => stream([header, batch]),
  "has another history": () =>
    stream([encodeHeader({ first: 1n, previous: new Uint8Array(32), term: 0n }), beat(10n), batch]),
  "says a term behind which nobody can lead": () => stream([header, beat(10n, LARGEST), batch]),
  "begins with such a term": () => stream([encodeHeader({ first: 1n, previous: START, term: LARGEST }), beat(10n)]),
  "has purged nothing, and says so": (request) =>
    new URL(request.url).searchParams.has("from")
      ? new Response("{}", { status: 410, headers: { "Log-First": "1" } })
      : state(10n),
  "has purged all, and has no snapshot": (request) =>
    new URL(request.url).searchParams.has("from")
      ? new Response("{}", { status: 410, headers: { "Log-First": String(LARGEST) } })
      : state(LARGEST),
  "says that it has another history, and never where": (request) =>
    new URL(request.url).searchParams.has("from") ? new Response("{}", { status: 409 }) : state(LARGEST),
  "redirects elsewhere": () =>
    new Response(null, { status: 307, headers: { Location: "http://169.254.169.254/log?from=1" } }),
  "has nothing new": () => stream(forever(() => beat(0n), header), 1000),
};

for (const [kind, answer] of Object.entries(KINDS)) {
  test(`a follower of one that ${kind} goes on to the next`, () =>
    inFakeTime(async () => {
      const [leader, replica] = [await node("leader"), await node("replica")];
      await within([leader, replica], async () => {
        await put(leader, 10);
        const asked: string[] = [];
        const bad = {
          url: "http://bad",
          fetch: async (request: Request) => {
            asked.push(request.url);
            return await answer(request);
          },
        };
        const follower = replica.replica.follow([bad, leader.source], { timeout: 10_000 });
        await follower.caughtUp(10n);
        assert.strictEqual(replica.machine.get("k9"), "v9");
        assert.isBelow(asked.length, 200);
        await put(leader, 5, 10);
        await follower.caughtUp(15n);
        const { term } = await follower.promote(); // no word has taken that away
        assert.isBelow(Number(term), 10);
      });
    }));
}

test("a source that praises itself is not gone to again and again", () =>
  inFakeTime(async (clock) => {
    const [leader, replica] = [await node("leader"), await node("replica")];
    await within([leader, replica], async () => {
      await put(leader, 10);
      let followed = 0;
      const liar = {
        url: "http://liar",
        fetch: (request: Request) => {
          if (!request.url.includes("from=")) return Promise.resolve(state(10n ** 9n));
          followed++;
          return Promise.resolve(stream([header]));
        },
      };
      const events: FollowerEvent[] = [];
      const follower = replica.replica.follow([leader.source, liar], { onEvent: (event) => events.push(event) });
      await follower.caughtUp(10n);
      const begun = clock.passed;
      while (clock.passed - begun < 3_600_000) await pause(60_000, undefined);
      assert.isBelow(followed, 40);
      await put(leader, 1, 10);
      await follower.caughtUp(11n);
    });
  }));

test("a slow source that sends what it has is not left", () =>
  inFakeTime(async () => {
    const [leader, replica] = [await node("leader"), await node("replica")];
    await within([leader, replica], async () => {
      const value = "x".repeat(500_000);
      await leader.replica.propose(leader.machine.put("large", value));
      let streams = 0;
      const slow = {
        url: "http://slow",
        fetch: async (request: Request) => {
          const response = await leader.source.fetch!(request);
          if (!request.url.includes("from=")) return response;
          streams++;
          const slowed = new TransformStream<Uint8Array, Uint8Array>({
            async transform(piece, controller) {
              for (let at = 0; at < piece.length; at += 8000) {
                await pause(1000, undefined); // 8 kB a second
                controller.enqueue(piece.subarray(at, at + 8000));
              }
            },
          });
          return new Response(response.body!.pipeThrough(slowed as ReadableWritablePair), response);
        },
      };
      await replica.replica.follow([slow]).caughtUp(1n);
      assert.strictEqual(replica.machine.get("large"), value);
      assert.strictEqual(streams, 1);
    });
  }));

test("a replica that asks its followers whether one leads believes no term behind which nobody can", async () => {
  const first = await node("first", {
    followers: [{ url: "http://liar", fetch: () => Promise.resolve(state(10n, LARGEST)) }],
  });
  await within([first], async () => void await put(first, 1));
  const second = await node("second", {
    followers: [{ url: "http://true", fetch: () => Promise.resolve(state(10n, 7n)) }],
  });
  await within([second], async () => void await rejects(put(second, 1), "STALE"));
});
