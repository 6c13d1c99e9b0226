// Nothing good is retired, purged or replaced by what this replica could not use.

import {
  archive,
  EncryptedStorage,
  type ExecutorEvent,
  jsonCodec,
  KeyValueMachine,
  MemoryLog,
  MemoryStorage,
  pull,
  Replica,
  type ReplicaOptions,
  SnapshotError,
  snapshotHandler,
  type SnapshotStorage,
  type StateMachine,
  unarchive,
  versioned,
} from "../../mod.ts";
import { assert, bytesOf, gate, pieces, rejects, test, turns } from "../support/harness.ts";
import { FakeClock } from "../support/fake_clock.ts";
import { bytes, fill, open, type Parts, parts } from "../support/parts.ts";
import { commit, Probe, readText } from "../support/probe.ts";

/** An archive of a snapshot, as a leader sends it. */
async function sent(index: bigint, text = `installed ${index} `, term = 1n): Promise<Uint8Array> {
  const storage = new MemoryStorage();
  await commit(storage, { lastIncludedIndex: index, lastIncludedTerm: term }, text);
  const archived = await bytesOf(archive(await storage.open()));
  await storage.close();
  return archived;
}

const indices = async (storage: SnapshotStorage) =>
  (await storage.list()).map(({ meta }) => Number(meta.lastIncludedIndex));
const codesOf = (replica: Replica<StateMachine>) =>
  replica.status().unusable.map(({ snapshot, error }) => [
    Number(snapshot.meta.lastIncludedIndex),
    (error as SnapshotError).code,
  ]);

/** Loads only texts that begin as its own do. With a check or, as many machines are, without one. */
function picky(checks: boolean): Probe {
  const machine = new Probe();
  const read = async (text: Promise<string>) => {
    if ((await text).startsWith("bad")) throw new SnapshotError("MALFORMED", "This is no state");
  };
  machine.onLoad = (reader) => read(readText(reader));
  if (checks) machine.check = (reader) => read(readText(reader));
  return machine;
}

/** A replica that has saved at 5 and at 10, and applied up to 12. */
async function saved(made: Parts, options: Partial<ReplicaOptions<Probe>> = {}): Promise<Replica<Probe>> {
  const replica = await open(made, options);
  for (let i = 0; i < 2; i++) {
    await fill(replica, 5);
    await replica.snapshot().result;
  }
  await fill(replica, 2);
  return replica;
}

