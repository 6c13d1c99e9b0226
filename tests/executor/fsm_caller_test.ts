// The one caller of a machine: turns, what was applied, and the failure after which nothing is.

import { type LogEntry, MemoryLog, MemoryStorage, Replica, SnapshotError, type StateMachine } from "../../mod.ts";
import { FsmCaller } from "../../src/extend.ts";
import { assert, gate, rejects, test, turns } from "../support/harness.ts";
import { bytes, entries } from "../support/parts.ts";
import { commit, Probe } from "../support/probe.ts";

async function failure(work: Promise<unknown>): Promise<Error> {
  return await work.then(() => assert.fail("It did not fail"), (error) => error);
}

test("fsm: it knows the last entry that was applied, the members and the bytes, and tells its listeners", async () => {
  const machine = new Probe();
  const fsm = new FsmCaller(machine);
  const told: bigint[] = [];
  for (let i = 0; i < 2; i++) fsm.listen({ applied: () => told.push(fsm.applied.index) });
  for (const entry of entries(1, 2, 4n)) await fsm.apply(entry);
  await fsm.apply({ index: 3n, term: 5n, data: new Uint8Array(0), configuration: { peers: ["a"] } });
  assert.deepEqual(fsm.applied, { index: 3n, term: 5n, configuration: { peers: ["a"] } });
  assert.deepEqual(told, [1n, 1n, 2n, 2n, 3n, 3n]);
  assert.equal(machine.state, "1:x 2:x ", "the members are nothing to the machine");
  assert.equal(fsm.appliedBytes, 2);
});

test("fsm: turns come in the order in which they were asked for, and one that fails harms no other", async () => {
  const fsm = new FsmCaller(new Probe());
  const held = gate();
  const order: string[] = [];
  const first = fsm.exclusive(async () => {
    await held.promise;
    order.push("first");
    throw new Error("as asked");
  });
  const second = fsm.exclusive(() => order.push("second"));
  await turns(2);
  assert.deepEqual(order, []);
  held.open();
  assert.equal((await failure(first)).message, "as asked");
  await second;
  assert.deepEqual(order, ["first", "second"]);
});

const failures: [name: string, fail: (fsm: FsmCaller, machine: Probe) => Promise<unknown> | unknown][] = [
  ["an entry that could not be applied", async (fsm, machine) => {
    machine.onApply = () => Promise.reject(new Error("no"));
    await rejects(async () => await fsm.apply(entries(1, 1)[0]!), "UNAVAILABLE");
    machine.onApply = () => {};
  }],
  ["an entry of a newer program", async (fsm, machine) => {
    machine.onApply = () => {
      throw new SnapshotError("UNSUPPORTED", "from the future");
    };
    await rejects(async () => await fsm.apply(entries(1, 1)[0]!), "UNSUPPORTED");
    machine.onApply = () => {};
  }],
  ["a failure that somebody else told", (fsm) => fsm.fail(new SnapshotError("CORRUPT", "a hole"))],
];

for (const [name, fail] of failures) {
  test(`fsm: after ${name} nothing is applied or saved, and the first reason stands`, async () => {
    const machine = new Probe();
    const fsm = new FsmCaller(machine);
    await fail(fsm, machine);
    const { failure: reason } = fsm;
    fsm.fail(new SnapshotError("CLOSED", "later"));
    assert.equal(await failure((async () => await fsm.apply(entries(1, 1)[0]!))()), reason);
    assert.equal(await failure(fsm.prepare(new AbortController().signal)), reason);
    assert.deepEqual([machine.state, machine.calls.join(), fsm.applied.index], ["", "", 0n]);
  });
}

test("fsm: a view that was taken when the save was cancelled is released, once", async () => {
  const machine = new Probe();
  const stop = new AbortController();
  machine.onSave = () => stop.abort();
  await rejects(new FsmCaller(machine).prepare(stop.signal), "CANCELLED");
  await turns(1);
  assert.deepEqual(machine.calls, ["save", "release"]);
});

test("fsm: a state is replaced while nothing uses it, whatever comes of that", async () => {
  const machine = new Probe();
  const storage = new MemoryStorage();
  await commit(storage, { lastIncludedIndex: 9n, peers: ["b"] }, "installed");
  const reader = await storage.open();
  const fsm = new FsmCaller(machine);
  const told: unknown[] = [];
  fsm.listen({
    loaded: ({ lastIncludedIndex }) => told.push(lastIncludedIndex),
    callbackFailed: (callback) => told.push(callback),
  });
  const load = async () => {
    await fsm.load(reader);
    fsm.loaded(reader.meta);
  };
  const unwanted = () => {
    throw new Error("not wanted");
  };
  assert.equal((await failure(fsm.replace(unwanted, load))).message, "not wanted");
  assert.deepEqual(machine.calls, []);
  machine.onLoad = () => Promise.reject(new Error("no memory"));
  machine.reinitialize = () => {
    machine.calls.push("reinitialize");
    throw new Error("as asked");
  };
  assert.equal((await failure(fsm.replace(() => {}, load))).message, "no memory");
  machine.onLoad = () => {};
  await fsm.replace(() => {}, load);
  assert.deepEqual(machine.calls, ["pause", "load", "reinitialize", "pause", "load", "reinitialize"]);
  assert.deepEqual(told, ["reinitialize", 9n, "reinitialize"]);
  assert.deepEqual(fsm.applied, { index: 9n, term: 1n, configuration: { peers: ["b"] } });
  await reader.close();
});

for (const missing of ["reconfigure", "check", "flush"] as const) {
  test(`fsm: a machine with durable and no ${missing} is refused`, () => {
    const machine = {
      ...{ apply: () => {}, save: () => undefined, load: () => Promise.resolve(), durable: () => undefined },
      ...{ reconfigure: () => {}, check: () => Promise.resolve(), flush: () => {} },
      [missing]: undefined,
    } as unknown as StateMachine;
    return rejects(async () => await new FsmCaller(machine).flush(), "MALFORMED").then(({ expected }) =>
      assert.equal(expected, missing)
    );
  });
}

test("fsm: of what other replicas committed only what a newer program wrote is refused", async () => {
  const machine = new Probe() as Probe & StateMachine;
  const fsm = new FsmCaller(machine);
  const entry: LogEntry = { index: 1n, term: 1n, data: bytes("x") };
  machine.validate = () => {
    throw new Error("not liked");
  };
  fsm.checkUnderstood(entry);
  machine.validate = () => {
    throw new SnapshotError("UNSUPPORTED", "from the future");
  };
  await rejects(() => fsm.checkUnderstood(entry), "UNSUPPORTED");
  fsm.checkUnderstood({ ...entry, configuration: { peers: [] } });
});

test("fsm: what a machine returned of a command is given to it with the entry, in a replica too", async () => {
  const given: unknown[] = [];
  class Looking extends Probe {
    validate(data: Uint8Array): unknown {
      return { of: new TextDecoder().decode(data) };
    }

    override apply(entry: LogEntry, validated?: unknown): void | Promise<void> {
      given.push(validated);
      return super.apply(entry);
    }
  }
  const replica = await Replica.open({ machine: new Looking(), log: new MemoryLog(), storage: new MemoryStorage() });
  await Promise.all(["a", "b"].map((text) => replica.propose(bytes(text))));
  await replica.reconfigure({ peers: ["x"] });
  await replica.append([3n, 4n, 5n].map((index) => ({ index, term: 1n, data: bytes(`entry ${index}`) })));
  assert.deepEqual(given, [{ of: "a" }, { of: "b" }, { of: "entry 4" }, { of: "entry 5" }]);
  await replica.close();
});
