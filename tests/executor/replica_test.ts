// A replica in memory: its log, and who else it bears with.

import { type LogEntry, MemoryLog, MemoryStorage, Replica, SnapshotError } from "../../mod.ts";
import { toHex } from "../../src/stream/mod.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { assert, gate, rejects, test, turns } from "../support/harness.ts";
import { bytes, entries, open, parts } from "../support/parts.ts";
import { Probe } from "../support/probe.ts";

test("propose: many at once get their places in the order in which they were asked for", async () => {
  const made = parts();
  const replica = await open(made);
  const proposed: Promise<LogEntry>[] = [];
  for (let i = 1; i <= 5000; i++) {
    proposed.push(replica.propose(bytes(`${i}`)));
    if (i % 700 === 0) await Promise.resolve();
  }
  const indices = (await Promise.all(proposed)).map(({ index }) => index);
  assert.deepEqual(indices, Array.from({ length: 5000 }, (_, i) => BigInt(i + 1)));
  assert.isTrue(replica.machine.state.startsWith("1:1 2:2 3:3 ") && replica.machine.state.endsWith(" 5000:5000 "));
  assert.deepEqual([replica.status().appliedIndex, replica.status().lastIndex], [5000n, 5000n]);
  await replica.close();
});

test("propose: one after the other, with any number of turns between, none is forgotten", async () => {
  const replica = await open(parts());
  for (let i = 0; i < 300; i++) {
    await replica.propose(bytes("x"));
    for (let turn = 0; turn < i % 12; turn++) await Promise.resolve();
  }
  assert.equal(replica.status().appliedIndex, 300n);
  await replica.close();
});

test("propose: those who propose again as soon as they are answered share each write, however few they are", async () => {
  for (const callers of [2, 3, 8, 33]) {
    const made = parts();
    let writes = 0;
    const append = made.log.append.bind(made.log);
    made.log.append = (entries) => {
      writes++;
      return append(entries);
    };
    const replica = await open(made);
    const handler = async (i: number) => (await replica.propose(bytes(`${i}`))).index; // as in a server
    await Promise.all(Array.from({ length: callers }, async () => {
      for (let i = 0; i < 50; i++) await handler(i);
    }));
    assert.deepEqual([replica.status().lastIndex, writes], [BigInt(50 * callers), 50]);
    await replica.close();
  }
});

test("propose: a machine that applies slowly is never called twice at a time", async () => {
  const machine = new Probe(); // it throws if it is
  machine.onApply = () => Promise.resolve();
  const replica = await open(parts(), { machine, triggers: { entries: 3 } });
  const proposed = Array.from({ length: 50 }, (_, i) => replica.propose(bytes(`${i}`)));
  await Promise.all([...proposed, turns()]);
  assert.equal(replica.status().metrics.saveFailures, 0);
  assert.isAtLeast(replica.status().metrics.saves, 1);
  await replica.close();
});

test("open: a trigger that is set off by the replay does not save between two halves of an apply", async () => {
  const made = parts();
  await made.log.append(entries(1, 50));
  const machine = new Probe();
  machine.onApply = () => turns(1);
  const replica = await open(made, { machine, triggers: { entries: 3 } });
  await turns();
  assert.equal(replica.status().metrics.saveFailures, 0);
  assert.equal(replica.status().snapshot?.meta.lastIncludedIndex, 50n);
  await replica.close();
});

test("propose: a log that fails rejects what it did not take, and goes on", async () => {
  const made = parts();
  const replica = await open(made);
  const { append } = made.log;
  made.log.append = () => Promise.reject(new Error("full"));
  const failed = await Promise.allSettled([replica.propose(bytes("a")), replica.propose(bytes("b"))]);
  assert.deepEqual(failed.map(({ status }) => status), ["rejected", "rejected"]);
  made.log.append = append;
  assert.equal((await replica.propose(bytes("c"))).index, 1n);
  assert.equal(replica.machine.state, "1:c ");
  await replica.close();
});

test("an entry that cannot be applied stops the replica; what was applied before is acknowledged", async () => {
  const made = parts();
  const machine = new Probe();
  machine.onApply = ({ index }) => {
    if (index !== 3n) return;
    machine.state += "half of it ";
    throw new Error("no");
  };
  const replica = await open(made, { machine, triggers: { onClose: true } });
  const proposed = await Promise.allSettled([1, 2, 3, 4].map((i) => replica.propose(bytes(`${i}`))));
  assert.deepEqual(proposed.map(({ status }) => status), ["fulfilled", "fulfilled", "rejected", "rejected"]);
  const error = await rejects(replica.propose(bytes("5")), "UNAVAILABLE");
  assert.equal(error.index, 3n);
  assert.equal(made.log.lastIndex, 4n);
  assert.equal(replica.status().appliedIndex, 2n);
  // What is applied by half must never be a snapshot's content.
  await rejects(replica.snapshot().result, "UNAVAILABLE");
  await replica.close();
  assert.deepEqual(await made.storage.list(), []);

  const again = await open(made); // with a machine that can
  assert.equal(again.machine.state, "1:1 2:2 3:3 4:4 ");
  await again.close();
});

