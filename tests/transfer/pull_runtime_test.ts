import { MemoryStorage, pull, type SnapshotError } from "../../mod.ts";
import { equal, toHex } from "../../src/stream/mod.ts";
import { type FakeClock, inFakeTime } from "../support/fake_clock.ts";
import { assert, bytesOf, noise, rejects, test, turns } from "../support/harness.ts";
import { type Files, save, storageWith } from "../support/samples.ts";
import { after, sourceOf, type Twist, withBody } from "../support/servers.ts";

const STATE = noise(20_000_000, 1);
const FILES: Files = { state: STATE, "d/😀 %": noise(100_000, 2), empty: noise(0, 1) };
const SIZE = 20_100_000;

async function check(storage: MemoryStorage, files = FILES): Promise<void> {
  const reader = await storage.open();
  assert.deepEqual(reader.manifest.files.map(({ name }) => name).sort(), Object.keys(files).sort());
  for (const [name, content] of Object.entries(files)) {
    assert.isTrue(equal(await bytesOf(reader.file(name)), content), name);
  }
  await reader.close();
}

type Work = (
  start: (options?: Parameters<typeof pull>[2]) => ReturnType<typeof pull>,
  here: MemoryStorage,
  errors: SnapshotError[],
  logs: readonly string[][],
  clock: FakeClock,
) => Promise<void>;

/** Pulls from one source for each twist, in fake time. */
function pulling(twists: readonly (Twist | undefined)[], work: Work): Promise<void> {
  return inFakeTime((clock) => pullingAt(clock, twists, work));
}

async function pullingAt(
  clock: FakeClock,
  twists: readonly (Twist | undefined)[],
  work: Work,
): Promise<void> {
  const there = await storageWith(9n, FILES);
  const here = new MemoryStorage();
  const sources = twists.map((twist, i) => sourceOf(`s${i}`, there, twist));
  const errors: SnapshotError[] = [];
  try {
    await work(
      (options) => pull(here, sources, { onSourceError: (error) => errors.push(error), ...options }),
      here,
      errors,
      sources.map(({ log }) => log),
      clock,
    );
  } finally {
    await Promise.all(sources.map((source) => source.close()));
    await Promise.all([there.close(), here.close()]);
  }
}

test("pull: from one source", () =>
  pulling([undefined], async (start, here, errors) => {
    const operation = start();
    const { snapshot, fetched, reused } = await operation.result;
    assert.deepEqual([snapshot.meta.lastIncludedIndex, fetched, reused], [9n, SIZE, 0]);
    const { phase, bytes, total } = operation.progress;
    assert.deepEqual({ phase, bytes, total }, { phase: "commit", bytes: SIZE, total: SIZE });
    assert.deepEqual(errors, []);
    await check(here);
    const again = await start();
    assert.deepEqual(again, { upToDate: true, snapshot, fetched: 0, reused: 0, sources: [] });
  }));

test("pull: from three sources at once, nothing twice", () =>
  pulling([undefined, undefined, undefined], async (start, here, _, logs) => {
    assert.strictEqual((await start().result).fetched, SIZE);
    await check(here);
    const ranges = logs.flat().filter((line) => line.includes("bytes="));
    assert.strictEqual(new Set(ranges).size, ranges.length);
  }));

test("pull: a source that lies is dropped and named; nothing of it is kept", () =>
  pulling([
    async (_, _count, answer) =>
      withBody(await answer(), (body) =>
        body.pipeThrough(
          new TransformStream({
            transform: (piece, controller) => controller.enqueue(piece.map((byte: number) => byte ^ 1)),
          }),
        )),
    undefined,
  ], async (start, here, errors, [liar]) => {
    assert.strictEqual((await start({ concurrency: 1 }).result).fetched, SIZE);
    await check(here);
    assert.deepEqual(errors.map(({ code, source }) => [code, source]), [["CORRUPT", "http://s0"]]);
    // Twice: the second time it was to verify what it sends.
    assert.strictEqual(liar!.filter((line) => line.includes("/content")).length, 2);
  }));

test("pull: if all lie it is CORRUPT", () =>
  pulling([async (_, _count, answer) => {
    const response = await answer();
    await response.body?.cancel();
    return new Response(new Uint8Array(Number(response.headers.get("Content-Length"))), response);
  }], async (start, here) => {
    await rejects(start().result, "CORRUPT");
    assert.deepEqual(await here.list(), []);
  }));

const RESET = () => Promise.reject(new TypeError("connection reset"));
const PASSING: Readonly<Record<string, Twist>> = {
  "fails every third request": (_, count) => count % 3 === 0 ? RESET() : undefined,
  "is busy at first": (_, count) =>
    count === 1 ? new Response("later", { status: 503, headers: { "Retry-After": "0.01" } }) : undefined,
  "breaks off": (_, _count, answer) =>
    answer().then((response) =>
      withBody(response, (body) => body.pipeThrough(after(1_000_000, (it) => it.error(new TypeError("reset")))))
    ),
  "sends too little": (_, count, answer) =>
    count % 2 === 0
      ? undefined
      : answer().then((response) =>
        withBody(response, (body) => body.pipeThrough(after(1_000_000, (it) => it.terminate())))
      ),
  "sends too much": (_, count, answer) =>
    count % 2 === 0 ? undefined : answer().then((response) =>
      withBody(response, (body) =>
        body.pipeThrough(
          new TransformStream({ flush: (it) => it.enqueue(noise(10, 1)) }),
        ))
    ),
  "stalls": (_, count, answer) =>
    count % 3 !== 0
      ? undefined
      : answer().then((response) =>
        withBody(response, (body) => body.pipeThrough(after(1_000_000, () => new Promise(() => {}))))
      ),
  "does not answer": (_, count) => count === 2 ? new Promise<Response>(() => {}) : undefined,
};

