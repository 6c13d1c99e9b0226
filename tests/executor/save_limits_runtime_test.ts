// What a save does when it takes too long or fails: limits in time, tries, events; and what sets saves off.

import { type ExecutorEvent, MemoryStorage, type SnapshotStorage, type SnapshotWriter } from "../../mod.ts";
import { raceAbort } from "../../src/async/mod.ts";
import { assert, gate, rejects, test, turns } from "../support/harness.ts";
import { type Bench, onBench } from "../support/probe.ts";

const hang = (_writer: unknown, signal: AbortSignal) => raceAbort(new Promise<void>(() => {}), signal);

function repair({ machine }: Bench): void {
  machine.onWrite = (_writer, _signal, write) => write();
}

test("a save that takes too long is given up, though it comes further all the time", () =>
  onBench(async (bench) => {
    await bench.apply(1);
    bench.machine.onWrite = async (writer, signal) => {
      const file = writer.file("state").getWriter();
      while (!signal.aborted) {
        await file.write(new Uint8Array(10));
        await turns(1);
      }
    };
    const save = bench.executor.snapshot();
    let over = false;
    save.result.catch(() => over = true);
    for (let i = 0; i < 20; i++, bench.clock.advance(50)) await turns(2);
    assert.isTrue(over);
    assert.equal((await rejects(save.result, "TIMEOUT")).expected, 600);
  }, { saveTimeout: 600, stallTimeout: 200 }));

test("a save that does not come further is given up, also if its task hangs and does not look at its signal", () =>
  onBench(async (bench) => {
    await bench.apply(1);
    const held = gate();
    bench.machine.onWrite = () => held.promise;
    const save = bench.executor.snapshot();
    await turns();
    bench.clock.advance(400);
    await turns();
    bench.clock.advance(1000); // the moment that it gets to see that it was given up
    assert.equal((await rejects(save.result, "TIMEOUT")).expected, 200);
    assert.deepEqual(bench.machine.calls, ["save", "write", "release"]);
    repair(bench);
    assert.isTrue((await bench.executor.snapshot().result).taken);
    held.open();
    await turns();
    assert.deepEqual(bench.machine.calls.filter((it) => it === "release").length, 2);
  }, { stallTimeout: 200 }));

test("a save whose sink hangs is given up", () =>
  onBench(async (bench) => {
    await bench.apply(1);
    bench.machine.onWrite = async (writer) => {
      const file = writer.file("state").getWriter();
      await file.write(new Uint8Array(1));
      await new Promise(() => {}); // and never closed
    };
    const save = bench.executor.snapshot();
    await turns();
    bench.clock.advance(500);
    await turns();
    bench.clock.advance(1000);
    await rejects(save.result, "TIMEOUT");
    repair(bench);
    assert.isTrue((await bench.executor.snapshot().result).taken);
  }, { stallTimeout: 200 }));

test("a save that never gets its turn is given up, and then takes no view", () =>
  onBench(async (bench) => {
    await bench.apply(1);
    const held = gate();
    const turn = bench.exclusive(() => held.promise);
    const save = bench.executor.snapshot();
    await turns();
    bench.clock.advance(500);
    await rejects(save.result, "TIMEOUT");
    held.open();
    await turn;
    await turns();
    assert.deepEqual(bench.machine.calls, []);
  }, { stallTimeout: 200 }));

test("a storage that does not answer: the save is given up, and what it answers later is put away", () => {
  const memory = new MemoryStorage();
  const held = gate();
  let aborted = 0;
  let slow = true;
  const storage: SnapshotStorage = new Proxy(memory, {
    get(target, name) {
      const value = Reflect.get(target, name, target);
      if (name !== "create" || !slow) return typeof value === "function" ? value.bind(target) : value;
      return async (): Promise<SnapshotWriter> => {
        await held.promise;
        const writer = await memory.create();
        const { abort } = writer;
        writer.abort = (reason) => (aborted++, abort.call(writer, reason));
        return writer;
      };
    },
  });
  return onBench(
    async (bench) => {
      await bench.apply(1);
      const save = bench.executor.snapshot();
      await turns();
      bench.clock.advance(500);
      await rejects(save.result, "TIMEOUT");
      slow = false;
      const next = bench.executor.snapshot(); // which waits for that, and is not BUSY with it
      held.open();
      assert.isTrue((await next.result).taken);
      assert.equal(aborted, 1);
    },
    { stallTimeout: 200 },
    storage,
  );
});

