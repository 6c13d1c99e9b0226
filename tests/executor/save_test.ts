// One save: its two parts, its limits in time, and its view, which is let go exactly once (Flink's five cases and more).

import { MemoryStorage, SnapshotError } from "../../mod.ts";
import { raceAbort } from "../../src/async/mod.ts";
import { assert, gate, rejects, test, turns } from "../support/harness.ts";
import { type Bench, commit, onBench, readText } from "../support/probe.ts";

async function failure(work: Promise<unknown>): Promise<unknown> {
  return await work.then(() => assert.fail("It did not fail"), (error) => error);
}

/** Waits until so many snapshots were taken. */
async function saved(bench: Bench, count: number): Promise<void> {
  while (bench.executor.metrics.saves < count || bench.executor.state !== "idle") await turns(1);
}

/** Nothing is left of a save that failed, and the next one works. */
async function worksAgain(bench: Bench): Promise<void> {
  assert.deepEqual(bench.machine.calls.filter((it) => it === "release"), ["release"]);
  assert.equal(bench.executor.state, "idle");
  assert.deepEqual(await bench.storage.list(), []);
  bench.machine.onSave = () => {};
  bench.machine.onWrite = (_writer, _signal, write) => write();
  assert.isTrue((await bench.executor.snapshot().result).taken);
}

test("a save: the two parts, the view let go, the snapshot, the figures", () =>
  onBench(async (bench) => {
    await bench.apply(3);
    const { state } = bench.machine;
    const result = await bench.executor.snapshot().result;
    assert.deepEqual(bench.machine.calls, ["save", "write", "committed 3", "release"]);
    assert.equal(result.bytes, state.length);
    assert.equal(result.chunks, 1);
    assert.isTrue(result.taken);
    assert.isAtLeast(result.syncDuration, 0);
    assert.isAtLeast(result.asyncDuration, 0);
    assert.deepEqual(bench.executor.metrics.lastSave, result);
    const { syncDuration, asyncDuration, snapshot } = result;
    const times = { index: snapshot!.meta.lastIncludedIndex, syncDuration, asyncDuration };
    assert.deepEqual(bench.executor.metrics.recentSaves, [times]);
    assert.equal(bench.executor.newest, result.snapshot);
    assert.equal(bench.story, "(saving) saved (idle)");
  }));

test("a save: it is taken, whatever the machine makes of that", () =>
  onBench(async (bench) => {
    bench.machine.onCommitted = () => {
      throw new Error("as asked");
    };
    await bench.apply(3);
    const { taken, snapshot } = await bench.executor.snapshot().result;
    assert.isTrue(taken);
    assert.equal(bench.executor.newest, snapshot);
    assert.deepEqual(bench.machine.calls, ["save", "write", "committed 3", "release"]);
    assert.isFalse((await bench.executor.snapshot().result).taken); // and not again
  }));

test("a save: what is applied while it is written is not in it, nor in its meta", () =>
  onBench(async (bench) => {
    const held = gate();
    bench.machine.onWrite = (_writer, _signal, write) => held.promise.then(write);
    bench.fsm.begin({ ...bench.applied, configuration: { peers: ["a", "b"], oldPeers: ["c"] } });
    await bench.apply(3);
    const { state } = bench.machine;
    const save = bench.executor.snapshot();
    await turns();
    bench.fsm.begin({ ...bench.applied, term: 7n, configuration: { peers: ["x"] } });
    await bench.apply(2);
    held.open();
    const { snapshot } = await save.result;
    const { lastIncludedIndex, lastIncludedTerm, peers, oldPeers } = snapshot!.meta;
    assert.deepEqual([lastIncludedIndex, lastIncludedTerm, peers, oldPeers], [3n, 1n, ["a", "b"], ["c"]]);
    const reader = await bench.storage.open();
    assert.equal(await readText(reader), state);
    await reader.close();
  }));

test("a save: it waits for its turn, and what was applied by then is in it", () =>
  onBench(async (bench) => {
    const held = gate();
    await bench.apply(1);
    const turn = bench.exclusive(async () => {
      await held.promise;
      await bench.apply(1);
    });
    const save = bench.executor.snapshot();
    await turns();
    assert.deepEqual(bench.machine.calls, []);
    held.open();
    await turn;
    assert.equal((await save.result).snapshot?.meta.lastIncludedIndex, 2n);
  }));

test("the creation gap: with fewer entries there is none taken, and the old one is the answer", () =>
  onBench(async (bench) => {
    assert.deepEqual(await bench.executor.snapshot({ gap: 0 }).result, {
      taken: false,
      syncDuration: 0,
      asyncDuration: 0,
      bytes: 0,
      chunks: 0,
      reused: 0,
    });
    await bench.apply(4);
    assert.isFalse((await bench.executor.snapshot({ gap: 5 }).result).taken);
    assert.isFalse((await bench.executor.snapshot({ gap: Infinity }).result).taken);
    assert.isFalse((await bench.executor.snapshot({ gap: 4.5 }).result).taken);
    const { snapshot } = await bench.executor.snapshot({ gap: 4 }).result;
    const again = await bench.executor.snapshot().result;
    assert.deepEqual([again.taken, again.snapshot], [false, snapshot]);
    assert.equal(bench.executor.metrics.saves, 1);
  }));