for (const checks of [true, false]) {
  const kind = checks ? "with a check" : "without a check";

  test(`what cannot be loaded is refused, and replaces, retires and purges nothing (a machine ${kind})`, async () => {
    const made = parts();
    const replica = await saved(made, { machine: picky(checks), purge: { gap: 1 } });
    const { state } = replica.machine;
    const { firstIndex } = replica.status();
    const handler = snapshotHandler(made.storage, { allowWrites: true, target: replica });
    for (const index of [20n, 30n]) {
      const body = pieces(await sent(index, "bad")) as unknown as BodyInit;
      const init = { method: "PUT", body, duplex: "half" } as RequestInit;
      const response = await handler(new Request(`http://a/snapshots/${index}`, init));
      assert.deepEqual([response.status, (await response.json()).code], [422, "MALFORMED"]);
      assert.deepEqual(await indices(made.storage), [10, 5]);
      assert.deepEqual(await made.storage.unfinished(), [], "what would be refused again is dropped");
    }
    assert.equal(replica.status().firstIndex, firstIndex);
    assert.equal(replica.machine.state, state);
    assert.isTrue((await replica.snapshot().result).taken);
    await fill(replica, 1);
    const last = replica.machine.state;
    await handler.close();
    await replica.close();
    const again = await open(made, { machine: picky(checks) });
    assert.equal(again.machine.state, last);
    assert.deepEqual(codesOf(again), []);
    await again.close();
  });

  test(`what a pull brings is tried before it is committed; a failure that may pass keeps it (a machine ${kind})`, async () => {
    const made = parts();
    const replica = await saved(made, { machine: new Probe() });
    const there = new MemoryStorage();
    await commit(there, { lastIncludedIndex: 20n }, "installed 20 ");
    const handler = snapshotHandler(there, { allowWrites: true });
    let fails = true;
    const tried = () => fails ? Promise.reject(new SnapshotError("UNAVAILABLE", "EIO")) : undefined;
    replica.machine.onLoad = tried;
    if (checks) replica.machine.check = async () => await tried();
    const source = { url: "http://there", fetch: handler };
    await rejects(replica.install([source]).result, "UNAVAILABLE");
    assert.deepEqual(await indices(made.storage), [10, 5]);
    assert.equal((await made.storage.unfinished()).length, 1, "what was received stays");
    fails = false;
    await replica.install([source]).result;
    assert.equal(replica.machine.state, "installed 20 ");
    assert.deepEqual(await indices(made.storage), [20, 10]);
    await handler.close();
    await replica.close();
  });

  test(`the newest that is found bad while nothing is done: it is not named any more, and another is taken at once (a machine ${kind})`, async () => {
    const made = parts();
    const events: ExecutorEvent[] = [];
    const clock = new FakeClock();
    const onEvent = (event: ExecutorEvent) => void events.push(event);
    const replica = await open(made, { machine: picky(checks), onEvent, clock });
    await fill(replica, 5);
    await replica.snapshot().result;
    await fill(replica, 5);
    await replica.snapshot().result;
    clock.jumped++; // the next one says another time, and so is another
    const peer = await bytesOf(archive(await made.storage.open()));
    const held = gate();
    replica.machine.onWrite = (_writer, _signal, write) => held.promise.then(write);
    assert.isTrue(await made.storage.spoilAndQuarantine(10n));
    assert.equal(replica.status().snapshot?.meta.lastIncludedIndex, 5n, "one truth, at once");
    await turns();
    assert.equal(replica.status().state, "saving");
    assert.deepEqual(
      events.flatMap((event) => event.type === "unusable" ? [(event.error as SnapshotError).code] : []),
      ["CORRUPT"],
    );
    held.open();
    while (replica.status().state === "saving") await turns(1);
    assert.equal(replica.status().snapshot?.meta.lastIncludedIndex, 10n);

    replica.machine.onSave = () => {
      throw new Error("not now");
    };
    assert.isTrue(await made.storage.spoilAndQuarantine(10n));
    await turns();
    assert.equal(replica.status().snapshot?.meta.lastIncludedIndex, 5n);
    const { state } = replica.machine;
    if (!checks) { // only the very one that was there can be told to be good, and it is not any more
      assert.isTrue((await replica.install(pieces(peer))).upToDate);
    } else {
      await replica.install(pieces(peer)).result;
      assert.equal(replica.status().snapshot?.meta.lastIncludedIndex, 10n);
      assert.isTrue((await replica.install(pieces(peer))).upToDate);
    }
    assert.equal(replica.machine.state, state);
    await replica.close();
  });
}

test("a machine without a check takes the very snapshot back that was found bad", async () => {
  const made = parts();
  const replica = await saved(made);
  const peer = await bytesOf(archive(await made.storage.open()));
  replica.machine.onSave = () => {
    throw new Error("not now");
  };
  assert.isTrue(await made.storage.spoilAndQuarantine(10n));
  await replica.install(pieces(peer)).result;
  assert.equal(replica.status().snapshot?.meta.lastIncludedIndex, 10n);
  assert.equal(replica.status().appliedIndex, 12n);
  await replica.close();
});

type Numbers = KeyValueMachine<number>;
const older = (): Numbers =>
  new KeyValueMachine(versioned(jsonCodec<number>(), 1, (bytes) => jsonCodec<number>().decode(bytes)));
const newer = (): Numbers =>
  new KeyValueMachine(versioned(jsonCodec<number>(), 2, (bytes) => jsonCodec<number>().decode(bytes)));
const still = { clock: new FakeClock(), triggers: { interval: 0, entries: 0 } };

