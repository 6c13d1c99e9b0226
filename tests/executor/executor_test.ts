// Which of save and install excludes which: the table in the design, cell by cell.

import { SnapshotError, type SnapshotInfo } from "../../mod.ts";
import { assert, gate, rejects, test, turns } from "../support/harness.ts";
import { onBench, readText } from "../support/probe.ts";

test("saving: another save joins it, and has its result and progress", () =>
  onBench(async (bench) => {
    const held = gate();
    bench.machine.onWrite = (_writer, _signal, write) => held.promise.then(write);
    await bench.apply(3);
    const first = bench.executor.snapshot();
    const second = bench.executor.snapshot(); // in the same turn
    await turns();
    const third = bench.executor.snapshot({ gap: 1000 }); // how little is new does not matter: it runs
    await turns();
    assert.equal(third.progress.phase, "save");
    await bench.apply(1);
    held.open();
    const { taken, snapshot } = await first;
    assert.isTrue(taken);
    assert.equal(snapshot?.meta.lastIncludedIndex, 3n);
    assert.strictEqual(await second, await first);
    assert.strictEqual(await third, await first);
    assert.deepEqual((await bench.storage.list()).map(({ meta }) => meta.lastIncludedIndex), [3n]);
    assert.equal((await bench.executor.snapshot()).snapshot?.meta.lastIncludedIndex, 4n); // that one is over
  }));

test("saving: who has joined can leave, and the save goes on", () =>
  onBench(async (bench) => {
    const held = gate();
    bench.machine.onWrite = (_writer, _signal, write) => held.promise.then(write);
    await bench.apply(3);
    const first = bench.executor.snapshot();
    const stop = new AbortController();
    const second = bench.executor.snapshot({ signal: stop.signal });
    await turns();
    stop.abort();
    await rejects(second, "CANCELLED");
    held.open();
    assert.isTrue((await first).taken);
  }));

test("saving: who began it can cancel it, and who has joined takes a snapshot all the same", () =>
  onBench(async (bench) => {
    let count = 0;
    bench.machine.onWrite = (_writer, signal, write) =>
      count++ > 0 ? write() : new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    await bench.apply(3);
    const stop = new AbortController();
    const first = bench.executor.snapshot({ signal: stop.signal });
    const others = [bench.executor.snapshot(), bench.executor.snapshot()];
    await turns();
    stop.abort();
    await rejects(first, "CANCELLED");
    const [one, other] = await Promise.all(others);
    assert.isTrue(one!.taken);
    assert.strictEqual(one, other);
    assert.equal(count, 2);
  }));

test("saving: another save is BUSY until it is over, if that is asked for", () =>
  onBench(async (bench) => {
    const held = gate();
    bench.machine.onWrite = (_writer, _signal, write) => held.promise.then(write);
    await bench.apply(3);
    const first = bench.executor.snapshot();
    await rejects(bench.executor.snapshot({ whileSaving: "refuse" }), "BUSY"); // in the same turn
    await turns();
    await rejects(bench.executor.snapshot({ whileSaving: "refuse" }), "BUSY");
    held.open();
    assert.isTrue((await first.result).taken);
    await bench.apply(1);
    assert.equal((await bench.executor.snapshot().result).snapshot?.meta.lastIncludedIndex, 4n);
  }));

test("saving: an install waits until it is committed", () =>
  onBench(async (bench) => {
    const held = gate();
    bench.machine.onWrite = (_writer, _signal, write) => held.promise.then(write);
    await bench.apply(3);
    const save = bench.executor.snapshot();
    const install = bench.executor.install(bench.receiver(9n));
    await turns();
    assert.equal(bench.executor.state, "saving");
    held.open();
    assert.isTrue((await save.result).taken);
    assert.equal((await install.result).meta.lastIncludedIndex, 9n);
    assert.equal(bench.machine.state, "installed 9 ");
    assert.deepEqual((await bench.storage.list()).map(({ meta }) => meta.lastIncludedIndex), [9n, 3n]);
  }));