test("release: after a failed write", () =>
  onBench(async (bench) => {
    await bench.apply(1);
    bench.machine.onWrite = async (_writer, _signal, write) => {
      await write();
      throw new Error("no");
    };
    assert.equal((await failure(bench.executor.snapshot().result) as Error).message, "no");
    await worksAgain(bench);
  }));

test("release: after a write that throws before it returns a promise", () =>
  onBench(async (bench) => {
    await bench.apply(1);
    bench.machine.onWrite = () => {
      throw new Error("at once");
    };
    assert.equal((await failure(bench.executor.snapshot().result) as Error).message, "at once");
    await worksAgain(bench);
  }));

test("release: after a write that left a file open", () =>
  onBench(async (bench) => {
    await bench.apply(1);
    bench.machine.onWrite = async (writer) => {
      await writer.file("open").getWriter().write(new Uint8Array(1));
    };
    await rejects(bench.executor.snapshot().result, "MALFORMED");
    await worksAgain(bench);
  }));

test("release: cancelled before it began, there is no view and nothing to let go", () =>
  onBench(async (bench) => {
    await bench.apply(1);
    const reason = new Error("enough");
    const error = await rejects(
      bench.executor.snapshot({ signal: AbortSignal.abort(reason) }).result,
      "CANCELLED",
    );
    assert.equal(error.cause, reason);
    assert.deepEqual(bench.machine.calls, []);
    assert.deepEqual(bench.clock.waiting, [], "what was cancelled is not tried again");
  }));

test("release: cancelled while it waits for its turn, it ends at once and takes no view later", () =>
  onBench(async (bench) => {
    await bench.apply(1);
    const held = gate();
    const turn = bench.exclusive(() => held.promise);
    const stop = new AbortController();
    const save = bench.executor.snapshot({ signal: stop.signal });
    await turns();
    stop.abort();
    await rejects(save.result, "CANCELLED");
    held.open();
    await turn;
    await turns();
    assert.deepEqual(bench.machine.calls, []);
    assert.isTrue((await bench.executor.snapshot().result).taken);
  }));

test("release: cancelled during the synchronous part", () =>
  onBench(async (bench) => {
    await bench.apply(1);
    const stop = new AbortController();
    bench.machine.onSave = () => stop.abort();
    await rejects(bench.executor.snapshot({ signal: stop.signal }).result, "CANCELLED");
    await worksAgain(bench);
  }));

test("release: cancelled during the write, after the task saw it", () =>
  onBench(async (bench) => {
    await bench.apply(1);
    const stop = new AbortController();
    const seen: string[] = [];
    bench.machine.onRelease = () => seen.push("release");
    bench.machine.onWrite = async (_writer, signal) => {
      try {
        await raceAbort(new Promise(() => {}), signal);
      } finally {
        await turns(2);
        seen.push("stopped");
      }
    };
    const save = bench.executor.snapshot({ signal: stop.signal });
    await turns();
    stop.abort();
    await rejects(save.result, "CANCELLED");
    assert.deepEqual(seen, ["stopped", "release"]);
    await worksAgain(bench);
  }));

test("release: cancelled during the write of a task that does not look, after a second", () =>
  onBench(async (bench) => {
    await bench.apply(1);
    const stop = new AbortController();
    const held = gate();
    bench.machine.onWrite = (_writer, _signal, write) => held.promise.then(write);
    const save = bench.executor.snapshot({ signal: stop.signal });
    await turns();
    stop.abort();
    await turns();
    assert.notInclude(bench.machine.calls, "release");
    bench.clock.advance(1000);
    await rejects(save.result, "CANCELLED");
    await worksAgain(bench);
    const before = await bench.storage.list();
    held.open(); // it goes on, and finds its writer closed
    await turns();
    assert.deepEqual(await bench.storage.list(), before);
  }));

test("release: closed while it runs", () =>
  onBench(async (bench) => {
    await bench.apply(1);
    bench.machine.onWrite = (_writer, signal) => raceAbort(new Promise<void>(() => {}), signal);
    const save = bench.executor.snapshot();
    await turns();
    await Promise.all([rejects(save.result, "CLOSED"), bench.executor.close()]);
    assert.deepEqual(bench.machine.calls, ["save", "write", "release"]);
    assert.deepEqual(bench.clock.waiting, []);
    assert.equal(bench.story, "(saving) saveFailed (idle) (closed)");
  }));

test("release: of a task that was written, though the storage then fails", () => {
  const storage = new MemoryStorage();
  return onBench(
    async (bench) => {
      await bench.apply(1);
      bench.machine.onWrite = async (_writer, _signal, write) => {
        await write();
        await storage.close();
      };
      await rejects(bench.executor.snapshot().result, "CLOSED");
      assert.deepEqual(bench.machine.calls, ["save", "write", "release"]);
    },
    {},
    storage,
  );
});

