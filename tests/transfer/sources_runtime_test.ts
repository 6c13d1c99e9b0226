import {
  MemoryStorage,
  pull,
  type PullOptions,
  type SnapshotError,
  snapshotHandler,
  Throttle,
  throttled,
} from "../../mod.ts";
import { equal } from "../../src/stream/mod.ts";
import { type FakeClock, inFakeTime } from "../support/fake_clock.ts";
import { assert, bytesOf, gate, noise, rejects, test, turns } from "../support/harness.ts";
import { type Files, storageWith } from "../support/samples.ts";
import { after, sourceOf, type TestSource, type Twist, withBody } from "../support/servers.ts";

const STATE = noise(12_000_000, 1);

async function isWhole(storage: MemoryStorage, content: Uint8Array = STATE): Promise<void> {
  const reader = await storage.open();
  assert.isTrue(equal(await bytesOf(reader.file("state")), content));
  await reader.close();
}

type Work = (
  start: (options?: PullOptions) => ReturnType<typeof pull>,
  here: MemoryStorage,
  sources: readonly TestSource[],
  errors: readonly SnapshotError[],
  clock: FakeClock,
) => Promise<void>;

/** Pulls a snapshot from one source for each twist, in fake time; the first gives the manifest. */
function pulling(
  twists: readonly (Twist | undefined)[],
  work: Work,
  files: Files = { state: STATE },
): Promise<void> {
  return inFakeTime((clock) => pullingAt(clock, twists, work, files));
}

async function pullingAt(
  clock: FakeClock,
  twists: readonly (Twist | undefined)[],
  work: Work,
  files: Files,
): Promise<void> {
  const there = await storageWith(9n, files);
  const here = new MemoryStorage();
  const sources = twists.map((twist, i) => sourceOf(`s${i}`, there, twist));
  const errors: SnapshotError[] = [];
  try {
    await work(
      (options) => pull(here, sources, { onSourceError: (error) => errors.push(error), ...options }),
      here,
      sources,
      errors,
      clock,
    );
  } finally {
    await Promise.all(sources.map((source) => source.close()));
    await Promise.all([there.close(), here.close()]);
  }
}

const STALL: Twist = (_, _count, answer) =>
  answer().then((response) =>
    withBody(response, (body) => body.pipeThrough(after(300_000, () => new Promise(() => {}))))
  );

test("sources: what one stalls with, another has done long before it is given up", () =>
  pulling([undefined, STALL], async (start, here, _sources, errors, clock) => {
    const { fetched, sources } = await start({ timeout: 60_000 }).result;
    assert.isBelow(clock.passed, 10_000);
    assert.deepEqual([fetched, errors.length], [STATE.length, 0]);
    assert.strictEqual(sources.reduce((sum, { bytes }) => sum + bytes, 0), STATE.length);
    await isWhole(here);
  }));

test("sources: one that is slow gives little, and does not hold up the end", () => {
  const slow = new Throttle(300_000);
  const trickle: Twist = (_, _count, answer) =>
    answer().then((response) =>
      withBody(response, (body) =>
        body.pipeThrough(
          new TransformStream({
            async transform(piece: Uint8Array, controller) {
              for (let at = 0; at < piece.length; at += 10_000) {
                await slow.take(Math.min(10_000, piece.length - at));
                controller.enqueue(piece.subarray(at, at + 10_000));
              }
            },
          }),
        ))
    );
  return pulling([undefined, trickle], async (start, here, _sources, _errors, clock) => {
    const { sources: [good, bad] } = await start().result;
    assert.isBelow(clock.passed, 10_000); // by itself it would take 40 s
    assert.isAbove(good!.bytes, bad!.bytes);
    await isWhole(here);
  });
});

test("sources: who dies half-way, and who lies, are dropped and named, and the rest goes on", () => {
  const dying: Twist = (_, count) => count > 2 ? Promise.reject(new TypeError("connection refused")) : undefined;
  const lying: Twist = (_, _count, answer) =>
    answer().then((response) => new Response(new Uint8Array(Number(response.headers.get("Content-Length"))), response));
  return pulling([undefined, dying, lying], async (start, here, _sources, errors) => {
    const { sources } = await start({ retryFor: 100 }).result;
    assert.strictEqual(sources[0]!.dropped, undefined);
    assert.strictEqual(sources[2]!.dropped?.code, "CORRUPT");
    assert.strictEqual(sources[2]!.bytes, 0);
    assert.isTrue(errors.some(({ source, code }) => source === "http://s2" && code === "CORRUPT"));
    await isWhole(here);
  });
});