test("saving: an install cancels it, if so configured, and the save is not tried again", () =>
  onBench(async (bench) => {
    bench.machine.onWrite = (_writer, signal) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    await bench.apply(3);
    const save = bench.executor.snapshot();
    await turns();
    const install = bench.executor.install(bench.receiver(9n));
    await rejects(save.result, "CANCELLED");
    assert.equal((await install.result).meta.lastIncludedIndex, 9n);
    assert.deepEqual(bench.clock.waiting, []);
    assert.equal(bench.machine.calls.filter((it) => it === "release").length, 1);
  }, { whileSaving: "cancel" }));

test("saving: an install that waits for it can be cancelled, and the save goes on", () =>
  onBench(async (bench) => {
    const held = gate();
    bench.machine.onWrite = (_writer, _signal, write) => held.promise.then(write);
    await bench.apply(3);
    const save = bench.executor.snapshot();
    const stop = new AbortController();
    const receiver = bench.receiver(9n);
    const install = bench.executor.install(receiver, stop.signal);
    await turns();
    stop.abort();
    await rejects(install.result, "CANCELLED");
    held.open();
    assert.isTrue((await save.result).taken);
    assert.equal(receiver.calls, 0);
  }));

test("saving: an install that has become old meanwhile is STALE", () =>
  onBench(async (bench) => {
    const held = gate();
    bench.machine.onWrite = (_writer, _signal, write) => held.promise.then(write);
    await bench.apply(3);
    const save = bench.executor.snapshot();
    const install = bench.executor.install(bench.receiver(5n));
    await bench.apply(2);
    held.open();
    await save.result;
    await rejects(install.result, "STALE");
  }));

for (const phase of ["receiving", "loading"] as const) {
  test(`${phase}: a save is BUSY`, () =>
    onBench(async (bench) => {
      const held = gate();
      if (phase === "loading") bench.machine.onLoad = () => held.promise;
      await bench.apply(3);
      const install = bench.executor.install(bench.receiver(9n, phase === "receiving" ? held.promise : undefined));
      await rejects(bench.executor.snapshot().result, "BUSY"); // in the same turn
      await turns();
      assert.equal(bench.executor.state, phase);
      await rejects(bench.executor.snapshot().result, "BUSY");
      held.open();
      await install.result;
    }));
}

test("receiving: a save runs beside what comes from elsewhere, which waits for it before it is tried", () =>
  onBench(async (bench) => {
    const [held, writing] = [gate(), gate()];
    bench.machine.onWrite = (_writer, _signal, write) => writing.promise.then(write);
    await bench.apply(3);
    const install = bench.executor.install(bench.receiver(9n, held.promise, true, "beside"));
    const save = bench.executor.snapshot(); // in the same turn
    await turns();
    assert.equal(bench.executor.state, "saving");
    await rejects(bench.executor.snapshot({ whileSaving: "refuse" }).result, "BUSY");
    held.open();
    await turns();
    assert.notInclude(bench.machine.calls, "load");
    writing.open();
    assert.equal((await save.result).snapshot!.meta.lastIncludedIndex, 3n);
    await install.result;
    assert.equal(bench.machine.state, "installed 9 ");
    assert.equal(bench.executor.state, "idle");
    await bench.apply(1);
    assert.isTrue((await bench.executor.snapshot().result).taken);
  }));

test("receiving: the state is told while saves come and go beside it", () =>
  onBench(async (bench) => {
    const held = gate();
    const install = bench.executor.install(bench.receiver(9n, held.promise, true, "beside"));
    for (let i = 0; i < 3; i++) {
      await bench.apply(1);
      assert.isTrue((await bench.executor.snapshot().result).taken);
      await turns();
      assert.equal(bench.executor.state, "receiving");
    }
    held.open();
    await install.result;
    assert.match(bench.story, /^\(receiving\) (\(saving\) saved .*\(receiving\) ){3}.*\(idle\)$/);
  }));