test("an older program does not take in a newer one's snapshot, and goes on", async () => {
  const there = parts();
  const leader = await Replica.open({ machine: newer(), ...there, ...still });
  for (let i = 0; i < 9; i++) await leader.propose(leader.machine.put("a", i));
  await leader.snapshot().result;
  const newest = await bytesOf(archive(await there.storage.open()));
  await leader.close();

  const here = parts();
  const follower = await Replica.open({ machine: older(), ...here, ...still });
  await follower.propose(follower.machine.put("a", 100));
  await rejects(follower.install(pieces(newest)).result, "UNSUPPORTED");
  assert.deepEqual(await indices(here.storage), []);
  assert.isTrue((await follower.snapshot().result).taken);
  await follower.close();
  const again = await Replica.open({ machine: older(), ...here, ...still });
  assert.equal(again.machine.get("a"), 100);
  await again.close();
});

for (const purgedTo of [0n, 5n, 7n]) {
  const reaches = purgedTo <= 5n;
  test(`a newer program's snapshot at start: ${reaches ? "the one before it and the log" : "without the log, its own error"} (log from ${purgedTo + 1n})`, async () => {
    const made = parts();
    const log = new MemoryLog();
    let replica = await Replica.open({ machine: older(), ...made, log, ...still });
    for (let i = 0; i < 5; i++) await replica.propose(replica.machine.put("a", i));
    await replica.snapshot().result;
    for (let i = 0; i < 5; i++) await replica.propose(replica.machine.put("b", i));
    await replica.close();
    replica = await Replica.open({ machine: newer(), ...made, log, ...still });
    await replica.snapshot().result;
    await replica.close();
    await log.purge(purgedTo);

    const events: ExecutorEvent[] = [];
    const opening = Replica.open({
      machine: older(),
      ...made,
      log,
      ...still,
      onEvent: (event) => void events.push(event),
    });
    if (!reaches) {
      await rejects(opening, "UNSUPPORTED");
      assert.deepEqual(await indices(made.storage), [10, 5]);
      return;
    }
    const downgraded = await opening;
    assert.deepEqual([downgraded.machine.get("a"), downgraded.machine.get("b")], [4, 4]);
    assert.deepEqual(codesOf(downgraded), [[10, "UNSUPPORTED"]]);
    assert.equal(downgraded.status().snapshot?.meta.lastIncludedIndex, 5n);
    assert.isTrue(events.some(({ type }) => type === "unusable"));
    await rejects(downgraded.snapshot().result, "STALE"); // in the way, until one more entry was applied
    await downgraded.propose(downgraded.machine.put("c", 1));
    assert.isTrue((await downgraded.snapshot().result).taken);
    await downgraded.close();
    const again = await Replica.open({ machine: older(), ...made, log, ...still });
    assert.equal(again.machine.get("c"), 1);
    await again.close();
  });
}

test("a newer program's snapshot that the log does not reach: what only that one has is not written anew", async () => {
  const made = parts();
  const replica = await saved(made);
  await replica.close();
  await commit(made.storage, { lastIncludedIndex: 20n }, "installed 20 "); // and a crash before the log was reset
  const machine = new Probe();
  machine.onLoad = (reader) => {
    if (reader.meta.lastIncludedIndex === 20n) throw new SnapshotError("UNSUPPORTED", "a newer program's");
  };
  await rejects(open(made, { machine }), "UNSUPPORTED");
  assert.deepEqual(await indices(made.storage), [20, 10]);
});

