// Two releases of a program on one log and its snapshots; states that are not declared any more.

import {
  type Codec,
  commandCodec,
  jsonCodec,
  KeyedState,
  type KeyedStateOptions,
  KeyValueMachine,
  type LogEntry,
  MemoryLog,
  Replica,
  type SnapshotReader,
  stringKeys,
  utf8Codec,
  versioned,
} from "../../mod.ts";
import { cborCodec } from "../../src/cbor.ts";
import { assert, rejects, test } from "../support/harness.ts";
import { CODECS, KeyValueUsers, LastingStorage, type Release, userOf } from "../support/schemas.ts";
import { saved, saveTo } from "../support/states.ts";

/** A log and a storage, and replicas of releases on them. */
function place() {
  const log = new MemoryLog();
  const storage = new LastingStorage();
  const open = (release: Release) =>
    Replica.open({
      machine: new KeyValueUsers(CODECS[release]!),
      log,
      storage,
      triggers: { interval: 0 },
      purge: { gap: 1 },
    });
  return { log, storage, open };
}

async function put(replica: Replica<KeyValueUsers>, key: string, wrote: Release): Promise<void> {
  await replica.propose(replica.machine.put(key, userOf(key, wrote)));
}

test("two releases, forward: what is in the snapshot is migrated, and so is what is in the log after it", async () => {
  const { open } = place();
  const first = await open(0);
  await put(first, "in the snapshot", 0);
  await first.snapshot().result;
  await put(first, "in the log", 0);
  await put(first, "deleted", 0);
  await first.propose(first.machine.delete("deleted"));
  await first.close();
  for (const release of [1, 2] as const) {
    const next = await open(release);
    assert.deepEqual(await next.machine.content(), {
      "in the snapshot": userOf("in the snapshot", 0, release),
      "in the log": userOf("in the log", 0, release),
    });
    await next.close();
  }
});

test("two releases, back: what the newer one wrote is UNSUPPORTED everywhere, nothing is changed, and then all is there", async () => {
  const { log, storage, open } = place();
  const first = await open(0);
  await put(first, "a", 0);
  await first.snapshot().result;
  await put(first, "b", 0);
  await first.close();
  const second = await open(1);
  await put(second, "c", 1);
  await put(second, "d", 1);
  await second.close();
  const entries = () => Array.fromAsync(log.entries(log.firstIndex));
  const before = [await entries(), await storage.list()];

  const error = await rejects(open(0), "UNSUPPORTED");
  assert.strictEqual(error.index, 3n);
  assert.include(error.message, "entry 3");
  assert.include(error.message, "json, version 1");
  assert.include(error.message, "json, version 0");
  assert.include(error.message, "newer release of the program");
  assert.deepEqual([await entries(), await storage.list()], before);

  const again = await open(1);
  await again.snapshot().result;
  await put(again, "e", 1);
  await again.close();
  await rejects(open(0), "UNSUPPORTED"); // of the snapshot now
  const last = await open(1);
  const expected = Object.fromEntries([..."ab"].map((key) => [key, userOf(key, 0, 1)]));
  for (const key of "cde") expected[key] = userOf(key, 1);
  assert.deepEqual(await last.machine.content(), expected);
  await last.close();
});

test("two releases: a snapshot of the older one, and after it a log of both in turn", async () => {
  const { open } = place();
  const expected: Record<string, unknown> = {};
  let replica = await open(0);
  await put(replica, "snapshot", 0);
  await replica.snapshot().result;
  for (let i = 0; i < 6; i++) {
    const wrote = (i % 2) as Release;
    await replica.close();
    replica = await open(1);
    // Clients of both releases propose to the newer one.
    await replica.propose(new KeyValueUsers(CODECS[wrote]!).put(`${i}`, userOf(`${i}`, wrote)));
    expected[i] = userOf(`${i}`, wrote, 1);
  }
  assert.deepEqual(await replica.machine.content(), { snapshot: userOf("snapshot", 0, 1), ...expected });
  await replica.close();
});