test("sources: Retry-After is waited for, in seconds or as a date", () => {
  const waits = [() => "1", () => new Date(Date.now() + 20_000).toUTCString()];
  return pulling([
    (_, count) =>
      count <= 2 ? new Response("", { status: 429, headers: { "Retry-After": waits[count - 1]!() } }) : undefined,
  ], async (start, here, _sources, errors, clock) => {
    await start({ concurrency: 1 }).result;
    assert.isAtLeast(clock.passed, 20_000); // the second that a date leaves out is the one that was waited for before
    assert.deepEqual(errors.map(({ code, fields: { status } }) => [code, status]), [["UNAVAILABLE", 429], [
      "UNAVAILABLE",
      429,
    ]]);
    await isWhole(here);
  });
});

test("sources: many small files come in few requests", () => {
  const files = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`d${i % 7}/f${i}`, noise(1000 + i, i + 1)]));
  return pulling([undefined], async (start, here, [source]) => {
    await start().result;
    assert.isAtMost(source!.log.filter((line) => line.includes("/content")).length, 4);
    const reader = await here.open();
    for (const [name, content] of Object.entries(files)) {
      assert.isTrue(equal(await bytesOf(reader.file(name)), content), name);
    }
  }, files);
});

test("sources: a chunk that is in the snapshot several times comes once", () => {
  const zeros = new Uint8Array(10_000_000);
  return pulling([undefined], async (start, here) => {
    const { fetched, reused } = await start().result;
    assert.strictEqual(fetched + reused, zeros.length);
    assert.isAtMost(fetched, 65_536 + zeros.length % 65_536);
    await isWhole(here, zeros);
  }, { state: zeros });
});

test("sources: held to a rate, which is changed while it runs", () =>
  pulling([undefined], async (start, here, _sources, _errors, clock) => {
    const throttle = new Throttle(2_000_000);
    const operation = start({ throttle });
    for await (const { phase, bytes } of operation) if (phase === "fetch" && bytes > 2_000_000) break;
    assert.isAtLeast(clock.passed, 900);
    throttle.bytesPerSecond = Infinity;
    await operation.result;
    await isWhole(here);
  }));

test("sources: a node serves what has come of a snapshot that it is itself receiving", () =>
  inFakeTime(async () => {
    const leader = await storageWith(9n, { state: STATE });
    const [a, b] = [new MemoryStorage(), new MemoryStorage()];
    const half = gate();
    const go = gate();
    const source = sourceOf("leader", leader, (_, count) => {
      if (count !== 6) return undefined;
      half.open();
      return go.promise.then(() => Promise.reject(new TypeError("gone")));
    });
    const first = sourceOf("a", a);
    const pullingA = pull(a, [source], { concurrency: 1 });
    await half.promise;
    // The leader gives the manifest only, and the chunks that `a` does not have.
    const asked: string[] = [];
    const manifestOnly = sourceOf("leader", leader, (request) => {
      asked.push(request.headers.get("Range")!);
      return undefined;
    });
    const { sources, fetched } = await pull(b, [manifestOnly, first], { concurrency: 2 }).result;
    assert.strictEqual(fetched, STATE.length);
    assert.isAbove(sources[1]!.bytes, 1_000_000, "bytes from the node that is receiving");
    assert.isBelow(sources[0]!.bytes, STATE.length - 1_000_000);
    await isWhole(b);
    go.open();
    const second = sourceOf("b", b);
    await pullingA.result;
    await isWhole(a);
    await Promise.all([source, first, second, manifestOnly].map((each) => each.close()));
    await Promise.all([leader, a, b].map((storage) => storage.close()));
  }));