test("open: an entry that cannot be applied fails it, and no snapshot is taken of that", async () => {
  const made = parts();
  await made.log.append(entries(1, 5));
  const machine = new Probe();
  machine.onApply = ({ index }) => {
    if (index === 3n) throw new Error("no");
  };
  await rejects(open(made, { machine, triggers: { onClose: true } }), "UNAVAILABLE");
  assert.deepEqual(await made.storage.list(), []);
});

test("append: what is here already is passed over, and a gap refused", async () => {
  const made = parts();
  const replica = await open(made);
  await replica.append(entries(1, 5));
  await replica.append(entries(3, 5));
  await replica.append(entries(1, 2));
  await replica.append([]);
  assert.equal(replica.status().lastIndex, 7n);
  const error = await rejects(replica.append(entries(9, 2)), "MALFORMED");
  assert.deepEqual([error.index, error.expected], [9n, 8n]);
  await rejects(replica.append([...entries(8, 1), ...entries(10, 1)]), "MALFORMED");
  assert.equal(replica.machine.state, "1:x 2:x 3:x 4:x 5:x 6:x 7:x ");
  await replica.close();
});

test("append: what is refused harms nothing that was asked for in the same turn", async () => {
  const replica = await open(parts());
  const settled = await Promise.allSettled([
    replica.propose(bytes("a")),
    replica.append(entries(7, 1)), // a gap
    replica.append(entries(2, 1, 5n)), // a new term
    replica.propose(bytes("b")),
    replica.append(entries(4, 1, 4n)), // an old one
    replica.append([...entries(4, 1, 5n), ...entries(6, 1, 5n)]), // a gap within
    replica.propose(bytes("c")),
  ]);
  assert.deepEqual(settled.map(({ status }) => status === "fulfilled"), [true, false, true, true, false, false, true]);
  assert.equal(replica.machine.state, "1:a 2:x 3:b 4:c ");
  assert.equal(replica.status().appliedTerm, 5n);
  await replica.close();
});

test("append: 150,000 entries at once", async () => {
  const replica = await open(parts());
  await replica.append(entries(1, 150_000));
  assert.equal(replica.status().appliedIndex, 150_000n);
  await replica.close();
});

test("the configuration: that of the options, then what an entry says, then what a snapshot says", async () => {
  const made = parts();
  const replica = await open(made, { configuration: { peers: ["a"] } });
  assert.deepEqual(replica.status().configuration, { peers: ["a"] });
  await replica.propose(bytes("1"));
  await replica.reconfigure({ peers: ["a", "b"], oldPeers: ["a"] });
  const { snapshot } = await replica.snapshot().result;
  assert.deepEqual([snapshot?.meta.peers, snapshot?.meta.oldPeers], [["a", "b"], ["a"]]);
  await replica.reconfigure({ peers: ["a", "b", "c"] });
  assert.equal(replica.machine.state, "1:1 ", "the machine does not see them");
  await replica.close();

  const again = await open(made, { configuration: { peers: ["z"] } });
  assert.deepEqual(again.status().configuration, { peers: ["a", "b", "c"] });
  await again.close();
  await made.log.reset(2n, 1n);
  const third = await open(made, { configuration: { peers: ["z"] } });
  assert.deepEqual(third.status().configuration, { peers: ["a", "b"], oldPeers: ["a"] });
  await third.close();
});

test("the term: the last one known, or that of the options; it never falls", async () => {
  const made = parts();
  const replica = await open(made);
  assert.equal((await replica.propose(bytes("a"))).term, 1n);
  await replica.append(entries(2, 1, 4n));
  assert.equal((await replica.propose(bytes("b"))).term, 4n);
  await replica.close();
  const old = await open(made, { term: 3n });
  await rejects(old.propose(bytes("c")), "MALFORMED");
  await old.close();
  const next = await open(made, { term: 5n });
  assert.equal((await next.propose(bytes("c"))).term, 5n);
  await next.close();
});