for (const code of ["UNAVAILABLE", "FORBIDDEN", "MALFORMED", "UNSUPPORTED", "TIMEOUT", "BUSY"] as const) {
  for (const at of ["open", "load"] as const) {
    test(`recovery: the newest is ${code} at its ${at}: it stays, the one before it and the log are used, and that is said`, async () => {
      const made = parts();
      const first = await saved(made);
      const { state } = first.machine;
      await first.close();
      const machine = new Probe();
      const fails = () => {
        throw new SnapshotError(code, "not now");
      };
      const { open: opens } = made.storage;
      if (at === "open") {
        made.storage.open = (index) =>
          index === 10n ? Promise.reject(new SnapshotError(code, "")) : opens.call(made.storage, index);
      } else machine.onLoad = ({ meta }) => meta.lastIncludedIndex === 10n ? fails() : undefined;
      const second = await open(made, { machine });
      assert.equal(second.machine.state, state);
      assert.deepEqual(codesOf(second), [[10, code]]);
      assert.deepEqual(await indices(made.storage), [10, 5]);
      made.storage.open = opens;
      machine.onLoad = () => {};
      assert.isTrue((await second.snapshot().result).taken);
      assert.deepEqual(codesOf(second), [[10, code]], "it is named as long as it is there");
      await second.close();
    });
  }
}

test("recovery: with no snapshot that can be used the log alone does, if it has all", async () => {
  const made = parts();
  const first = await saved(made);
  const { state } = first.machine;
  await first.close();
  const machine = new Probe();
  machine.onLoad = () => {
    throw new SnapshotError("UNAVAILABLE", "EIO");
  };
  const second = await open(made, { machine });
  assert.equal(second.machine.state, state);
  assert.deepEqual(codesOf(second), [[10, "UNAVAILABLE"], [5, "UNAVAILABLE"]]);
  await second.close();
  await made.log.purge(1n);
  await rejects(open(made, { machine }), "UNAVAILABLE");
});

test("purge: what was not read since the start does not count before it was, and what cannot be used never does", async () => {
  const made = parts();
  await (await saved(made)).close(); // at 10 and 5
  let bad = true;
  const machine = new Probe();
  machine.check = (reader) =>
    bad && reader.meta.lastIncludedIndex === 5n
      ? Promise.reject(new SnapshotError("UNAVAILABLE", "EIO"))
      : Promise.resolve();
  const replica = await open(made, { machine, purge: { gap: 1 } });
  await made.log.append([]); // nothing
  const { firstIndex } = replica.status();
  await replica.purge();
  assert.equal(replica.status().firstIndex, firstIndex);
  assert.deepEqual(codesOf(replica), [[5, "UNAVAILABLE"]]);
  bad = false;
  await replica.purge();
  assert.deepEqual(codesOf(replica), []);
  assert.equal(replica.status().firstIndex, 6n);
  await replica.close();
});

for (const jump of [24 * 3600_000, -24 * 3600_000]) {
  test(`purge: the wall clock jumps by ${jump} ms: a member that was heard of holds what it needs, a dead one lets go in time`, async () => {
    const made = parts();
    const clock = new FakeClock();
    const member = { matchIndex: 3n, lastSeen: clock.monotonic() };
    const purge = { gap: 1, members: () => [member] };
    const replica = await saved(made, { clock, purge });
    assert.equal(replica.status().firstIndex, 4n);
    clock.jumped = jump;
    await replica.purge();
    assert.equal(replica.status().firstIndex, 4n);
    clock.advance(599_000);
    await replica.purge();
    assert.equal(replica.status().firstIndex, 4n);
    clock.advance(2000);
    await replica.purge();
    assert.equal(replica.status().firstIndex, 6n);
    await replica.close();
  });
}

for (const where of ["committed", "release", "reinitialize"] as const) {
  for (const how of ["throws", "rejects"] as const) {
    test(`callbacks: ${where} ${how}: what has happened stands, and an event says so`, async () => {
      const made = parts();
      const machine = new Probe();
      const failed: string[] = [];
      const fail = (): void => {
        if (how === "throws") throw new Error("mine");
        return Promise.reject(new Error("mine")) as unknown as void;
      };
      const onEvent = (event: ExecutorEvent) => {
        if (event.type === "callbackFailed") failed.push(event.callback);
        throw new Error("and of the listener too");
      };
      const replica = await open(made, { machine, onEvent });
      const { save } = machine;
      if (where === "reinitialize") machine.reinitialize = fail;
      else machine.save = () => ({ ...save.call(machine)!, [where]: fail });
      await fill(replica, 3);
      if (where === "reinitialize") await replica.install(pieces(await sent(9n))).result;
      else assert.isTrue((await replica.snapshot().result).taken);
      await turns();
      assert.deepEqual(failed, [where]);
      const index = where === "reinitialize" ? 9n : 3n;
      assert.equal(replica.status().snapshot?.meta.lastIncludedIndex, index);
      await fill(replica, 1);
      machine.save = save;
      assert.isTrue((await replica.snapshot().result).taken);
      await replica.close();
    });
  }
}