test("sources: a swarm draws about one snapshot from who has it", () =>
  inFakeTime(async () => {
    const leader = await storageWith(9n, { state: STATE });
    let sent = 0;
    const rate = new Throttle(10_000_000); // slower than they are among each other
    const source = sourceOf("leader", leader, (_, _count, answer) =>
      answer().then((response) => {
        sent += Number(response.headers.get("Content-Length"));
        return withBody(response, (body) => body.pipeThrough(throttled(rate)));
      }));
    const followers = Array.from({ length: 5 }, () => new MemoryStorage());
    const servers = followers.map((storage, i) => sourceOf(`f${i}`, storage));
    const results = await Promise.all(
      followers.map((storage, i) => pull(storage, [source, ...servers.filter((_, j) => j !== i)]).result),
    );
    for (const storage of followers) await isWhole(storage);
    // Six blocks, and all five begin at once: without a swarm it would be five times.
    assert.isBelow(sent / STATE.length, 3.5);
    assert.isTrue(results.every(({ sources }) => sources.slice(1).some(({ bytes }) => bytes > 0)));
    await Promise.all([source, ...servers].map((each) => each.close()));
    await Promise.all([leader, ...followers].map((storage) => storage.close()));
  }));

test("sources: further ones, named with the manifest, are used only if the caller says how", () =>
  inFakeTime(async () => {
    const leader = await storageWith(9n, { state: STATE });
    const mirror = sourceOf("mirror", leader);
    const handler = snapshotHandler(leader, { sources: () => ["http://mirror/", "http://evil.example/x y"] });
    const source = { url: "http://leader", fetch: handler };
    const named: string[] = [];
    const here = new MemoryStorage();
    const { sources } = await pull(here, [source], {
      onFurtherSource: (url) => {
        named.push(String(url));
        return url.hostname === "mirror" ? mirror : undefined;
      },
    }).result;
    assert.deepEqual(named, ["http://mirror/", "http://evil.example/x%20y"]);
    assert.deepEqual(sources.map(({ url }) => url), ["http://leader", "http://mirror"]);
    assert.isAbove(sources[1]!.bytes, 0);
    await isWhole(here);
    const alone = new MemoryStorage();
    assert.strictEqual((await pull(alone, [source]).result).sources.length, 1);
    await Promise.all([mirror.close(), handler.close()]);
    await Promise.all([leader, here, alone].map((storage) => storage.close()));
  }));

test("sources: a new leader goes on with what the old one began", () =>
  inFakeTime(async () => {
    const [old, next] = [await storageWith(9n, { state: STATE }), await storageWith(9n, { state: STATE })];
    const here = new MemoryStorage();
    const dying = sourceOf("old", old, (_, count) => count > 3 ? Promise.reject(new TypeError("gone")) : undefined);
    await rejects(pull(here, [dying], { concurrency: 1, retryFor: 0 }).result, "UNAVAILABLE");
    const other = sourceOf("next", next); // the same state, taken there: another digest
    const { fetched, reused } = await pull(here, [other]).result;
    assert.isAtLeast(reused, 500_000); // how much had come by then is a matter of how fast it came
    assert.strictEqual(fetched + reused, STATE.length);
    await isWhole(here);
    await Promise.all([dying.close(), other.close()]);
    await Promise.all([old, next, here].map((storage) => storage.close()));
  }));

test("sources: progress has numbers, and the request hook sees every request", () =>
  inFakeTime(async () => {
    const leader = await storageWith(9n, { state: STATE });
    const handler = snapshotHandler(leader, {
      authorize: (request) => request.headers.get("Authorization") === "Bearer 2",
    });
    let token = 1;
    const here = new MemoryStorage();
    const source = {
      url: "http://leader",
      fetch(request: Request) {
        request.headers.set("Authorization", `Bearer ${token}`);
        return handler(request);
      },
    };
    await rejects(pull(here, [source]).result, "FORBIDDEN");
    token = 2; // renewed
    const operation = pull(here, [source]);
    const phases = new Set<string>();
    for await (const { phase } of operation) phases.add(phase);
    assert.includeMembers([...phases], ["fetch", "commit"]);
    assert.strictEqual(operation.progress.bytes, STATE.length);
    await turns(1);
    await handler.close();
    await Promise.all([leader.close(), here.close()]);
  }));