test("close: what was proposed is applied, what comes later is CLOSED, and closing twice is the same", async () => {
  const made = parts();
  const held = gate();
  const machine = new Probe();
  machine.onApply = () => held.promise;
  const replica = await open(made, { machine });
  const proposed = [1, 2, 3].map((i) => replica.propose(bytes(`${i}`)));
  const closing = replica.close();
  await rejects(replica.propose(bytes("4")), "CLOSED");
  await rejects(replica.append(entries(4, 1)), "CLOSED");
  held.open();
  await Promise.all(proposed);
  assert.equal(replica.close(), closing);
  await closing;
  assert.equal(replica.machine.state, "1:1 2:2 3:3 ");
  await rejects(replica.snapshot().result, "CLOSED");
});

test("status: the last failure with its time and reason, until another; as JSON too", async () => {
  const clock = new FakeClock();
  const machine = new Probe();
  const failing = new SnapshotError("NO_SPACE", "The disk is full");
  machine.onWrite = () => Promise.reject(failing);
  const replica = await Replica.open({ machine, log: new MemoryLog(), storage: new MemoryStorage(), clock });
  assert.isUndefined(replica.status().lastFailure);
  await replica.propose(new Uint8Array(3));
  await rejects(replica.snapshot(), "NO_SPACE");
  const at = clock.now();
  const failure = { during: "save", at, reason: "The disk is full", error: failing } as const;
  assert.deepEqual(replica.status().lastFailure, failure);
  machine.onWrite = (_writer, _signal, write) => write();
  const { snapshot } = await replica.snapshot();
  const json = JSON.parse(JSON.stringify(replica.status()));
  assert.equal(json.appliedIndex, "1");
  assert.equal(json.snapshot.meta.lastIncludedIndex, "1");
  assert.equal(json.snapshot.digest, toHex(snapshot!.digest));
  assert.equal(json.metrics.lastSave.snapshot.digest, toHex(snapshot!.digest));
  assert.deepEqual(json.lastFailure, {
    ...failure,
    error: { name: "SnapshotError", code: "NO_SPACE", message: "The disk is full" },
  });
  assert.deepEqual(structuredClone({ ...replica.status() }).appliedIndex, 1n); // `toJSON` is in nobody's way
  assert.equal(JSON.parse(JSON.stringify(replica.status().metrics)).saves, 1);
  await rejects(replica.snapshot({ signal: AbortSignal.abort() }), "CANCELLED"); // also if there is nothing to save
  await replica.close();
});

test("status: what fails again and again is counted, and an event says so each tenth time", async () => {
  const clock = new FakeClock();
  const machine = new Probe();
  const log = new MemoryLog();
  const told: string[] = [];
  const replica = await Replica.open({
    machine,
    log,
    storage: new MemoryStorage({ retain: 1 }),
    clock,
    triggers: { interval: 0, entries: 0 },
    purge: { gap: 1 },
    onEvent: (event) => event.type === "failing" && told.push(`${event.task.task} ${event.task.failures}`),
  });
  const failing = () => replica.status().failing.map(({ task, failures }) => `${task} ${failures}`);
  const purge = log.purge.bind(log);
  machine.onWrite = () => Promise.reject(new SnapshotError("NO_SPACE", "The disk is full"));
  for (let i = 1; i <= 20; i++) {
    await replica.propose(bytes("a"));
    await rejects(replica.snapshot(), "NO_SPACE");
    assert.deepEqual(failing(), [`save ${i}`]);
  }
  assert.deepEqual(told.splice(0), ["save 10", "save 20"]);
  const { error } = replica.status().failing[0]!;
  assert.equal(error.message, "No snapshot could be taken, 20 times in a row: The disk is full");
  machine.onWrite = (_writer, _signal, write) => write();
  log.purge = () => Promise.reject(new SnapshotError("UNAVAILABLE", "The disk does not answer"));
  for (let i = 1; i <= 10; i++) {
    await replica.propose(bytes("a"));
    await replica.snapshot();
    assert.deepEqual(failing(), [`purge ${i}`]);
  }
  assert.deepEqual(told.splice(0), ["purge 10"]);
  log.purge = purge;
  await replica.purge();
  assert.deepEqual(failing(), []);
  const stop = new AbortController();
  machine.onWrite = (_writer, signal) => new Promise((_, reject) => signal.addEventListener("abort", reject));
  await replica.propose(bytes("a"));
  const cancelled = replica.snapshot({ signal: stop.signal });
  stop.abort();
  await rejects(cancelled, "CANCELLED");
  assert.deepEqual(failing(), [], "what was cancelled has not failed");
  assert.equal(JSON.parse(JSON.stringify(replica.status())).failing.length, 0);
  await replica.close();
});