test("nothing to save: none is taken, and that is no failure", () =>
  onBench(async (bench) => {
    await bench.apply(1);
    bench.machine.onSave = () => "nothing";
    const result = await bench.executor.snapshot().result;
    assert.isFalse(result.taken);
    assert.notProperty(result, "snapshot");
    assert.deepEqual(bench.machine.calls, ["save"]);
    assert.equal(bench.story, "(saving) nothingToSave (idle)");
    assert.equal(bench.executor.metrics.saves, 0);
    assert.isFalse((await bench.executor.snapshot().result).taken);
    assert.deepEqual(bench.machine.calls, ["save"], "it is not asked again before something is applied");
    await bench.apply(1);
    await bench.executor.snapshot().result;
    assert.deepEqual(bench.machine.calls, ["save", "save"]);
    await (await bench.storage.create()).abort(); // it is not BUSY
  }));

test("a synchronous part that throws: a failure like any other", () =>
  onBench(async (bench) => {
    await bench.apply(1);
    bench.machine.onSave = () => {
      throw new SnapshotError("NO_SPACE", "no");
    };
    await rejects(bench.executor.snapshot().result, "NO_SPACE");
    assert.deepEqual(bench.machine.calls, ["save"]);
    bench.machine.onSave = () => {};
    assert.isTrue((await bench.executor.snapshot().result).taken);
  }));

test("a storage that is written to by somebody else makes a save BUSY, and is tried again", () =>
  onBench(async (bench) => {
    await bench.apply(1);
    const writer = await bench.storage.create();
    await rejects(bench.executor.snapshot().result, "BUSY");
    await writer.abort();
    bench.clock.advance(1000);
    await saved(bench, 1);
    await rejects(commit(bench.storage, {}), "STALE");
  }));

test("a storage that has a newer one, put there by another hand, makes a save STALE", () => {
  const storage = new MemoryStorage();
  return onBench(
    async (bench) => {
      await bench.apply(2);
      await commit(storage, { lastIncludedIndex: 7n });
      await rejects(bench.executor.snapshot().result, "STALE");
      assert.equal(bench.machine.calls.join(), "", "nothing is written that the commit would refuse");
    },
    {},
    storage,
  );
});

test("nothing to save: a trigger counts from there, as from a snapshot", () =>
  onBench(async (bench) => {
    bench.machine.onSave = () => "nothing";
    for (let i = 0; i < 100; i++) {
      await bench.apply(1);
      while (bench.executor.state !== "idle") await turns(1);
    }
    assert.equal(bench.machine.calls.length, 10);
    bench.machine.onSave = () => {};
    await bench.apply(10);
    await saved(bench, 1);
    assert.equal(bench.executor.newest?.meta.lastIncludedIndex, 110n);
  }, { triggers: { entries: 10 } }));

test("triggers: what was applied while a snapshot was taken may make the next one due, without another command", () =>
  onBench(async (bench) => {
    const held = gate();
    bench.machine.onWrite = (_writer, _signal, write) => held.promise.then(write);
    await bench.apply(10);
    await turns();
    await bench.apply(100);
    held.open();
    await saved(bench, 2);
    assert.equal(bench.executor.newest?.meta.lastIncludedIndex, 110n);
  }, { triggers: { entries: 10 } }));

test("triggers: the same while something else ran, even if it failed", () =>
  onBench(async (bench) => {
    const held = gate<void>();
    const install = bench.executor.install(
      bench.receiver(500n, held.promise.then(() => Promise.reject(new Error("no")))),
    );
    await turns();
    await bench.apply(20);
    assert.deepEqual(bench.machine.calls, []);
    held.open();
    assert.equal((await failure(install.result) as Error).message, "no");
    await saved(bench, 1);
    assert.equal(bench.executor.newest?.meta.lastIncludedIndex, 20n);
    const push = gate<void>();
    const live = bench.executor.live(undefined, () => push.promise);
    await bench.apply(20);
    push.open();
    await live.result;
    await saved(bench, 2);
    assert.equal(bench.executor.newest?.meta.lastIncludedIndex, 40n);
  }, { triggers: { entries: 10 } }));

test("triggers: an install that waits goes before the next save, and a cancelled save is not begun anew", () =>
  onBench(async (bench) => {
    const held = gate();
    bench.machine.onWrite = (_writer, _signal, write) => held.promise.then(write);
    await bench.apply(10);
    const install = bench.executor.install(bench.receiver(500n));
    await turns();
    await bench.apply(100);
    held.open();
    await install.result;
    await turns();
    assert.deepEqual([bench.executor.metrics.saves, bench.executor.newest?.meta.lastIncludedIndex], [1, 500n]);
    const stop = new AbortController();
    bench.machine.onWrite = (_writer, signal) => raceAbort(new Promise<void>(() => {}), signal);
    bench.fsm.begin({ ...bench.applied, index: 509n });
    const save = bench.executor.snapshot({ signal: stop.signal });
    await turns();
    bench.fsm.begin({ ...bench.applied, index: 600n });
    stop.abort();
    await rejects(save.result, "CANCELLED");
    await turns();
    assert.equal(bench.executor.state, "idle");
  }, { triggers: { entries: 10 } }));