test("install: loaded, and then it cannot be committed: the state before it is loaded again, and goes on", async () => {
  const made = parts();
  const replica = await saved(made);
  const { state } = replica.machine;
  const { create } = made.storage;
  made.storage.create = async (options) => {
    const writer = await create.call(made.storage, options);
    const failing = writer.commit.bind(writer);
    writer.commit = async (meta, options = {}) =>
      await failing(meta, {
        ...options,
        check: async (reader) => {
          await options.check?.(reader);
          throw new SnapshotError("NO_SPACE", "full");
        },
      });
    return writer;
  };
  const install = made.storage.install.bind(made.storage);
  made.storage.install = async (manifest) => {
    const installing = await install(manifest);
    const { commit } = installing;
    installing.commit = async (options = {}) =>
      await commit.call(installing, {
        check: async (reader) => {
          await options.check?.(reader);
          throw new SnapshotError("NO_SPACE", "full");
        },
      });
    return installing;
  };
  const proposed: Promise<unknown>[] = [];
  replica.machine.onLoad = () => {
    replica.machine.onLoad = () => {};
    proposed.push(replica.propose(bytes("meanwhile")));
  };
  await rejects(replica.install(pieces(await sent(30n))).result, "NO_SPACE");
  await Promise.all(proposed);
  assert.equal(replica.machine.state, `${state}13:meanwhile `);
  assert.deepEqual(await indices(made.storage), [10, 5]);
  await replica.close();
  const again = await open(made);
  assert.equal(again.machine.state, `${state}13:meanwhile `);
  await again.close();
});

test("install: loaded, and then it cannot be committed, with no snapshot to go back to: nothing is applied any more", async () => {
  const made = parts();
  const replica = await open(made);
  await fill(replica, 3);
  const install = made.storage.install.bind(made.storage);
  made.storage.install = async (manifest) => {
    const installing = await install(manifest);
    const { commit } = installing;
    installing.commit = async (options = {}) =>
      await commit.call(installing, {
        check: async (reader) => {
          await options.check?.(reader);
          throw new SnapshotError("NO_SPACE", "full");
        },
      });
    return installing;
  };
  await rejects(replica.install(pieces(await sent(30n))).result, "NO_SPACE");
  const error = await rejects(replica.propose(bytes("x")), "UNAVAILABLE");
  assert.include(error.message, "open the replica anew");
  await rejects(replica.snapshot().result, "UNAVAILABLE");
  await replica.close();
  const again = await open(made);
  assert.equal(again.machine.state, "1:x 2:x 3:x ");
  await again.close();
});

test("an encrypted storage: what is tried is what can be read, and a wrong key refuses it", async () => {
  const [right, wrong] = [1, 2].map((fill) => [{ id: "k", secret: new Uint8Array(32).fill(fill) }]);
  const there = new EncryptedStorage(new MemoryStorage(), right!);
  await commit(there, { lastIncludedIndex: 9n }, "installed 9 ");
  const handler = snapshotHandler(there, { allowWrites: true });
  const archived = await bytesOf(archive(await there.open()));
  for (const keys of [right!, wrong!]) {
    const inner = new MemoryStorage();
    const here = new EncryptedStorage(inner, keys);
    const seen: string[] = [];
    const check = async (reader: Parameters<typeof readText>[0]) => void seen.push(await readText(reader));
    const pulled = pull(here, [{ url: "http://there", fetch: handler }], { check }).result;
    if (keys === right) await pulled;
    else await pulled.then(() => assert.fail("It was taken"), () => {});
    const taken = unarchive(pieces(archived), new EncryptedStorage(new MemoryStorage(), keys), { check }).result;
    if (keys === right) await taken;
    else await taken.then(() => assert.fail("It was taken"), () => {});
    assert.deepEqual(seen, keys === right ? ["installed 9 ", "installed 9 "] : []);
    assert.equal((await inner.list()).length, keys === right ? 1 : 0);
  }
  await handler.close();
});

