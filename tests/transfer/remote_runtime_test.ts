import { KeyedState, MemoryStorage, openRemote, stringKeys, utf8Codec } from "../../mod.ts";
import { inFakeTime } from "../support/fake_clock.ts";
import { assert, bytesOf, gate, noise, rejects, test } from "../support/harness.ts";
import { save, storageWith } from "../support/samples.ts";
import { saveTo } from "../support/states.ts";
import { after, sourceOf, withBody } from "../support/servers.ts";

const STATE = noise(400_000, 1);

test("a remote snapshot: every range of a file is what it is here", async () => {
  const storage = await storageWith(7n, { "a/b c": STATE, empty: new Uint8Array(0) });
  const source = sourceOf("one", storage);
  const reader = await openRemote(source);
  assert.equal(reader.meta.lastIncludedIndex, 7n);
  for (const at of [0, 1, 65_535, 65_536, 65_537, 200_000, 399_999, 400_000, 500_000]) {
    for (const end of [at, at + 1, at + 65_536, Infinity]) {
      assert.deepEqual(
        await bytesOf(reader.file("a/b c", { start: at, end })),
        STATE.slice(at, Math.min(end, 400_000)),
      );
    }
  }
  assert.equal((await bytesOf(reader.file("empty"))).length, 0);
  assert.equal(await reader.size("a/b c"), 400_000);
  assert.isTrue((await reader.verify().result).ok);
  await rejects(bytesOf(reader.file("c")), "NOT_FOUND");
  await rejects(bytesOf(reader.file("a/b c", { start: -1 })), "MALFORMED");
  await reader.close();
  await rejects(bytesOf(reader.file("a/b c")), "CLOSED");
  await source.close();
  await storage.close();
});

test("a remote snapshot: some key groups are restored by fetching their chunks", async () => {
  const state = new KeyedState({ keys: stringKeys() });
  const value = state.value("value", utf8Codec());
  for (let i = 0; i < 20_000; i++) value.set(`key ${i}`, `value ${i}`);
  const storage = new MemoryStorage();
  await saveTo(state, storage, 1n);
  let sent = 0;
  const source = sourceOf("one", storage, async (_request, _count, answer) => {
    const response = await answer();
    sent += Number(response.headers.get("Content-Length"));
    return response;
  });
  const part = new KeyedState({ keys: stringKeys(), range: { first: 10, last: 19 } });
  const there = part.value("value", utf8Codec());
  const reader = await openRemote(source);
  await part.load(reader);
  const { size } = reader.manifest;
  await reader.close();
  assert.deepEqual([...there.entries()], [...value.entries()].filter(([key]) => part.owns(key)));
  assert.isBelow(sent, size / 10);
  assert.equal(source.log.filter((line) => line.includes("/content")).length, 2); // the head, and the key groups
  await source.close();
  await storage.close();
});

test("a remote snapshot: what is wrong with a server is told, and nothing wrong is handed on", () =>
  inFakeTime(async () => {
    const storage = await storageWith(7n, { state: STATE });
    const lying = sourceOf("lying", storage, async (_request, _count, answer) => {
      return withBody(
        await answer(),
        (body) =>
          body.pipeThrough(
            new TransformStream({
              transform(piece, controller) {
                const changed = piece.slice();
                changed[0]! ^= 1;
                controller.enqueue(changed);
              },
            }),
          ),
      );
    });
    const reader = await openRemote(lying);
    let got = 0;
    const error = await rejects(async () => {
      for await (const chunk of reader.file("state")) got += chunk.length;
    }, "CORRUPT");
    assert.equal(error.file, "state");
    assert.equal(got, 0);
    const { ok, bad } = await reader.verify().result;
    assert.isFalse(ok);
    assert.isAtLeast(bad.length, 1);
    await reader.close();

    const dying = sourceOf(
      "dying",
      storage,
      async (_request, _count, answer) =>
        withBody(
          await answer(),
          (body) => body.pipeThrough(after(10_000, () => Promise.reject(new Error("as asked")))),
        ),
    );
    const second = await openRemote(dying);
    await rejects(bytesOf(second.file("state")), "UNAVAILABLE");
    await second.close();

    const gone = sourceOf("gone", storage, () => new Response("gone", { status: 404 }));
    const third = await openRemote(gone);
    await rejects(bytesOf(third.file("state")), "NOT_FOUND");
    await third.close();
    await rejects(openRemote({ url: "http://none", fetch: () => Promise.reject(new Error("no")) }), "UNAVAILABLE");
    await rejects(openRemote(gone, { index: 9n }), "NOT_FOUND");
    for (const source of [lying, dying, gone]) await source.close();
    await storage.close();
  }));

test("a remote snapshot: closing ends what is being read, and so does leaving off", () =>
  inFakeTime(async () => {
    const storage = await storageWith(7n, { state: STATE });
    const stalled = gate();
    let aborted = 0;
    const source = sourceOf("one", storage, async (request, count, answer) => {
      request.signal.addEventListener("abort", () => aborted++);
      const response = await answer();
      return count > 1
        ? response
        : withBody(response, (body) => body.pipeThrough(after(100_000, () => stalled.promise)));
    });
    const reader = await openRemote(source);
    const reading = bytesOf(reader.file("state"));
    const first = reader.file("state").getReader();
    assert.equal((await first.read()).value!.length, 65_536);
    await first.cancel();
    await reader.close();
    await rejects(reading, "CLOSED");
    assert.isAtLeast(aborted, 1);
    stalled.open();
    await source.close();
    await save(storage, 8n, { state: STATE });
    await storage.close();
  }));

test("a remote snapshot: who gives up does not wait for a server that stalls", () =>
  inFakeTime(async (clock) => {
    const storage = await storageWith(7n, { state: STATE });
    const stalled = gate();
    const source = sourceOf(
      "one",
      storage,
      async (_request, _count, answer) =>
        withBody(await answer(), (body) => body.pipeThrough(after(300_000, () => stalled.promise))),
    );
    const reader = await openRemote(source);
    const stream = reader.file("state").getReader();
    await stream.read();
    const reading = stream.read(); // the second chunk does not come
    await stream.cancel();
    assert.isTrue((await reading).done);
    const stop = new AbortController();
    const verifying = reader.verify({ signal: stop.signal });
    for await (const { bytes } of verifying) {
      if (bytes > 0) break;
    }
    stop.abort("as asked");
    assert.equal((await rejects(verifying.result, "CANCELLED")).cause, "as asked");
    assert.isBelow(clock.passed, 10_000); // the server has 15 seconds
    stalled.open();
    await reader.close();
    await source.close();
    await storage.close();
  }));