test("a save that failed is tried again, later each time, until one is taken", () =>
  onBench(async (bench) => {
    await bench.apply(1);
    bench.machine.onWrite = () => Promise.reject(new Error("no"));
    await bench.executor.snapshot().result.catch(() => {});
    const waits: number[] = [];
    for (let i = 0; i < 4; i++) {
      waits.push(bench.clock.waiting[0]!);
      if (i === 3) repair(bench);
      bench.clock.advance(waits.at(-1)!);
      await turns();
    }
    assert.deepEqual(waits, [100, 200, 300, 300]);
    assert.deepEqual([bench.executor.metrics.saveFailures, bench.executor.metrics.saves], [4, 1]);
    assert.deepEqual(bench.clock.waiting, []);
    bench.machine.onWrite = () => Promise.reject(new Error("no"));
    await bench.apply(1);
    await bench.executor.snapshot().result.catch(() => {});
    assert.deepEqual(bench.clock.waiting, [100], "it starts anew after a success");
  }, { retry: { initial: 100, max: 300 } }));

test("the first of the triggers that is reached takes a snapshot", () =>
  onBench(async (bench) => {
    await bench.apply(9);
    assert.equal(bench.executor.state, "idle");
    await bench.apply(1);
    await turns();
    assert.equal(bench.executor.newest?.meta.lastIncludedIndex, 10n);
    await bench.apply(2, 50);
    await turns();
    assert.equal(bench.executor.newest?.meta.lastIncludedIndex, 12n);
    await bench.apply(1, 99); // the bytes count from the snapshot on
    await turns();
    assert.equal(bench.executor.newest?.meta.lastIncludedIndex, 12n);
  }, { triggers: { entries: 10, logBytes: 100 } }));

test("the interval takes a snapshot if there is anything new", () =>
  onBench(async (bench) => {
    bench.clock.advance(10_000);
    await turns();
    assert.equal(bench.executor.metrics.saves, 0);
    await bench.apply(1);
    bench.clock.advance(1000);
    await turns();
    assert.equal(bench.executor.metrics.saves, 1);
  }, { triggers: { interval: 1000, jitter: 0 } }));

test("what is applied while a save runs is counted for the next", () =>
  onBench(async (bench) => {
    const held = gate();
    bench.machine.onWrite = (_writer, _signal, write) => held.promise.then(write);
    await bench.apply(1, 100);
    await turns();
    await bench.apply(1, 70);
    held.open();
    await turns();
    assert.equal(bench.executor.metrics.saves, 1);
    await bench.apply(1, 30);
    await turns();
    assert.equal(bench.executor.newest?.meta.lastIncludedIndex, 3n);
  }, { triggers: { logBytes: 100 } }));

test("on close a last snapshot is taken, if so configured and if there is anything new", () =>
  onBench(async (bench) => {
    await bench.apply(3);
    await bench.executor.close();
    assert.equal((await bench.storage.list())[0]?.meta.lastIncludedIndex, 3n);
  }, { triggers: { onClose: true } }));

test("on close a save that runs is waited for, and the last snapshot has what came after it", () =>
  onBench(async (bench) => {
    const held = gate();
    bench.machine.onWrite = (_writer, _signal, write) => held.promise.then(write);
    await bench.apply(3);
    const save = bench.executor.snapshot();
    await turns();
    await bench.apply(2);
    const closing = bench.executor.close();
    held.open();
    assert.isTrue((await save.result).taken);
    await closing;
    assert.deepEqual((await bench.storage.list()).map(({ meta }) => meta.lastIncludedIndex), [5n, 3n]);
  }, { triggers: { onClose: true } }));

test("on close a last snapshot that hangs is given up", () =>
  onBench(async (bench) => {
    await bench.apply(3);
    bench.machine.onWrite = hang;
    const closing = bench.executor.close();
    await turns();
    bench.clock.advance(500);
    await closing;
    assert.deepEqual(await bench.storage.list(), []);
    assert.deepEqual(bench.clock.waiting, []);
  }, { triggers: { onClose: true }, stallTimeout: 200 }));

