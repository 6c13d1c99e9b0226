// Sources and storages at their worst: what a pull makes of them.

import { pause } from "../../src/async/pause.ts";
import {
  MemoryStorage,
  pull,
  SnapshotError,
  type SnapshotInfo,
  type SnapshotStorage,
  type SourceOptions,
} from "../../mod.ts";
import { Schedule } from "../../src/transfer/client/schedule.ts";
import { ChunkSet, equal } from "../../src/stream/mod.ts";
import { type FakeClock, inFakeTime } from "../support/fake_clock.ts";
import { SpoiledStorage } from "../support/faulty_medium.ts";
import { assert, bytesOf, noise, rejects, test, turns } from "../support/harness.ts";
import { save } from "../support/samples.ts";
import { after, sourceOf, type TestSource, withBody } from "../support/servers.ts";
import { writeChunk } from "../support/installs.ts";

const CHUNK = 65_536;
const STATE = noise(64 * CHUNK, 3);

/** Two storages, and sources of the first, in fake time. */
function between(
  work: (
    there: MemoryStorage,
    here: SpoiledStorage,
    from: (...args: Partial<Parameters<typeof sourceOf>>) => TestSource,
    clock: FakeClock,
  ) => Promise<void>,
  content: Uint8Array = STATE,
  options: Parameters<typeof save>[3] = { chunkSize: CHUNK },
): Promise<void> {
  return inFakeTime((clock) => betweenAt(clock, work, content, options));
}

async function betweenAt(
  clock: FakeClock,
  work: Parameters<typeof between>[0],
  content: Uint8Array,
  options: Parameters<typeof save>[3],
): Promise<void> {
  const there = new MemoryStorage();
  await save(there, 9n, { state: content }, options);
  const here = new SpoiledStorage();
  const sources: TestSource[] = [];
  try {
    await work(there, here, (name = "good", storage = there, twist, all) => {
      const source = sourceOf(name, storage, twist, all);
      sources.push(source);
      return source;
    }, clock);
  } finally {
    await Promise.all(sources.map((source) => source.close()));
    await Promise.all([there.close(), here.close()]);
  }
}

async function check(here: SnapshotStorage, content = STATE): Promise<void> {
  const reader = await here.open();
  assert.isTrue(equal(await bytesOf(reader.file("state")), content));
  await reader.close();
}

/** What a source says that it has, and will have. */
function heldAnswer(held: (chunk: number) => boolean, expected: (chunk: number) => boolean): Response {
  const sets = [held, expected].map((is) => {
    const set = new ChunkSet(64);
    for (let i = 0; i < 64; i++) if (is(i)) set.add(i);
    return set.bytes;
  });
  return new Response(new Uint8Array([...sets[0]!, ...sets[1]!]));
}

/** A source that says what it likes of what it has; it has no snapshot in full, and so names none. */
function partial(source: TestSource, held: (count: number) => Response | Promise<Response>): SourceOptions {
  let count = 0;
  return {
    url: source.url,
    chunksOnly: true,
    fetch: (request) =>
      new URL(request.url).pathname.endsWith("/held") ? Promise.resolve(held(++count)) : source.fetch(request),
  };
}

test("pull: who promises everything and has now this, now that, does not keep it from who has it", () =>
  between(async (_, here, from) => {
    const liar = partial(from("liar"), (count) => heldAnswer((i) => i === count % 2, () => true));
    await pull(here, [from(), liar], { signal: AbortSignal.timeout(30_000) }).result;
    await check(here);
  }));

test("pull: who has now this, now that, is given up when nobody else is left", () =>
  between(async (_, here, from) => {
    let count = 0;
    const gone = from("gone", undefined, () => ++count > 0 ? new Response("", { status: 403 }) : undefined);
    const liar = partial(from("liar"), (count) => heldAnswer((i) => i === count % 2, () => true));
    await rejects(pull(here, [gone, liar], { signal: AbortSignal.timeout(30_000), retryFor: 100 }).result, "FORBIDDEN");
  }));

