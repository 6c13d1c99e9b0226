import { SnapshotError } from "../../src/errors.ts";
import { InFlight, mapAhead } from "../../src/async/mod.ts";
import { assert, gate, rejects, test, turns } from "../support/harness.ts";

/** Work on numbers that ends when it is told to. */
function handWork() {
  const gates = new Map<number, ReturnType<typeof gate>>();
  let [running, most] = [0, 0];
  return {
    started: [] as number[],
    end: (n: number) => gates.get(n)!.open(undefined),
    get running() {
      return running;
    },
    get most() {
      return most;
    },
    async work(this: { readonly started: number[] }, n: number): Promise<string> {
      this.started.push(n);
      most = Math.max(most, ++running);
      gates.set(n, gate());
      await gates.get(n)!.promise;
      running--;
      if (n < 0) throw new SnapshotError("CORRUPT", `no ${n}`);
      return `${n}`;
    },
  };
}

test("mapAhead: so many at a time, in the order of the items, whichever ends first", async () => {
  const hand = handWork();
  const results = mapAhead([1, 2, 3, 4, 5], 3, (n) => hand.work(n));
  const first = results.next();
  await turns(2);
  assert.deepEqual(hand.started, [1, 2, 3]);
  for (const n of [3, 2]) hand.end(n);
  await turns(2);
  assert.deepEqual(hand.started, [1, 2, 3], "the oldest is waited for");
  hand.end(1);
  assert.deepEqual(await first, { done: false, value: "1" });
  const rest = Array.fromAsync(results);
  for (const n of [4, 5]) {
    while (!hand.started.includes(n)) await turns(1);
    hand.end(n);
  }
  assert.deepEqual(await rest, ["2", "3", "4", "5"]);
  assert.equal(hand.most, 3);
});

test("mapAhead: after a failure, of work or of the items, nothing runs and no more is taken", async () => {
  for (const failing of ["work", "items", "start"]) {
    const hand = handWork();
    const items = async function* () {
      yield 1;
      yield 2;
      if (failing === "items") throw new SnapshotError("NOT_FOUND", "no items");
      yield* [-3, 4, 5, 6];
    };
    const work = (n: number) => {
      if (failing === "start" && n < 0) throw new SnapshotError("CORRUPT", `no ${n}`);
      return hand.work(n);
    };
    const results = Array.fromAsync(mapAhead(items(), 3, work));
    let ended = false;
    results.catch(() => {}).finally(() => ended = true);
    await turns(3);
    const begun = [...hand.started];
    if (failing === "work") {
      hand.end(-3);
      hand.end(1);
      await turns(3);
      hand.end(2);
      await turns(3);
      for (const n of hand.started) if (n > 2) hand.end(n);
    } else {
      await turns(3);
      assert.equal(ended, false, "it waits for what runs");
      for (const n of begun) hand.end(n);
    }
    await rejects(results, failing === "items" ? "NOT_FOUND" : "CORRUPT");
    assert.equal(hand.running, 0);
    assert.ok(!hand.started.includes(6), "taken after the failure");
  }
});

test("mapAhead: whoever stops early waits for what runs; the items are closed", async () => {
  const hand = handWork();
  let closed = false;
  function* items() {
    try {
      yield* [1, 2, 3, 4];
    } finally {
      closed = true;
    }
  }
  const results = mapAhead(items(), 2, (n) => hand.work(n));
  const first = results.next();
  await turns(2);
  hand.end(1);
  await first;
  let ended = false;
  const end = results.return().then(() => ended = true);
  await turns(3);
  assert.deepEqual([ended, closed], [false, true]);
  hand.end(2);
  await end;
  assert.deepEqual(hand.started, [1, 2]);
});

test("InFlight: a limit that falls is kept at once, and results come one after the other", async () => {
  let limit = 4;
  const seen: string[] = [];
  let emitting = 0;
  const flying = new InFlight<number>(() => limit, async (n) => {
    assert.equal(emitting++, 0);
    await turns(1);
    seen.push(`${n}`);
    emitting--;
  });
  for (let n = 1; n <= 3; n++) await flying.add(Promise.resolve(n));
  assert.deepEqual(seen, []);
  limit = 2;
  await flying.add(Promise.resolve(4));
  assert.deepEqual([seen.join(), flying.size], ["1,2,3", 1]);
  await flying.drain();
  assert.equal(seen.join(), "1,2,3,4");
});

test("InFlight: a failure is thrown in its turn, and is never unhandled", async () => {
  const flying = new InFlight<number>(() => 3);
  await flying.add(Promise.resolve(1));
  await flying.add(Promise.reject(new SnapshotError("CORRUPT", "no")));
  await flying.add(Promise.resolve(3));
  await rejects(flying.add(new Promise(() => {})), "CORRUPT");
  assert.equal(flying.size, 2);
  const refused = new InFlight<number>(() => 3);
  await refused.add(Promise.reject(new SnapshotError("CORRUPT", "nobody asks")));
  await refused.settled();
  assert.equal(refused.size, 0);
});