test("opening can be given up while a snapshot is loaded; and what it was given is closed", async () => {
  const made = parts();
  await (await saved(made)).close();
  const closed: string[] = [];
  made.log.close = () => Promise.resolve(void closed.push("log"));
  made.storage.close = () => Promise.resolve(void closed.push("storage"));
  const stop = new AbortController();
  const machine = new Probe();
  machine.onLoad = () => new Promise(() => stop.abort("enough"));
  await rejects(open(made, { machine, signal: stop.signal }), "CANCELLED");
  assert.sameMembers(closed, ["log", "storage"]);
});

test("what is opened with wrong options closes what it was given", async () => {
  for (const wrong of [{ group: "" }, { machine: {} }, { log: undefined }, { signal: 5 }]) {
    const made = parts();
    const closed: string[] = [];
    made.log.close = () => Promise.resolve(void closed.push("log"));
    made.storage.close = () => Promise.resolve(void closed.push("storage"));
    await rejects(open(made, wrong as Partial<ReplicaOptions<Probe>>), "MALFORMED");
    assert.sameMembers(closed, "log" in wrong ? ["storage"] : ["log", "storage"]);
  }
  await rejects(Replica.open(undefined as never), "MALFORMED");
});

test("a snapshot that is restored under a replica that lost it counts again, and nothing fails for it", async () => {
  const made = parts();
  const replica = await saved(made);
  let refuses = false;
  replica.machine.onSave = () => {
    if (refuses) throw new Error("not now");
  };
  await replica.snapshot().result;
  const before = replica.status().snapshot!;
  refuses = true;
  assert.isTrue(await made.storage.spoilAndQuarantine(12n));
  await replica.snapshot().result.then(() => assert.fail("It was taken"), () => {});
  assert.notEqual(replica.status().snapshot?.meta.lastIncludedIndex, 12n);
  made.storage.mend();
  await made.storage.restore(12n);
  refuses = false;
  const { taken, snapshot } = await replica.snapshot().result;
  assert.isFalse(taken);
  assert.deepEqual(snapshot?.digest, before.digest);
  assert.deepEqual(replica.status().snapshot?.digest, before.digest);
  await fill(replica, 1);
  assert.isTrue((await replica.snapshot().result).taken);
  await replica.close();
});

test("a snapshot of another term that is restored under a replica is not taken for its own", async () => {
  const made = parts();
  await commit(made.storage, { lastIncludedIndex: 3n, lastIncludedTerm: 7n }, "another history");
  await made.storage.spoilAndQuarantine(3n);
  made.storage.mend();
  const replica = await open(made);
  await fill(replica, 3);
  await made.storage.restore(3n);
  await rejects(replica.snapshot().result, "STALE");
  assert.isUndefined(replica.status().snapshot);
  await replica.close();
});

test("a machine that is frozen, or a Proxy, is one like any other", async () => {
  const applied: bigint[] = [];
  const machine = {
    apply: ({ index }: { readonly index: bigint }) => void applied.push(index),
    save: () => undefined,
    load: () => Promise.resolve(),
  };
  for (const it of [Object.freeze(machine), new Proxy(machine, {})]) {
    const replica = await Replica.open({ machine: it, log: new MemoryLog(), storage: new MemoryStorage() });
    await replica.propose(bytes("x"));
    await replica.snapshot().result;
    await replica.close();
  }
  assert.deepEqual(applied, [1n, 1n]);
});