test("pull: who has something and is too busy to give it does not keep it from who has all", () =>
  between(async (_, here, from, clock) => {
    const busy = from("busy", undefined, () => new Response("", { status: 503, headers: { "Retry-After": "60" } }));
    const source = partial(busy, () => heldAnswer((i) => i > 0, () => true));
    await pull(here, [from(), source], { signal: AbortSignal.timeout(30_000) }).result;
    assert.isBelow(clock.passed, 10_000);
    await check(here);
  }));

test("pull: who has something and never sends it does not keep it from who has all", () => {
  const content = noise(64 * CHUNK * 4, 3);
  return between(async (_, here, from, clock) => {
    const silent = from("silent", undefined, () => new Promise(() => {}));
    const set = new ChunkSet(256);
    for (let i = 1; i < 256; i++) set.add(i);
    const source = partial(silent, () => new Response(set.bytes as Uint8Array<ArrayBuffer>));
    await pull(here, [from(), source], { signal: AbortSignal.timeout(60_000) }).result;
    assert.isBelow(clock.passed, 5000);
    await check(here, content);
  }, content);
});

test("pull: all is here, and somebody still thinks about what it has", () =>
  between(async (_, here, from, clock) => {
    const thinking = partial(from("thinking"), () => new Promise(() => {}));
    await pull(here, [from(), thinking]).result;
    assert.isBelow(clock.passed, 5000);
    await check(here);
  }));

test("pull: who says nonsense of what it has is dropped, and named", () =>
  between(async (_, here, from) => {
    for (const junk of [new Uint8Array(3), new Uint8Array(12), new Uint8Array(1000)]) {
      const errors: SnapshotError[] = [];
      const slow = from("slow", undefined, (_, _count, answer) => turns(5).then(answer));
      const source = partial(from("junk"), () => new Response(junk));
      const { result } = pull(here, [slow, source], { onSourceError: (error) => errors.push(error) });
      const { sources } = await result;
      assert.strictEqual(sources[1]?.dropped?.code, "MALFORMED");
      for (const { code, source } of errors) assert.deepEqual([code, source], ["MALFORMED", "http://junk"]);
      const [{ meta }] = await here.list() as [SnapshotInfo];
      assert.isTrue(await here.spoilAndQuarantine(meta.lastIncludedIndex)); // to be pulled again
    }
  }));

test("pull: a body that is not wanted and cannot be cancelled", () =>
  between(async (_, here, from) => {
    const endless = () => new ReadableStream<Uint8Array<ArrayBuffer>>({ cancel: () => new Promise(() => {}) });
    const unasked = from("unasked", undefined, () => new Response(endless()));
    await rejects(pull(here, [unasked]).result, "UNSUPPORTED");
    const wrong = from("wrong", undefined, () =>
      new Response(
        new ReadableStream<Uint8Array<ArrayBuffer>>({
          pull: (controller) => controller.enqueue(new Uint8Array(CHUNK)),
          cancel: () => new Promise(() => {}),
        }),
        { status: 206 },
      ));
    await rejects(pull(here, [wrong]).result, "CORRUPT");
    await pull(here, [from()]).result;
  }));

test("pull: a further source with an address of another kind does not matter", () =>
  between(async (_, here, from) => {
    const source = from("good", undefined, (_, _count, answer) =>
      answer().then((response) => {
        response.headers.append("Link", `<ftp://other.example/>; rel="duplicate"`);
        return response;
      }), true);
    await pull(here, [source], { onFurtherSource: (url) => url, retryFor: 0 }).result;
    await check(here);
  }));

/** A storage of whose installs something is other. */
function twisted(
  storage: MemoryStorage,
  write: (write: () => Promise<void>) => Promise<void>,
): SnapshotStorage {
  return new Proxy(storage, {
    get(target, key) {
      if (key !== "install") {
        const value = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      }
      return async (...args: Parameters<MemoryStorage["install"]>) => {
        const install = await target.install(...args);
        const original = install.write.bind(install);
        install.write = (chunk, bytes) => write(() => original(chunk, bytes));
        return install;
      };
    },
  });
}