test("receiving: what a save beside it has passed is STALE", () =>
  onBench(async (bench) => {
    const held = gate();
    const install = bench.executor.install(bench.receiver(2n, held.promise, true, "beside"));
    await bench.apply(3);
    await bench.executor.snapshot().result;
    held.open();
    await rejects(install.result, "STALE");
    assert.notInclude(bench.machine.calls, "load");
  }));

test("receiving: saves that are due begin beside it, and a close ends both", () =>
  onBench(async (bench) => {
    const writing = gate();
    bench.machine.onWrite = (_writer, _signal, write) => writing.promise.then(write);
    const install = bench.executor.install(bench.receiver(9n, new Promise(() => {}), true, "beside"));
    await bench.apply(2);
    await turns();
    assert.equal(bench.executor.state, "saving");
    const closed = bench.executor.close();
    writing.open();
    await closed;
    await rejects(install.result, "CLOSED");
    assert.include(bench.machine.calls, "release");
  }, { triggers: { entries: 2 } }));

test("receiving: with whileSaving cancel, a save beside it is cancelled when all is here", () =>
  onBench(async (bench) => {
    const held = gate();
    bench.machine.onWrite = () => new Promise(() => {});
    await bench.apply(3);
    const install = bench.executor.install(bench.receiver(9n, held.promise, true, "beside"));
    const save = bench.executor.snapshot();
    await turns();
    held.open();
    await turns();
    bench.clock.advance(1000); // so long the save has to let go
    await rejects(save.result, "CANCELLED");
    await install.result;
  }, { whileSaving: "cancel" }));

// The same whether the first has begun for long, or was asked for in the same turn.
for (const later of [false, true]) {
  const when = later ? "later" : "in the same turn";

  test(`receiving: a lower one, asked for ${when}, is STALE`, () =>
    onBench(async (bench) => {
      const held = gate();
      const first = bench.executor.install(bench.receiver(9n, held.promise));
      if (later) await turns();
      const lower = bench.receiver(8n);
      const refused = rejects(bench.executor.install(lower).result, "STALE");
      await turns();
      await Promise.race([refused, Promise.reject(new Error("It waits"))]); // the first of those that are settled
      held.open();
      await first.result;
      assert.equal(lower.calls, 0);
    }));

  test(`receiving: the same, asked for ${when}, joins`, () =>
    onBench(async (bench) => {
      const held = gate();
      const first = bench.executor.install(bench.receiver(9n, held.promise));
      if (later) await turns();
      const same = bench.receiver(9n);
      const second = bench.executor.install(same);
      await turns();
      held.open();
      const results: SnapshotInfo[] = await Promise.all([first.result, second.result]);
      assert.deepEqual(results.map(({ meta }) => meta.lastIncludedIndex), [9n, 9n]);
      assert.equal(same.calls, 0);
      assert.equal(bench.executor.metrics.installs, 1);
    }));

  test(`receiving: a higher one, asked for ${when}, takes over`, () =>
    onBench(async (bench) => {
      const first = bench.executor.install(bench.receiver(9n, new Promise(() => {})));
      if (later) await turns();
      const second = bench.executor.install(bench.receiver(10n));
      await rejects(first.result, "STALE");
      assert.equal((await second.result).meta.lastIncludedIndex, 10n);
    }));
}

test("receiving: of three that wait for a save, the highest wins and none hangs", () =>
  onBench(async (bench) => {
    const held = gate();
    bench.machine.onWrite = (_writer, _signal, write) => held.promise.then(write);
    await bench.apply(3);
    const save = bench.executor.snapshot();
    const installs = [8n, 10n, 10n, 9n].map((index) => bench.executor.install(bench.receiver(index, turns(5))));
    await turns();
    held.open();
    await save.result;
    const settled = await Promise.allSettled(installs.map(({ result }) => result));
    assert.deepEqual(settled.map(({ status }) => status === "fulfilled"), [false, true, true, false]);
    for (const one of settled) if (one.status === "rejected") assert.equal(one.reason.code, "STALE");
    assert.equal(bench.applied.index, 10n);
  }));