test("what a listener throws harms nothing, and it may ask for the next save when one is over", async () => {
  let again: Promise<unknown> | undefined;
  const seen: ExecutorEvent["type"][] = [];
  let bench!: Bench;
  await onBench(async (made) => {
    bench = made;
    await bench.apply(1);
    await bench.executor.snapshot().result;
    await again;
  }, {
    onEvent: (event) => {
      seen.push(event.type);
      if (event.type === "state" && event.state === "idle") again = bench.executor.snapshot().result;
      throw new Error("a listener's mistake");
    },
  });
  assert.includeMembers(seen, ["progress", "saved", "state"]);
});

test("behind a save the log is purged up to the snapshot before, and that is told and counted", () =>
  onBench(async (bench) => {
    for (let i = 0; i < 3; i++) {
      await bench.apply(10);
      await bench.executor.snapshot().result;
    }
    assert.equal(bench.log.firstIndex, 21n);
    const purged = bench.events.flatMap((event) => event.type === "purged" ? [event.index] : []);
    assert.deepEqual(purged, [10n, 20n]);
    assert.equal(bench.executor.metrics.purgedEntries, 20n);
  }, { purge: { gap: 1 } }));

test("a log that cannot be purged does not make a save fail", () =>
  onBench(async (bench) => {
    await bench.apply(10);
    await bench.executor.snapshot().result;
    bench.log.purge = () => Promise.reject(new Error("no"));
    await bench.apply(10);
    assert.isTrue((await bench.executor.snapshot().result).taken);
    assert.include(bench.story, "saved purgeFailed (idle)");
  }, { purge: { gap: 1 } }));

test("a save and an install without limits take as long as they take: 0 is none", () =>
  onBench(async (bench) => {
    await bench.apply(1);
    const held = gate();
    bench.machine.onWrite = async (_writer, _signal, write) => {
      await held.promise;
      await write();
    };
    const save = bench.executor.snapshot();
    await turns();
    for (let i = 0; i < 5; i++, bench.clock.advance(1e9)) await turns();
    held.open();
    assert.isTrue((await save.result).taken);
  }, { saveTimeout: 0, stallTimeout: 0, triggers: { interval: 0 } }));

test("what is undefined is the default, of triggers, retries and limits too", () =>
  onBench(async (bench) => {
    await bench.apply(1);
    bench.machine.onWrite = hang;
    const save = bench.executor.snapshot({ gap: undefined as never });
    await turns();
    bench.clock.advance(60_000);
    bench.clock.advance(60_000);
    assert.equal((await rejects(save.result, "TIMEOUT")).expected, 60_000);
  }, {
    saveTimeout: undefined,
    stallTimeout: undefined,
    triggers: { interval: 0, entries: undefined, gap: undefined },
    retry: { initial: undefined, max: undefined },
    purge: { gap: undefined, upToSnapshotIndex: undefined, safeIndexTimeout: undefined },
  } as never));

test("the gap of a call, or else of the triggers, says how many entries make a snapshot", () =>
  onBench(async (bench) => {
    await bench.apply(4);
    assert.isFalse((await bench.executor.snapshot().result).taken);
    assert.isTrue((await bench.executor.snapshot({ gap: 4 }).result).taken);
    await bench.apply(5);
    assert.isTrue((await bench.executor.snapshot().result).taken);
  }, { triggers: { interval: 0, gap: 5 } }));

test("up to the newest snapshot, if that is asked for: once all of it was read again", () =>
  onBench(async (bench) => {
    for (let i = 0; i < 3; i++) {
      await bench.apply(4);
      await bench.executor.snapshot().result;
    }
    assert.equal(bench.log.firstIndex, 13n);
    const [, second] = await bench.storage.list();
    assert.equal(second?.meta.lastIncludedIndex, 8n, "which the log does not lead on from any more");
  }, { purge: { gap: 1, upToSnapshotIndex: "newest" }, triggers: { interval: 0 } }));