test("pull: the disk is full while the source stalls", () =>
  between(async (_, here, from) => {
    const stalled = from("stalled", undefined, (_, _count, answer) =>
      answer().then((response) =>
        withBody(response, (body) =>
          body.pipeThrough(after(2 * CHUNK, () =>
            new Promise(() => {}))))
      ));
    const full = twisted(here, () =>
      Promise.reject(new SnapshotError("NO_SPACE", "The disk is full")));
    await rejects(pull(full, [stalled], { timeout: 200 }).result, "NO_SPACE");
  }));

test("pull: who sends wrong bytes and then breaks off is named for the wrong bytes", () =>
  between(async (_, here, from) => {
    const liar = from(
      "liar",
      undefined,
      (_, _count, answer) =>
        answer().then((response) =>
          withBody(response, (body) =>
            body.pipeThrough(
              new TransformStream({
                transform: (piece, controller) => controller.enqueue(piece.map((byte: number) => byte ^ 1)),
              }),
            ).pipeThrough(after(2 * CHUNK, async (it) => {
              await turns(5);
              it.error(new TypeError("reset"));
            })))
        ),
    );
    await rejects(pull(here, [liar], { retryFor: 100, concurrency: 1 }).result, "CORRUPT");
  }));

test("pull: CANCELLED while one chunk is put where it is needed a thousand times", async () => {
  const pieceSize = 4096;
  const content = new Uint8Array(2000 * pieceSize);
  await between(
    async (_, here, from) => {
      const stop = new AbortController();
      const operation = pull(here, [from()], { signal: stop.signal });
      void (async () => {
        for await (const { bytes } of operation) if (bytes > 10 * pieceSize) stop.abort();
      })().catch(() => {});
      await rejects(operation.result, "CANCELLED");
      assert.isBelow(operation.progress.bytes, content.length / 2);
      assert.isUndefined(here.installing);
      await pull(here, [from()]).result; // what is there is gone on with
      await check(here, content);
    },
    content,
    { chunkSize: "pieces", pieceSize },
  );
});

test("install: closed twice, both wait for what is running", () =>
  between(async (there, here) => {
    const { manifest } = await there.open();
    const install = await here.install(manifest);
    await install.prepare();
    const order: string[] = [];
    const written = writeChunk(install, "state", 0, STATE.slice(0, CHUNK)).then(() => order.push("written"), () =>
      order.push("written"));
    const first = install.close();
    await install.close();
    order.push("closed");
    await Promise.all([written, first]);
    assert.deepEqual(order, ["written", "closed"]);
    assert.isUndefined(here.installing);
  }));

/** A schedule of a snapshot of which nothing is here. */
async function scheduled(work: (schedule: Schedule, clock: FakeClock) => void): Promise<void> {
  await between(async (there, here, _, clock) => {
    const reader = await there.open();
    const install = await here.install(reader.manifest);
    await install.prepare();
    work(new Schedule(install), clock);
    await install.close();
    await reader.close();
  });
}

const holder = (held?: (chunk: number) => boolean, rate = 0) => {
  const set = held && new ChunkSet(64);
  for (let i = 0; set !== undefined && i < 64; i++) if (held!(i)) set.add(i);
  return { held: set, willHave: () => false, rate, isReceiving: set !== undefined };
};

test("schedule: what somebody else is fetching is still wanted of who has it", () =>
  scheduled((schedule) => {
    const [a, b] = [holder((i) => i < 32), holder((i) => i < 16)];
    while (schedule.take(a, [], 1) !== undefined);
    assert.isUndefined(schedule.take(b, [], 1));
    assert.isTrue(schedule.wants(b));
    assert.isFalse(schedule.wants(holder((i) => i >= 64)));
  }));

test("schedule: when who was to be quicker fails, somebody may try again", () =>
  scheduled((schedule) => {
    const [slow, quick] = [holder(), holder(undefined, 1e9)];
    const requests = [];
    for (let it = schedule.take(slow, [], 1); it !== undefined; it = schedule.take(slow, [], 1)) {
      requests.push(it);
      it.received = 1;
      it.movedAt -= 10_000; // stalls
    }
    for (let i = 0; i < 2 * requests.length; i++) {
      const race = schedule.take(quick, [], 1);
      assert.isDefined(race);
      schedule.ended(race!);
    }
  }));

