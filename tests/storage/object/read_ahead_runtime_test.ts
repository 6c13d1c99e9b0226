// The windows of a file that are under way: few from a quick bucket, more from a slow one, never too many.

import { raceAbort } from "../../../src/async/mod.ts";
import { MemoryBucket } from "../../../src/object.ts";
import { equal } from "../../../src/stream/mod.ts";
import { assert, bytesOf, closing, gate, noise, rejects, test, turns } from "../../support/harness.ts";
import { openStorage, save } from "../../support/object_storage.ts";
import { passing } from "../../support/passing_bucket.ts";

const STATE = noise(6 * 4 * 1024 * 1024, 21); // six packs

test("object storage: a reader that waits for its bucket has more windows under way, up to six", async () => {
  const inner = new MemoryBucket();
  let [isSlow, running, most] = [false, 0, 0];
  let [answered, received] = [0, 0];
  const waiting: (() => void)[] = [];
  const bucket = passing(inner, {
    async get(key, options) {
      if (!key.includes("packs/")) return await inner.get(key, options);
      most = Math.max(most, ++running);
      if (isSlow) await new Promise<void>((resolve) => waiting.push(resolve));
      running--;
      const { start = 0, end = 0 } = options!.range!;
      answered += end - start;
      return await inner.get(key, options);
    },
  });
  const storage = closing(await openStorage(bucket));
  await save(storage, 1n, { state: STATE });
  const mostOf = async () => {
    most = answered = received = 0;
    const reader = await storage.open();
    for await (const piece of reader.file("state")) {
      assert.isTrue(equal(piece, STATE.subarray(received, received + piece.length)));
      received += piece.length;
    }
    await reader.close();
    assert.deepEqual([received, answered], [STATE.length, STATE.length]);
    return most;
  };
  assert.isAtMost(await mostOf(), 3);

  isSlow = true;
  let isDone = false;
  const answering = (async () => {
    while (!isDone) {
      await turns();
      if (received === answered) waiting.shift()?.(); // the reader has all that came, and waits for this
    }
  })();
  const slow = await mostOf();
  isDone = true;
  await answering;
  assert.isAbove(slow, 3);
  assert.isAtMost(slow, 6);
});

test("object storage: what was fetched ahead for several files is there for the next when the first is closed", async () => {
  const inner = new MemoryBucket();
  let late = gate();
  let held = "";
  let [asked, cancelled] = [0, 0];
  const bucket = passing(inner, {
    async get(key, options) {
      if (key === held) {
        asked++;
        options!.signal!.addEventListener("abort", () => cancelled++);
        await raceAbort(late.promise, options!.signal);
      }
      return await inner.get(key, options);
    },
  });
  const storage = closing(await openStorage(bucket));
  const [first, second, third] = [noise(65_536, 1), noise(65_536, 2), noise(65_536, 3)];
  await save(storage, 1n, { third });
  const [pack] = (await inner.list({ prefix: "packs/" })).objects;
  await save(storage, 2n, { first, second, third }); // of which the third stays in the pack of snapshot 1

  const reader = await storage.open(2n);
  await bytesOf(reader.file("first")); // so that the window of the second extends into the third
  held = pack!.key;
  const before = reader.file("second").getReader();
  await before.read();
  const after = bytesOf(reader.file("third"));
  while (asked === 0) await turns();
  assert.isTrue((await before.read()).done);
  late.open();
  assert.isTrue(equal(await after, third));
  assert.deepEqual([asked, cancelled], [1, 0]);
  await reader.close();

  // And what nobody waits for any more is cancelled.
  late = gate();
  const closed = await storage.open(2n);
  const never = closed.file("third").getReader().read();
  while (asked === 1) await turns();
  await closed.close();
  await rejects(never, "CLOSED");
  assert.deepEqual([asked, cancelled], [2, 1]);
});
