import { assert, test } from "../support/harness.ts";
import { ask, request, until, withWorker, type Worker } from "../support/miniflare.ts";
import { Remote } from "./remote.ts";

test("DurableReplica: constructed again, it has everything, from the log and from a snapshot", () =>
  withWorker(async (worker) => {
    const counter = new Remote(worker, "counter/a");
    for (let i = 0; i < 30; i++) await counter.add(`w${i % 10}`);
    const first = await counter.status();
    assert.deepEqual([first.appliedIndex, first.snapshotIndex], ["30", "0"]);
    await counter.crash();
    const second = await counter.status();
    assert.notEqual(second.life, first.life);
    assert.deepEqual([second.appliedIndex, second.snapshotIndex], ["30", "0"]);
    await counter.snapshot();
    await counter.add("after");
    await counter.crash();
    const third = await counter.status();
    assert.deepEqual([third.appliedIndex, third.snapshotIndex], ["31", "30"]);
    const counts = await counter.counts();
    assert.deepEqual(Object.values(counts).sort(), [1, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3]);
    await worker.crash();
    assert.deepEqual(await counter.counts(), counts);
  }));

test("DurableReplica: an object that is lost at any write of a save has all, and half of nothing", () =>
  withWorker(async (worker) => {
    const writes = await count(worker);
    assert.isAtLeast(writes, 3);
    for (const when of ["before", "after"]) {
      for (let crashAt = 0; crashAt < writes; crashAt++) {
        const counter = new Remote(worker, `sleeper/${when}-${crashAt}`);
        for (let i = 0; i < 5; i++) await counter.add("word");
        await counter.snapshot();
        for (let i = 0; i < 5; i++) await counter.add("word");
        const response = await request(`${counter.url}/snapshot?crashAt=${crashAt}&when=${when}`).catch(() =>
          undefined
        );
        await response?.body?.cancel();
        assert.isFalse(response?.ok ?? false, `it was lost ${when} write ${crashAt}`);
        const { snapshotIndex } = await counter.status();
        assert.include(["5", "10"], snapshotIndex, "a snapshot is there or not");
        assert.deepEqual(await counter.counts(), { word: 10 });
        await counter.add("word");
        await counter.snapshot().catch(() => {}); // the alarm may have come first, and takes one that is as new
        await counter.saved("11");
        await counter.crash();
        assert.deepEqual(await counter.counts(), { word: 11 });
      }
    }
  }));

/** The snapshots that objects of a class have in R2. */
async function manifests(worker: Worker, className: string): Promise<string[]> {
  const keys = JSON.parse(await ask(`${worker.url}/objects/${encodeURIComponent(`${className}/`)}`)) as string[];
  return keys.filter((key) => key.includes("/manifests/"));
}

/** How many writes to R2 a second save takes. */
async function count(worker: Worker): Promise<number> {
  const counter = new Remote(worker, "sleeper/count");
  for (let i = 0; i < 5; i++) await counter.add("word");
  await counter.snapshot();
  for (let i = 0; i < 5; i++) await counter.add("word");
  return await counter.snapshot();
}

test("DurableReplica: the alarm takes a snapshot, and is not set where there is nothing to save", () =>
  withWorker(async (worker) => {
    const ticker = new Remote(worker, "ticker/a");
    assert.isNull((await ticker.status()).alarm);
    await ticker.add("word");
    assert.isNumber((await ticker.status()).alarm);
    const saved = await ticker.saved("1");
    assert.isNull(saved.alarm);
    assert.include(saved.events, "alarm");
  }));

test("DurableReplica: an object that was lost is brought back by the alarm that it had set, to save", () =>
  withWorker(async (worker) => {
    const ticker = new Remote(worker, "ticker/a");
    await ticker.add("word");
    await ticker.crash(); // nobody asks for it from here on
    await until("a snapshot", async () => (await manifests(worker, "Ticker")).length > 0 || undefined);
    const { snapshotIndex, events } = await ticker.status();
    assert.equal(snapshotIndex, "1");
    assert.deepEqual(events.slice(0, 2), ["alarm", "saved"]);
  }));

test("DurableReplica: the alarm of an earlier life is not put off by a later one that waits longer", () =>
  withWorker(async (worker) => {
    const sleeper = new Remote(worker, "sleeper/a"); // waits for an hour, or a part of it
    await sleeper.add("word");
    await sleeper.alarm(1500);
    const { alarm } = await sleeper.status();
    await sleeper.crash();
    assert.equal((await sleeper.status()).alarm, alarm);
    await sleeper.add("word");
    assert.equal((await sleeper.status()).alarm, alarm);
    assert.include((await sleeper.saved("2")).events, "alarm");
    assert.isNull((await sleeper.status()).alarm);
  }));

test("DurableReplica: a save that nobody waits for keeps the object here until it is done", () =>
  withWorker(async (worker) => {
    const counter = new Remote(worker, "counter/a");
    await counter.slow(400);
    for (let i = 0; i < 40; i++) await counter.add("word");
    await until("a save", async () => {
      const { state, events } = await counter.status();
      return state === "saving" && events.includes("alarm") || undefined;
    });
    await worker.evict("Counter", "a"); // when it has nothing more to do
    assert.lengthOf(await manifests(worker, "Counter"), 1);
    assert.equal((await counter.status()).snapshotIndex, "40");
  }));

test("DurableReplica: a save that comes no further is given up in time, and taken again by the alarm", () =>
  withWorker(async (worker) => {
    const ticker = new Remote(worker, "ticker/a");
    await ticker.slow(2500);
    await ticker.add("word");
    await until(
      "a failure",
      async () => (await ticker.status()).events.some((it) => it.startsWith("saveF")) || undefined,
    );
    await ticker.slow(0);
    const saved = await ticker.saved("1");
    assert.match(saved.events.join(), /alarm,saveFailed: .*came no further.*,alarm,saved/);
  }));

test("DurableReplica: workerd is killed at random, while there are commands and saves; what was acknowledged is there once", () =>
  withWorker(async (worker) => {
    const counter = new Remote(worker, "counter/a");
    const acknowledged = new Set<string>();
    const asked = new Set<string>();
    let cycles = 0;
    for (let round = 0; round < 6; round++) {
      let over = false;
      const clients = Array.from({ length: 4 }, async (_, client) => {
        for (let i = 0; !over; i++) {
          const word = `r${round}c${client}i${i}`;
          asked.add(word);
          const added = await counter.add(word).then(() => true, () => false);
          if (added) acknowledged.add(word);
          else if (over) return;
        }
      });
      const goal = acknowledged.size + 60 + Math.floor(Math.random() * 200);
      await until("commands", () => Promise.resolve(acknowledged.size >= goal || undefined));
      over = true;
      await worker.crash();
      await Promise.all(clients);
      const counts = await counter.counts();
      for (const word of acknowledged) assert.equal(counts[word], 1, `${word} was acknowledged`);
      for (const [word, count] of Object.entries(counts)) {
        assert.isTrue(asked.has(word), `${word} was asked for`);
        assert.equal(count, 1, `${word} is there once`);
      }
      const { snapshotIndex, firstIndex } = await counter.status();
      if (BigInt(snapshotIndex) > 0n) cycles++;
      assert.isAtMost(Number(firstIndex), Number(snapshotIndex) + 1);
    }
    assert.isAtLeast(cycles, 5, "there were saves");
  }));