test("schedule: who has not given anything yet may try what another drips", () =>
  scheduled((schedule, clock) => {
    const slow = schedule.take(holder(), [], 1)!;
    while (schedule.take(slow.holder, [], 1) !== undefined);
    clock.advance(300);
    slow.moved(1);
    const race = schedule.take(holder(), [], 1);
    assert.deepEqual([race?.first, race?.end], [slow.first, slow.end]);
  }));

test("pull: who never says what it has is not taken for a part of a swarm, in which others are spared", () =>
  between(async (_, here, from, clock) => {
    const silent = partial(from("silent"), () => new Promise(() => {}));
    const stalled = from("stalled", undefined, () => new Promise(() => {}));
    const dripping = from(
      "dripping",
      undefined,
      (_request, _count, answer) =>
        answer().then((response) =>
          withBody(response, (body) =>
            body.pipeThrough(
              new TransformStream({
                async transform(piece: Uint8Array, controller) {
                  for (let at = 0; at < piece.length; at++) {
                    await pause(500, undefined);
                    controller.enqueue(piece.subarray(at, at + 1));
                  }
                },
              }),
            ))
        ),
    );
    await pull(here, [silent, stalled, dripping, from()]).result;
    assert.isBelow(clock.passed, 5000); // and not the fifteen seconds after which those are dropped
    await check(here);
  }));

test("install: what is read while it becomes a snapshot goes on", () =>
  between(async (there, here) => {
    const reader = await there.open();
    const install = await here.install(reader.manifest);
    await install.prepare();
    for (let i = 0; i < 64; i++) await writeChunk(install, "state", i, STATE.slice(i * CHUNK, (i + 1) * CHUNK));
    let done = false;
    const reads: Promise<Uint8Array>[] = [];
    const committed = install.commit().finally(() => done = true);
    while (!done) {
      reads.push(bytesOf(install.file("state", { start: 0, end: CHUNK })));
      await Promise.resolve();
    }
    await committed;
    for (const bytes of await Promise.all(reads)) assert.isTrue(equal(bytes, STATE.slice(0, CHUNK)));
    await reader.close();
  }));

/** A body of which each piece takes a turn; says when it was read, or is not wanted any more. */
function slowly(body: ReadableStream<Uint8Array>, onEnd: () => void): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let ended = false;
  const end = () => {
    if (!ended) onEnd();
    ended = true;
  };
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      await turns(1);
      const { done, value } = await reader.read();
      if (ended) return;
      if (!done) return controller.enqueue(value);
      end();
      controller.close();
    },
    cancel(reason) { // once all is here, the end need not be read
      end();
      return reader.cancel(reason);
    },
  }, { highWaterMark: 0 }); // what was not read is not in memory
}

/** Pulls 32 MiB in chunks of 4 MiB from eight sources; three requests are as much as may be in memory. */
async function pullFromMany(here: MemoryStorage, into: SnapshotStorage): Promise<void> {
  const there = new MemoryStorage();
  const content = noise(8 * 4 * 1024 * 1024, 5);
  await save(there, 9n, { state: content }, { chunkSize: 4 * 1024 * 1024 });
  let [open, most, requests] = [0, 0, 0];
  const sources = Array.from({ length: 8 }, (_, i) =>
    sourceOf(`s${i}`, there, async (_, _count, answer) => {
      requests++;
      most = Math.max(most, ++open);
      const response = await answer();
      return withBody(response, (body) => slowly(body, () => open--));
    }));
  await pull(into, sources.map(({ url, fetch }) => ({ url, fetch }))).result;
  assert.strictEqual(most, 3);
  assert.strictEqual(requests, 8, "none is asked for what another sends");
  await check(here, content);
  await Promise.all([...sources.map((source) => source.close()), there.close(), here.close()]);
}

test("pull: from many sources at once no more is in memory than from a few", () =>
  inFakeTime(async () => {
    const here = new MemoryStorage();
    await pullFromMany(here, here);
  }));

test("pull: nor if the disk is slow, which is no stall of the sources", () =>
  inFakeTime(async (clock) => {
    const here = new MemoryStorage();
    await pullFromMany(here, twisted(here, (write) => pause(5000, undefined).then(write)));
    assert.isAtLeast(clock.passed, 10_000);
  }));