test("a newer command is refused before it is appended: proposed, or given by another replica, and the rest goes on", async () => {
  const { log, open } = place();
  const newer = new KeyValueUsers(CODECS[1]!);
  const replica = await open(0);
  await put(replica, "a", 0);
  for (const data of [newer.put("b", userOf("b", 1)), newer.delete("a")]) {
    const error = await rejects(replica.propose(data), "UNSUPPORTED");
    assert.deepEqual([error.expected, error.actual], ["json, version 0", "json, version 1"]);
    const good = { index: 2n, term: 1n, data: replica.machine.put("c", userOf("c", 0)) };
    const given = await rejects(replica.append([good, { index: 3n, term: 1n, data }]), "UNSUPPORTED");
    assert.strictEqual(given.index, 3n);
    assert.strictEqual(log.lastIndex, 1n);
  }
  await put(replica, "d", 0);
  assert.deepEqual(Object.keys(await replica.machine.content()).sort(), ["a", "d"]);
  await replica.close();
});

test("what only `validate` has against a committed entry of another replica does not keep it out", async () => {
  class Strict extends KeyValueMachine<string> {
    override validate(): void {
      throw new Error("not from here");
    }
  }
  const machine = new Strict(utf8Codec());
  const replica = await Replica.open({ machine, log: new MemoryLog(), storage: new LastingStorage() });
  await replica.append([{ index: 1n, term: 1n, data: machine.put("a", "1") }]);
  assert.strictEqual(machine.get("a"), "1");
  await replica.close();
});

test("another codec: what it wrote is read if the new one replaces it, and else UNSUPPORTED, and never given to a migration", async () => {
  const old = new KeyValueMachine(utf8Codec());
  const data = old.put("a", "1"); // which is JSON, too
  const fail = () => assert.fail("it is not asked");
  const strangers: Codec<unknown>[] = [
    jsonCodec(),
    versioned(jsonCodec(), 1, fail),
    versioned(jsonCodec(), 1, fail, { replaces: ["cbor"] }),
    { ...jsonCodec(), replaces: ["utf-8"] }, // without a migration
  ];
  old.apply({ index: 1n, term: 1n, data });
  const snapshot = await saved(old);
  for (const codec of strangers) {
    const machine = new KeyValueMachine(codec);
    const error = await rejects(() => machine.validate(data), "UNSUPPORTED");
    assert.include(error.message, "utf-8, version 0");
    await rejects(() => machine.apply({ index: 1n, term: 1n, data }), "UNSUPPORTED");
    await rejects(() => machine.validate(old.delete("a")), "UNSUPPORTED");
    await rejects(machine.load(snapshot), "UNSUPPORTED");
    assert.strictEqual(machine.size, 0);
  }
  const froms: unknown[] = [];
  const replacing = versioned(jsonCodec<unknown>(), 1, (bytes, from) => {
    froms.push(from);
    return { text: utf8Codec().decode(bytes) };
  }, { replaces: ["utf-8"] });
  const machine = new KeyValueMachine(replacing);
  machine.validate(data);
  machine.apply({ index: 1n, term: 1n, data });
  assert.deepEqual(machine.get("a"), { text: "1" });
  await machine.load(snapshot);
  assert.deepEqual(machine.get("a"), { text: "1" });
  assert.deepEqual(froms[0], { name: "utf-8", version: 0 });
});

test("commands of one's own: what wrote them comes first, in a few bytes", async () => {
  const commands = commandCodec(
    versioned(jsonCodec<number>(), 300, (bytes) => jsonCodec<number>().decode(bytes) * 100),
  );
  const [old, newer] = [commandCodec(jsonCodec<number>()), commandCodec(versioned(jsonCodec<number>(), 301, () => 0))];
  assert.deepEqual([...old.encode(7)], [1, 4, 0x6a, 0x73, 0x6f, 0x6e, 0, 0x37]);
  assert.strictEqual(commands.encode(7).length, 9);
  assert.strictEqual(commands.decode(commands.encode(7)), 7);
  assert.strictEqual(commands.decode(old.encode(7)), 700);
  await rejects(() => commands.decode(newer.encode(7)), "UNSUPPORTED");
  await rejects(() => commands.decode(commandCodec(cborCodec<number>()).encode(7)), "UNSUPPORTED");
  await rejects(() => commands.decode(new Uint8Array(0)), "MALFORMED");
  await rejects(() => commands.decode(commands.encode(7).subarray(0, 6)), "MALFORMED");
  await rejects(() => commands.encode(NaN), "MALFORMED");
  for (const wrong of [{ name: "\ud800" }, { version: -1 }, { version: 1.5 }, { version: 2 ** 32 }]) {
    await rejects(() => commandCodec({ ...jsonCodec<number>(), ...wrong }), "MALFORMED");
  }
});