for (const [what, twist] of Object.entries(PASSING)) {
  test(`pull: a source that ${what}`, () =>
    pulling([twist], async (start, here) => {
      await start({ timeout: 200, concurrency: 1 }).result;
      await check(here);
    }));
}

test("pull: a source that cannot send ranges", () =>
  pulling([(request, _, answer) => {
    const path = new URL(request.url).pathname;
    void answer;
    return path.endsWith("state") ? Promise.resolve(new Response(new Uint8Array(STATE))) : undefined;
  }, undefined], async (start, here) => {
    await start().result;
    await check(here);
  }));

test("pull: one that is told to come back later does not hold up what others have done", () =>
  pulling(
    [undefined, () => new Response("", { status: 503, headers: { "Retry-After": "60" } })],
    async (start, here, _errors, _logs, clock) => {
      await start().result;
      assert.isBelow(clock.passed, 4000); // it would wait five seconds
      await check(here);
    },
  ));

test("pull: retired and replaced meanwhile, it goes on with the new one and uses what it has", () =>
  inFakeTime(async () => {
    const there = await storageWith(9n, FILES);
    const here = new MemoryStorage();
    const changed = STATE.slice();
    changed[0]! ^= 1;
    let replaced = false;
    const source = sourceOf("s", there, (_, count) => {
      if (count === 3 && !replaced) {
        replaced = true;
        return (async () => {
          await source.close();
          for (const index of [10n, 11n, 12n]) await save(there, index, { state: changed }, { chunkSize: 65_536 });
          return await source.fetch(new Request("http://s/snapshots/9/content"));
        })();
      }
    });
    const seen: bigint[] = [];
    const { snapshot, fetched, reused } = await pull(here, [source], {
      concurrency: 1,
      onManifest: (manifest) => seen.push(manifest.index),
    }).result;
    assert.deepEqual([snapshot.meta.lastIncludedIndex, seen], [12n, [9n, 12n]]);
    assert.isAtLeast(reused, 500_000); // how much had come by then is a matter of how fast it came
    assert.isAtMost(fetched, STATE.length + 65_536 + 100_000);
    await check(here, { state: changed });
    await Promise.all([source.close(), there.close(), here.close()]);
  }));

test("pull: CANCELLED at once, even from a source that stalls and knows nothing of signals", () =>
  inFakeTime(async () => {
    for (const all of [true, false]) {
      const there = await storageWith(9n, FILES);
      const here = new MemoryStorage();
      const source = sourceOf("s", there, (_, count) => all || count === 2 ? new Promise(() => {}) : undefined, all);
      const stop = new AbortController();
      const operation = pull(here, [source], { signal: stop.signal, concurrency: 1 });
      while (source.log.length < (all ? 1 : 3)) await turns(1);
      stop.abort("enough");
      const error = await rejects(operation.result, "CANCELLED");
      assert.strictEqual(error.cause, "enough");
      if (!all) {
        const other = sourceOf("o", there);
        const { fetched, reused } = await pull(here, [other]).result;
        assert.isAtLeast(reused, 100_000); // what was received stays
        assert.strictEqual(fetched + reused, SIZE);
        await check(here);
        await other.close();
      }
      await Promise.all([source.close(), there.close(), here.close()]);
    }
  }));

test("pull: chunks of an older snapshot are not fetched again", () =>
  inFakeTime(async () => {
    const there = await storageWith(9n, FILES);
    const here = await storageWith(5n, { other: STATE.slice(0, 65_536 * 100) });
    const source = sourceOf("s", there);
    const { fetched, reused } = await pull(here, [source]).result;
    assert.deepEqual([reused, fetched], [65_536 * 100, SIZE - 65_536 * 100]);
    await check(here);
    assert.strictEqual(toHex((await here.list())[0]!.digest), toHex((await there.list())[0]!.digest));
    await Promise.all([source.close(), there.close(), here.close()]);
  }));

test("pull: requests that fail together are one failure of their source", () => {
  // Three at a time, four times over: a server that is away for a second.
  const away: Twist = (_, count) => count <= 12 ? RESET() : undefined;
  return pulling([away], async (start, here) => {
    await start({ concurrency: 3, retryFor: 2000 }).result;
    await check(here);
  });
});

test("pull: replaced at one source while another is gone for good", () =>
  inFakeTime(async () => {
    const there = await storageWith(9n, FILES);
    const here = new MemoryStorage();
    const dead = sourceOf("dead", there, RESET);
    let replaced = false;
    const source = sourceOf("s", there, (_, count) => {
      if (count !== 2 || replaced) return undefined;
      replaced = true;
      return (async () => {
        await Promise.all([source.close(), dead.close()]);
        for (const index of [10n, 11n, 12n]) await save(there, index, { state: STATE }, { chunkSize: 65_536 });
        return await source.fetch(new Request("http://s/snapshots/9/content"));
      })();
    });
    const { snapshot } = await pull(here, [source, dead], { concurrency: 1, retryFor: 100 }).result;
    assert.strictEqual(snapshot.meta.lastIncludedIndex, 12n);
    await check(here, { state: STATE });
    await Promise.all([source.close(), dead.close(), there.close(), here.close()]);
  }));