test("receiving: who joined can leave, and the install goes on", () =>
  onBench(async (bench) => {
    const held = gate();
    const first = bench.executor.install(bench.receiver(9n, held.promise));
    await turns();
    const stop = new AbortController();
    const second = bench.executor.install(bench.receiver(9n), stop.signal);
    await turns();
    stop.abort();
    await rejects(second.result, "CANCELLED");
    held.open();
    await first.result;
  }));

test("receiving: when the first is cancelled, who joined it goes on with its own", () =>
  onBench(async (bench) => {
    const stop = new AbortController();
    const first = bench.executor.install(bench.receiver(9n, new Promise(() => {})), stop.signal);
    await turns();
    const own = bench.receiver(9n);
    const second = bench.executor.install(own);
    await turns();
    stop.abort();
    await rejects(first.result, "CANCELLED");
    assert.equal((await second.result).meta.lastIncludedIndex, 9n);
    assert.equal(own.calls, 1);
  }));

for (const code of ["TIMEOUT", "UNAVAILABLE", "CORRUPT", "NO_SPACE"] as const) {
  test(`receiving: who joined one that fails as ${code} goes on with its own`, () =>
    onBench(async (bench) => {
      const held = gate();
      const broken = held.promise.then(() => Promise.reject(new SnapshotError(code, "The client sends too slowly")));
      const first = rejects(bench.executor.install(bench.receiver(9n, broken)).result, code);
      await turns();
      const own = bench.receiver(9n);
      const second = bench.executor.install(own);
      await turns();
      assert.equal(own.calls, 0);
      held.open();
      await first;
      assert.equal((await second.result).meta.lastIncludedIndex, 9n);
      assert.equal(own.calls, 1);
    }));
}

test("receiving: one whose index is not known is BUSY, and one that turns out to be old is STALE", () =>
  onBench(async (bench) => {
    const held = gate();
    const first = bench.executor.install(bench.receiver(9n, held.promise));
    await turns();
    await rejects(bench.executor.install(bench.receiver(10n, undefined, false)).result, "BUSY");
    held.open();
    await first.result;
    await rejects(bench.executor.install(bench.receiver(9n, undefined, false)).result, "STALE");
    assert.equal(bench.machine.state, "installed 9 ");
  }));

test("loading: an install waits, whichever", () =>
  onBench(async (bench) => {
    const held = gate();
    bench.machine.onLoad = () => held.promise;
    const first = bench.executor.install(bench.receiver(9n));
    await turns();
    assert.equal(bench.executor.state, "loading");
    const higher = bench.executor.install(bench.receiver(10n));
    await turns();
    assert.equal(bench.executor.state, "loading");
    held.open();
    assert.equal((await first.result).meta.lastIncludedIndex, 9n);
    assert.equal((await higher.result).meta.lastIncludedIndex, 10n);
    assert.equal(bench.machine.state, "installed 10 ");
  }));

test("install: what is not newer than what was applied is STALE, and nothing is received", () =>
  onBench(async (bench) => {
    await bench.apply(5);
    const receiver = bench.receiver(5n);
    const error = await rejects(bench.executor.install(receiver).result, "STALE");
    assert.deepEqual([error.index, error.actual], [5n, 5n]);
    assert.equal(receiver.calls, 0);
  }));

test("install: newer state is never replaced, though it got newer while the snapshot was received", () =>
  onBench(async (bench) => {
    const held = gate();
    const install = bench.executor.install(bench.receiver(5n, held.promise));
    await turns();
    await bench.apply(5);
    held.open();
    await rejects(install.result, "STALE");
    assert.equal(bench.applied.index, 5n);
    assert.notInclude(bench.machine.calls, "load");
    assert.equal(bench.executor.metrics.installFailures, 1);
  }));