test("a machine of one's own: an entry of a newer release in the log is said to be one, and the replica does not open", async () => {
  class Sum {
    sum = 0;
    readonly commands;
    constructor(version: number) {
      this.commands = commandCodec(
        version === 0 ? jsonCodec<number>() : versioned(jsonCodec<number>(), version, () => 0),
      );
    }
    apply({ data }: LogEntry): void {
      this.sum += this.commands.decode(data);
    }
    save(): undefined {}
    async load(_: SnapshotReader): Promise<void> {}
  }
  const log = new MemoryLog();
  const open = (version: number) =>
    Replica.open({ machine: new Sum(version), log, storage: new LastingStorage(), triggers: { interval: 0 } });
  for (const version of [0, 1]) {
    const replica = await open(version);
    await replica.propose(replica.machine.commands.encode(5));
    await replica.close();
  }
  const error = await rejects(open(0), "UNSUPPORTED");
  assert.include(error.message, "entry 2");
  const replica = await open(1);
  assert.strictEqual(replica.machine.sum, 5);
  await replica.close();
});

/** A state with the states of these names. */
function declaring(names: readonly string[], options: Partial<KeyedStateOptions<string>> = {}) {
  const state = new KeyedState({ keys: stringKeys(), ...options });
  return { state, states: names.map((name) => state.value(name, utf8Codec())) };
}

test("a state that is not declared any more is no obstacle if it is empty, also where only a later delta empties it", async () => {
  const never = declaring(["kept", "gone"]);
  never.states[0]!.set("a", "1");
  const now = declaring(["kept"]);
  await now.state.load(await saved(never.state));
  assert.strictEqual(now.states[0]!.get("a"), "1");

  const storage = new LastingStorage();
  const old = declaring(["kept", "gone"], { incremental: { maxShare: 10 } });
  for (let i = 0; i < 50; i++) for (const state of old.states) state.set(`${i}`, "1");
  await saveTo(old.state, storage, 1n);
  for (let i = 0; i < 25; i++) old.states[1]!.delete(`${i}`);
  await saveTo(old.state, storage, 2n);
  const error = await rejects(now.state.load(await storage.open()), "UNSUPPORTED");
  assert.strictEqual(error.actual, "gone");
  assert.deepEqual([...now.states[0]!.entries()], [["a", "1"]]);
  for (let i = 25; i < 50; i++) old.states[1]!.delete(`${i}`);
  assert.strictEqual((await saveTo(old.state, storage, 3n)).files, 3);
  await now.state.load(await storage.open());
  assert.strictEqual(now.states[0]!.size, 50);
});

test("a state with entries that is not declared any more is refused until it is dropped, and then does not come back", async () => {
  const storage = new LastingStorage();
  const old = declaring(["kept", "gone"], { incremental: true });
  for (let i = 0; i < 50; i++) for (const state of old.states) state.set(`${i}`, "1");
  await saveTo(old.state, storage, 1n);
  const error = await rejects(declaring(["kept"]).state.load(await storage.open()), "UNSUPPORTED");
  assert.include(error.message, `"gone"`);
  assert.include(error.message, `"drop"`);
  await rejects(declaring(["kept"], { drop: ["other"] }).state.load(await storage.open()), "UNSUPPORTED");

  const dropping = declaring(["kept"], { drop: ["gone"], incremental: true });
  await dropping.state.load(await storage.open());
  assert.strictEqual(dropping.states[0]!.size, 50);
  dropping.states[0]!.set("new", "1");
  assert.strictEqual((await saveTo(dropping.state, storage, 2n)).files, 1, "nothing is built upon what has it");
  const after = declaring(["kept", "gone"]); // the release after that declares another one of that name
  await after.state.load(await storage.open());
  assert.deepEqual(after.states.map(({ size }) => size), [51, 0]);
  await rejects(() => dropping.state.value("gone", utf8Codec()), "MALFORMED");
});

test("a state that is declared and not in the snapshot is empty, whatever it had", async () => {
  const old = declaring(["a"]);
  old.states[0]!.set("k", "1");
  const now = declaring(["a", "b"]);
  now.states[1]!.set("k", "2");
  await now.state.load(await saved(old.state));
  assert.deepEqual(now.states.map((state) => state.get("k")), ["1", undefined]);
});
