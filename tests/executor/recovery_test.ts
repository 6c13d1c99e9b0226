// What a replica does with what it finds, and with what is installed into it.

import fc from "fast-check";
import {
  archive,
  hasCode,
  type MemoryLog,
  MemoryStorage,
  type Replica,
  SnapshotError,
  snapshotHandler,
} from "../../mod.ts";
import { assert, gate, pieces, rejects, test, turns } from "../support/harness.ts";
import { runs } from "../support/random.ts";
import { bytes, entries, fill, open, type Parts, parts } from "../support/parts.ts";
import { commit, Probe, readText } from "../support/probe.ts";

/** An archive of a snapshot, as a leader sends it. */
async function sent(index: bigint, term = 1n): Promise<ReadableStream<Uint8Array>> {
  const storage = new MemoryStorage();
  await commit(storage, { lastIncludedIndex: index, lastIncludedTerm: term }, `installed ${index} `);
  const reader = await storage.open();
  const stream = archive(reader);
  const bytes = new Uint8Array(await new Response(stream as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer());
  await storage.close();
  return pieces(bytes, 1000);
}

test("reopen: the same state, from the log alone, from a snapshot and the log, and after a purge", async () => {
  const made = parts();
  let state = "";
  for (let round = 0; round < 4; round++) {
    const replica = await open(made, { purge: { gap: 1 } });
    assert.equal(replica.machine.state, state);
    assert.equal(replica.status().appliedIndex, BigInt(round * 10));
    await fill(replica, 7);
    if (round > 0) await replica.snapshot().result;
    await fill(replica, 3);
    state = replica.machine.state;
    await replica.close();
  }
  assert.equal(made.log.firstIndex, 28n); // behind the snapshot at 27, which is the older of two
});

for (const isBad of [true, false]) {
  test(
    `recovery: of one that cannot be loaded the next is used, and the log gives the rest; it is ${
      isBad ? "quarantined, since it is bad" : "left where it is, since what is stored is right"
    }`,
    () => fallsBack(isBad),
  );
}

async function fallsBack(isBad: boolean): Promise<void> {
  const made = parts();
  const first = await open(made, { purge: { gap: 1 } });
  await fill(first, 5);
  await first.snapshot().result;
  await fill(first, 5);
  await first.snapshot().result;
  await fill(first, 5);
  const { state } = first.machine;
  await first.close();

  const machine = new Probe();
  machine.onLoad = (reader) => {
    if (reader.meta.lastIncludedIndex === 10n) throw new SnapshotError("CORRUPT", "rotten");
  };
  if (isBad) made.storage.spoil(10n);
  const second = await open(made, { machine });
  assert.equal(second.machine.state, state);
  const left = (await made.storage.list()).map(({ meta }) => meta.lastIncludedIndex);
  assert.deepEqual(left, isBad ? [5n] : [10n, 5n]);
  await second.close();
}

test("recovery: one that the storage itself finds damaged when it is opened is put aside as well", async () => {
  const made = parts();
  const first = await open(made);
  await fill(first, 5);
  await first.snapshot().result;
  await fill(first, 5);
  await first.snapshot().result;
  const { state } = first.machine;
  await first.close();
  const { open: real } = made.storage;
  made.storage.open = (index) => {
    if (index === 10n) return Promise.reject(new SnapshotError("CORRUPT", "rotten"));
    return real.call(made.storage, index);
  };
  const second = await open(made);
  assert.equal(second.machine.state, state);
  await second.close();
});

test("recovery: a machine that cannot load for another reason fails the opening, and nothing is put aside", async () => {
  const made = parts();
  await commit(made.storage, { lastIncludedIndex: 5n });
  const machine = new Probe();
  machine.onLoad = () => Promise.reject(new SnapshotError("UNSUPPORTED", "another codec"));
  await rejects(open(made, { machine }), "UNSUPPORTED");
  assert.equal((await made.storage.list()).length, 1);
  const [info] = await made.storage.list();
  assert.isFalse(info!.pinned);
});

test("recovery: entries that are nowhere are CORRUPT", async () => {
  const made = parts();
  await made.log.append(entries(1, 20));
  await made.log.purge(10n);
  const error = await rejects(open(made), "CORRUPT");
  assert.deepEqual([error.expected, error.actual], [1n, 11n]);
  await commit(made.storage, { lastIncludedIndex: 9n });
  await rejects(open(made), "CORRUPT");
  await commit(made.storage, { lastIncludedIndex: 10n }, "ten ");
  const replica = await open(made); // the log begins right behind it
  assert.isTrue(replica.machine.state.startsWith("ten 11:x "));
  await replica.close();
});

const logs: [what: string, fill: (log: MemoryLog) => Promise<void>, state: string, first: bigint, last: bigint][] = [
  ["an empty log", async () => {}, "snap ", 11n, 10n],
  ["a log that ends before the snapshot", (log) => log.append(entries(1, 9, 2n)), "snap ", 11n, 10n],
  ["a log that ends with it", (log) => log.append(entries(1, 10, 2n)), "snap ", 1n, 10n],
  ["a log that goes on", (log) => log.append(entries(1, 11, 2n)), "snap 11:x ", 1n, 11n],
  ["a log with another term there", (log) => log.append(entries(1, 12, 1n)), "snap ", 11n, 10n],
  [
    "a log that begins right behind it, with its term",
    async (log) => {
      await log.reset(10n, 2n);
      await log.append(entries(11, 2, 2n));
    },
    "snap 11:x 12:x ",
    11n,
    12n,
  ],
  [
    "a log that begins right behind another",
    async (log) => {
      await log.reset(10n, 1n);
      await log.append(entries(11, 2, 2n));
    },
    "snap ",
    11n,
    10n,
  ],
];

for (const [what, fill, state, first, last] of logs) {
  test(`recovery: ${what}`, async () => {
    const made = parts();
    await fill(made.log);
    await commit(made.storage, { lastIncludedIndex: 10n, lastIncludedTerm: 2n }, "snap ");
    const replica = await open(made);
    assert.equal(replica.machine.state, state);
    const status = replica.status();
    assert.deepEqual([status.firstIndex, status.lastIndex, status.appliedIndex], [first, last, last]);
    assert.equal((await replica.propose(bytes("y"))).index, last + 1n);
    await replica.close();
  });
}

test("install: the state and the log are those of the snapshot, and go on from there", async () => {
  const made = parts();
  const replica = await open(made);
  await fill(replica, 3);
  await replica.install(await sent(100n, 7n)).result;
  assert.deepEqual(replica.machine.calls, ["pause", "load", "reinitialize"]);
  assert.deepEqual([replica.status().firstIndex, replica.status().lastIndex], [101n, 100n]);
  const { index, term } = await replica.propose(bytes("y"));
  assert.deepEqual([index, term], [101n, 7n]);
  assert.equal(replica.machine.state, "installed 100 101:y ");
  await replica.close();
  const again = await open(made);
  assert.equal(again.machine.state, "installed 100 101:y ");
  await again.close();
});

test("install: what is refused is not read any further", async () => {
  const replica = await open(parts());
  await fill(replica, 5);
  let reason: unknown;
  const stream = new ReadableStream<Uint8Array>({ cancel: (why) => void (reason = why) });
  assert.deepEqual(await replica.install(stream, { index: 5n }), { upToDate: true }); // by the log: it has no snapshot
  await turns();
  assert.isTrue(hasCode(reason, "STALE"));
  await replica.close();
});

test("install: an archive that turns out to be old changes neither state nor log", async () => {
  const replica = await open(parts());
  await fill(replica, 5);
  const { state } = replica.machine;
  assert.isTrue((await replica.install(await sent(4n))).upToDate);
  await replica.propose(bytes("y"));
  assert.equal(replica.machine.state, `${state}6:y `);
  assert.isTrue((await replica.snapshot().result).taken);
  await replica.close();
});

test("install: one that proves damaged when it is loaded is put aside, and can be installed anew", async () => {
  const made = parts();
  const replica = await open(made);
  await fill(replica, 3);
  const { state } = replica.machine;
  replica.machine.onLoad = () => Promise.reject(new SnapshotError("CORRUPT", "rotten"));
  await rejects(replica.install(await sent(9n)).result, "CORRUPT");
  assert.deepEqual(await made.storage.list(), []);
  assert.equal(replica.machine.state, state);
  replica.machine.onLoad = () => {};
  await replica.install(await sent(9n)).result;
  assert.equal(replica.machine.state, "installed 9 ");
  await replica.close();
});

for (const code of ["NO_SPACE", "CORRUPT"] as const) {
  test(`install: though the log cannot be reset (${code}), nothing is applied on the wrong state`, async () => {
    const made = parts();
    const replica = await open(made);
    await fill(replica, 3);
    const { reset } = made.log;
    made.log.reset = () => Promise.reject(new SnapshotError(code, "no"));
    await rejects(replica.install(await sent(9n)).result, code);
    await rejects(replica.propose(bytes("y")), code);
    assert.equal((await made.storage.list()).length, 1, "the snapshot is good, whatever the log is");
    made.log.reset = reset;
    assert.equal((await replica.propose(bytes("y"))).index, 10n);
    assert.equal(replica.machine.state, "installed 9 10:y ");
    await replica.close();
  });
}

test("saves while proposing: a snapshot is exactly the state at its index, however they interleave", async () => {
  const scheduled = fc.array(
    fc.record({ propose: fc.nat(5), save: fc.boolean(), turns: fc.nat(2), slow: fc.boolean() }),
    {
      minLength: 1,
      maxLength: 8,
    },
  );
  await fc.assert(
    fc.asyncProperty(scheduled, async (steps) => {
      const made = parts();
      const states = new Map<bigint, string>();
      const machine = new Probe();
      const replica = await open(made, { machine, purge: { gap: 1 } });
      let slow = false;
      let text = "";
      machine.onApply = ({ index }) => {
        states.set(index, text += `${index}:x `);
        return slow ? Promise.resolve() : undefined;
      };
      machine.onWrite = async (_writer, _signal, write) => {
        if (slow) await turns(2);
        await write();
      };
      const running: Promise<unknown>[] = [];
      for (const step of steps) {
        slow = step.slow;
        for (let i = 0; i < step.propose; i++) running.push(replica.propose(bytes("x")));
        if (step.save) running.push(check(replica, made, states));
        await turns(step.turns);
      }
      await Promise.all(running);
      assert.equal(replica.machine.state, text);
      await replica.close();
      const again = await open(made);
      assert.equal(again.machine.state, text);
      await again.close();
    }),
    { numRuns: runs(60) },
  );
});

async function check(replica: Replica<Probe>, { storage }: Parts, states: Map<bigint, string>): Promise<void> {
  const { snapshot, taken } = await replica.snapshot().result.catch(() => ({ snapshot: undefined, taken: false }));
  if (!taken) return; // BUSY, or nothing new
  const reader = await storage.open(snapshot!.meta.lastIncludedIndex);
  assert.equal(await readText(reader), states.get(snapshot!.meta.lastIncludedIndex));
  await reader.close();
}

test("an entry that is being applied is waited for by an install", async () => {
  const replica = await open(parts());
  const held = gate();
  replica.machine.onApply = () => held.promise;
  const proposed = replica.propose(bytes("y"));
  await turns();
  const install = replica.install(await sent(9n));
  await turns();
  assert.equal(replica.status().state, "loading");
  held.open();
  assert.equal((await proposed).index, 1n);
  await install.result;
  assert.equal(replica.machine.state, "installed 9 ");
  await replica.close();
});

test("recovery: of a snapshot that others' retention took after it was listed, the next one is loaded; or the log, if it stays away", async () => {
  const made = parts();
  const first = await open(made);
  await fill(first, 5);
  await first.snapshot().result;
  await first.close();
  const { storage } = made;
  const list = storage.list.bind(storage);
  let lies = 1;
  storage.list = async () => {
    const [newest] = await list();
    return lies-- > 0 ? [{ ...newest!, meta: { ...newest!.meta, lastIncludedIndex: 4n } }] : [newest!];
  };
  const second = await open(made);
  assert.equal(second.status().snapshot?.meta.lastIncludedIndex, 5n);
  await second.close();
  lies = 10;
  const third = await open(made);
  assert.equal(third.machine.state, first.machine.state);
  assert.deepEqual(third.status().unusable.map(({ error }) => (error as SnapshotError).code), ["NOT_FOUND"]);
  await third.close();
  await made.log.purge(3n);
  await rejects(() => open(made), "NOT_FOUND");
});

test("install: from servers that have nothing newer it is up to date, by the log or by a snapshot", async () => {
  const there = new MemoryStorage();
  await commit(there, { lastIncludedIndex: 4n });
  const handler = snapshotHandler(there);
  const replica = await open(parts());
  await fill(replica, 5);
  const { state } = replica.machine;
  const install = () => replica.install([{ url: "http://there", fetch: handler }]);
  assert.deepEqual(await install(), { upToDate: true });
  const { snapshot } = await replica.snapshot();
  assert.deepEqual(await install(), { upToDate: true, snapshot: snapshot! });
  assert.equal(replica.machine.state, state);
  await commit(there, { lastIncludedIndex: 6n });
  const installed = await install();
  assert.deepEqual([installed.upToDate, installed.snapshot?.meta.lastIncludedIndex], [false, 6n]);
  await Promise.all([replica.close(), handler.close()]);
});