test("install: one that cannot be loaded leaves the state, and can be loaded later", () =>
  onBench(async (bench) => {
    await bench.apply(2);
    const { state } = bench.machine;
    bench.machine.onLoad = () => Promise.reject(new Error("no memory"));
    const failed = await bench.executor.install(bench.receiver(9n)).result.catch((error) => error);
    assert.equal(failed.message, "no memory");
    assert.deepEqual([bench.machine.state, bench.applied.index, bench.log.lastIndex], [state, 2n, 2n]);
    assert.deepEqual(bench.machine.calls, ["pause", "load", "reinitialize"]);
  }));

// It was tried and is in the storage, durable and newer than the state: to ask for it again must load it.
for (const known of [true, false]) {
  test(`install: one that passed its check and could not be loaded is loaded the next time, its index known before: ${known}`, () =>
    onBench(async (bench) => {
      bench.machine.check = () => Promise.resolve();
      bench.machine.onLoad = () => Promise.reject(new Error("no memory"));
      await bench.executor.install(bench.receiver(9n)).result.catch(() => {});
      await rejects(bench.executor.install(bench.receiver(8n, undefined, known)).result, "STALE");
      bench.machine.onLoad = () => {};
      await bench.executor.install(bench.receiver(9n, undefined, known)).result;
      assert.equal(bench.machine.state, "installed 9 ");
      await rejects(bench.executor.install(bench.receiver(9n, undefined, known)).result, "STALE");
    }));
}

test("install: what a check has kept is loaded, and not what applied entries have passed, nor what was refused", () =>
  onBench(async (bench) => {
    const kept: (boolean | undefined)[] = [];
    let meanwhile: () => Promise<void> = async () => {};
    bench.machine.check = async (reader, keep) => {
      kept.push(keep);
      const text = await readText(reader);
      await meanwhile();
      return text;
    };
    await bench.executor.install(bench.receiver(9n)).result;
    assert.equal(bench.machine.state, "kept installed 9 ");

    meanwhile = () => bench.apply(3); // entries 10 to 12
    await bench.executor.install(bench.receiver(11n)).result.catch(() => {});
    assert.match(bench.machine.state, /^kept installed 9 10:.* 11:.* 12:.* $/);
    meanwhile = () => Promise.reject(new SnapshotError("UNSUPPORTED", "refused"));
    await rejects(bench.executor.install(bench.receiver(20n)).result, "UNSUPPORTED");
    assert.equal(bench.applied.index, 12n);

    // One that was checked, and not loaded, is read when it is asked for again: nothing was kept of it until then.
    meanwhile = async () => {};
    bench.machine.onLoad = () => Promise.reject(new Error("no memory"));
    await bench.executor.install(bench.receiver(30n)).result.catch(() => {});
    bench.machine.onLoad = () => {};
    await bench.executor.install(bench.receiver(30n)).result;
    assert.equal(bench.machine.state, "installed 30 ");
    assert.deepEqual(kept, [true, true, true, true]);
  }));

test("close: what is running ends with CLOSED, and nothing begins any more", () =>
  onBench(async (bench) => {
    const install = bench.executor.install(bench.receiver(9n, new Promise(() => {})));
    const waiting = bench.executor.install(bench.receiver(9n));
    await turns();
    const closing = bench.executor.close();
    await rejects(install.result, "CLOSED");
    await rejects(waiting.result, "CLOSED");
    await closing;
    await bench.apply(1);
    await rejects(bench.executor.snapshot().result, "CLOSED");
    await rejects(bench.executor.install(bench.receiver(9n)).result, "CLOSED");
    assert.equal(bench.executor.state, "closed");
    assert.deepEqual(bench.clock.waiting, []);
  }));

test("close: waits until what is being loaded was loaded", () =>
  onBench(async (bench) => {
    const held = gate();
    bench.machine.onLoad = () => held.promise;
    const install = bench.executor.install(bench.receiver(9n));
    await turns();
    const closing = bench.executor.close();
    await turns();
    held.open();
    await install.result;
    await closing;
    assert.equal(bench.machine.state, "installed 9 ");
  }));
