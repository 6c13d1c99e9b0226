import fc from "fast-check";
import {
  intKeys,
  jsonCodec,
  type KeyCodec,
  KeyedState,
  type KeyedStateOptions,
  type KeyGroupRange,
  keyGroupRange,
  KeyValueMachine,
  longKeys,
  MemoryLog,
  MemoryStorage,
  Replica,
  type SaveTask,
  type SnapshotReader,
  type SnapshotStorage,
  stringKeys,
  utf8Codec,
} from "../../mod.ts";
import { SpoiledStorage } from "../support/faulty_medium.ts";
import { assert, pieces, rejects, test } from "../support/harness.ts";
import { runs } from "../support/random.ts";
import { commit, saved, saveTo } from "../support/states.ts";

/** Three states, and what they should be. */
class Bench<K> {
  readonly state: KeyedState<K>;
  readonly value;
  readonly list;
  readonly map;

  constructor(options: KeyedStateOptions<K>) {
    this.state = new KeyedState(options);
    this.value = this.state.value("value", jsonCodec<number>());
    this.list = this.state.list("list", utf8Codec());
    this.map = this.state.map("map", stringKeys(), utf8Codec());
  }

  /** Everything, with the keys as they are walked over. */
  get content(): unknown {
    return {
      value: [...this.value.entries()],
      list: [...this.list.entries()],
      map: [...this.map.keys()].map((key) => [key, [...this.map.entries(key)]]),
    };
  }
}

type Op<K> =
  | { readonly do: "set"; readonly key: K; readonly value: number }
  | { readonly do: "delete" | "dropList" | "clear"; readonly key: K }
  | { readonly do: "add" | "setList"; readonly key: K; readonly items: readonly string[] }
  | { readonly do: "put" | "take"; readonly key: K; readonly userKey: string };

function opOf<K>(key: fc.Arbitrary<K>): fc.Arbitrary<Op<K>> {
  const items = fc.array(fc.string({ maxLength: 5 }), { maxLength: 3 });
  const userKey = fc.constantFrom("", "x", "y", "1:z");
  return fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant("set" as const), key, value: fc.nat(99) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constantFrom("delete" as const, "dropList", "clear"), key }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constantFrom("add" as const, "setList"), key, items }) },
    { weight: 4, arbitrary: fc.record({ do: fc.constantFrom("put" as const, "take"), key, userKey }) },
  );
}

function carryOut<K>({ state, value, list, map }: Bench<K>, op: Op<K>): void {
  if (!state.owns(op.key)) return;
  switch (op.do) {
    case "set":
      return value.set(op.key, op.value);
    case "delete":
      return void value.delete(op.key);
    case "add":
      return list.add(op.key, ...op.items);
    case "setList":
      return list.set(op.key, op.items);
    case "dropList":
      return void list.delete(op.key);
    case "put":
      return map.set(op.key, op.userKey, `${op.userKey}!`);
    case "take":
      return void map.delete(op.key, op.userKey);
    case "clear":
      return void map.clear(op.key);
  }
}

const TYPES: [string, KeyCodec<unknown>, fc.Arbitrary<unknown>][] = [
  ["string", stringKeys() as KeyCodec<unknown>, fc.constantFrom("", "a", "b", "1:c", "ключ", "😀")],
  ["int", intKeys() as KeyCodec<unknown>, fc.constantFrom(0, -1, 7, 2 ** 31 - 1, -(2 ** 31))],
  ["long", longKeys() as KeyCodec<unknown>, fc.constantFrom(0n, -1n, 7n, 2n ** 63n - 1n, -(2n ** 63n))],
];

type Step = { readonly ops: readonly Op<unknown>[]; readonly then: "save" | "fail" | "cancel" | "late" | "reload" };

test("keyed state: one that never held anything gives nothing to save, one that is empty again does", async () => {
  const state = new KeyedState({ keys: stringKeys() });
  const value = state.value("v", utf8Codec());
  assert.isUndefined(state.save());
  assert.isFalse(value.delete("a")); // of what is not there
  assert.isUndefined(state.save());
  value.set("a", "1");
  value.delete("a");
  const reader = await saved(state);
  const loaded = new KeyedState({ keys: stringKeys() });
  loaded.value("v", utf8Codec());
  await loaded.load(reader);
  assert.isDefined(loaded.save()); // there is a snapshot of it
  const worker = new KeyedState({ keys: stringKeys(), range: keyGroupRange(128, 2, 1) });
  assert.isDefined(worker.save()); // who rescales needs each range
  const cleared = new KeyedState({ keys: stringKeys() });
  cleared.clear();
  assert.isDefined(cleared.save());
  for (const one of [state, loaded, worker, cleared]) await one.close();
});

test("a machine that never held anything: a save is an event, and asked again after the next entry", async () => {
  const events: string[] = [];
  const machine = new KeyValueMachine(utf8Codec());
  const replica = await Replica.open({
    machine,
    log: new MemoryLog(),
    storage: new MemoryStorage(),
    triggers: { interval: 0 },
    onEvent: ({ type }) => void (/ToSave|saved/.test(type) && events.push(type)),
  });
  assert.isFalse((await replica.snapshot()).taken);
  await replica.propose(machine.delete("none"));
  for (let i = 0; i < 2; i++) assert.isFalse((await replica.snapshot()).taken); // asked twice, the machine once
  assert.isUndefined(await replica.push({ url: "http://nowhere", fetch: () => Promise.reject(new Error("asked")) }));
  assert.deepEqual(events, ["nothingToSave"]);
  await replica.propose(machine.put("a", "1"));
  assert.isTrue((await replica.snapshot()).taken);
  assert.deepEqual(events, ["nothingToSave", "saved"]);
  await replica.close();
});

for (const [type, keys, key] of TYPES) {
  test(`keyed state: whatever is done, saved, not saved and loaded, a snapshot is the state of its time (${type})`, async () => {
    const then = fc.constantFrom<Step["then"]>("save", "save", "save", "fail", "cancel", "late", "reload");
    const step: fc.Arbitrary<Step> = fc.record({ ops: fc.array(opOf(key), { maxLength: 8, size: "max" }), then });
    const incremental = fc.constantFrom(false, true, { maxShare: 100, maxDeltas: 3 });
    let deltas = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12, size: "max" }), incremental, async (steps, incremental) => {
        const options = { keys, maxParallelism: 4, incremental };
        const storage = new MemoryStorage();
        let bench = new Bench<unknown>(options);
        let index = 0n;
        for (const { ops, then } of steps) {
          for (const op of ops) carryOut(bench, op);
          const content = structuredClone(bench.content);
          const task = bench.state.save();
          if (task === undefined) {
            assert.deepEqual(content, new Bench<unknown>(options).content); // nothing was ever in it
            continue;
          }
          if (then === "fail") {
            const writer = await storage.create();
            await task.write(writer, new AbortController().signal);
            await writer.abort();
            task.release();
            continue;
          }
          if (then === "cancel") {
            task.release();
            continue;
          }
          if (then === "late") {
            for (const op of ops.slice(0, 3)) carryOut(bench, { ...op, do: "delete" } as Op<unknown>);
          }
          await commit(task, storage, ++index);
          const reader = await storage.open();
          const loaded = new Bench<unknown>({ ...options });
          await loaded.state.load(reader);
          deltas += reader.manifest.files.length - 1;
          await reader.close();
          assert.deepEqual(loaded.content, content);
          if (then === "reload") bench = loaded;
        }
        await bench.state.close();
        await storage.close();
      }),
      { numRuns: runs(150) },
    );
    assert.isAbove(deltas, runs(50));
  });
}

test("keyed state: 3 workers become 5, then 2, then 1, and nothing is lost or doubled", async () => {
  const key = fc.string({ unit: "grapheme", maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(opOf(key), { maxLength: 60, size: "max" }),
      fc.array(opOf(key), { maxLength: 20, size: "max" }),
      fc.constantFrom(5, 7, 128, 1000),
      async (ops, more, maxParallelism) => {
        const options = (range: KeyGroupRange) => ({ keys: stringKeys(), maxParallelism, range, incremental: true });
        const whole = new Bench(options({ first: 0, last: maxParallelism - 1 }));
        let workers = [0, 1, 2].map((worker) => new Bench(options(keyGroupRange(maxParallelism, 3, worker))));
        const storages = new Map(workers.map((worker) => [worker, new MemoryStorage()]));
        let index = 0n;
        for (const count of [5, 2, 3, 1]) {
          for (const op of ops) for (const worker of [whole, ...workers]) carryOut(worker, op);
          const readers: SnapshotReader[] = [];
          for (const worker of workers) {
            const storage = storages.get(worker)!;
            await saveTo(worker.state, storage, ++index);
            for (const op of more) carryOut(worker, op); // and a delta upon it
            await saveTo(worker.state, storage, ++index);
            readers.push(await storage.open());
          }
          for (const op of more) carryOut(whole, op);
          workers = [];
          for (let i = 0; i < count; i++) {
            const worker = new Bench(options(keyGroupRange(maxParallelism, count, i)));
            await worker.state.load(...readers.toSorted(() => (i % 2) - 0.5)); // in any order
            workers.push(worker);
            storages.set(worker, new MemoryStorage());
          }
          assert.equal(workers.reduce((sum, { state }) => sum + state.size, 0), whole.state.size);
        }
        assert.deepEqual(workers[0]!.content, whole.content);
      },
    ),
    { numRuns: runs(25) },
  );
});

test("keyed state: a snapshot of nothing has an empty file, which is loaded as nothing, also as one part", async () => {
  const empty = new Bench({ keys: stringKeys(), range: keyGroupRange(128, 2, 0) });
  const full = new Bench({ keys: stringKeys(), range: keyGroupRange(128, 2, 1) });
  for (const key of "abcdefgh") if (full.state.owns(key)) full.value.set(key, 1);
  const [nothing, something] = [await saved(empty.state), await saved(full.state)];
  assert.deepEqual(nothing.manifest.files.map(({ name, chunks }) => [name, chunks!.size]), [["state/0000", 0]]);
  const both = new Bench({ keys: stringKeys() });
  await both.state.load(nothing, something);
  assert.deepEqual(both.content, full.content);
  await full.state.load(something);
  await rejects(full.state.load(nothing), "MALFORMED"); // not its key groups
  await empty.state.load(nothing);
  assert.equal(empty.state.size, 0);
});

test("keyed state: a sub-range is restored by reading its bytes and the head, nothing else", async () => {
  const bench = new Bench({ keys: stringKeys() });
  for (let i = 0; i < 20_000; i++) bench.value.set(`key ${i}`, i);
  const reader = await saved(bench.state);
  const { chunks, keyGroups } = reader.info("state/0000");
  let read = 0;
  const counting: SnapshotReader = {
    ...reader,
    manifest: reader.manifest,
    size: (name: string) => reader.size(name),
    file: (name: string, range?: { start?: number; end?: number }) =>
      reader.file(name, range).pipeThrough(
        new TransformStream({
          transform(piece, controller) {
            read += piece.length;
            controller.enqueue(piece);
          },
        }),
      ),
  } as SnapshotReader;
  const range = { first: 40, last: 43 };
  const part = new Bench({ keys: stringKeys(), range });
  await part.state.load(counting);
  const { offsets } = keyGroups!;
  assert.equal(read, offsets[44]! - offsets[40]! + offsets[0]!);
  assert.isBelow(read, chunks!.size / 16);
  const expected = [...bench.value.entries()].filter(([key]) => part.state.owns(key));
  assert.deepEqual([...part.value.entries()], expected);
  for (const offset of offsets) assert.equal(chunks!.offset(chunks!.at(offset)), offset); // each begins a chunk
});

test("keyed state: an incremental save writes what changed, and links the rest", async () => {
  const bench = new Bench({ keys: stringKeys(), incremental: true });
  const storage = new MemoryStorage();
  for (let i = 0; i < 10_000; i++) bench.value.set(`key ${i}`, i);
  const first = await saveTo(bench.state, storage, 1n);
  for (let i = 0; i < 100; i++) bench.value.set(`key ${i}`, -i);
  bench.value.delete("key 100");
  const second = await saveTo(bench.state, storage, 2n);
  assert.isBelow(second.size - first.size, first.size / 20);
  const reader = await storage.open();
  assert.deepEqual(reader.manifest.files.map(({ name }) => name), ["state/0000", "state/0001"]);
  assert.equal(reader.meta.parentIndex, 1n);
  await reader.close();

  const third = await saveTo(bench.state, storage, 3n); // nothing changed
  assert.equal(third.files, 2);
  assert.equal(third.size, second.size);

  for (let i = 0; i < 6_000; i++) bench.value.set(`key ${i}`, 0);
  assert.equal((await saveTo(bench.state, storage, 4n)).files, 1); // more than half: all of it
  for (let i = 1; i <= 17; i++) {
    bench.value.set("key", i);
    assert.equal((await saveTo(bench.state, storage, 4n + BigInt(i))).files, i === 17 ? 1 : i + 1);
  }
});

test("keyed state: what is not a committed snapshot of this storage any more is not built upon", async () => {
  const bench = new Bench({ keys: stringKeys(), incremental: true });
  const [here, there] = [new MemoryStorage(), new SpoiledStorage()];
  const save = async (storage: SnapshotStorage, index: bigint) => {
    bench.value.set("key", Number(index));
    return (await saveTo(bench.state, storage, index)).files;
  };
  for (let i = 0; i < 100; i++) bench.value.set(`key ${i}`, i);
  assert.equal(await save(here, 1n), 1);
  assert.equal(await save(here, 2n), 2);
  assert.equal(await save(there, 1n), 1); // another storage: it has nothing of it
  assert.equal(await save(there, 2n), 2);
  assert.isTrue(await there.spoilAndQuarantine(2n));
  assert.equal(await save(there, 3n), 1); // the delta is gone: a base, whatever is there still
  assert.isTrue(await there.spoilAndQuarantine(3n));
  assert.equal(await save(there, 4n), 1);
  await bench.state.load(await here.open());
  assert.equal(await save(here, 3n), 3); // built upon what was loaded
  bench.state.clear();
  assert.equal(await save(here, 4n), 1);
});

for (const meanwhile of ["another save commits", "it is cleared", "it is loaded"]) {
  test(`keyed state: a delta has what was deleted, though ${meanwhile} before it is written`, async () => {
    const open = () => new Bench({ keys: stringKeys(), maxParallelism: 1, incremental: { maxShare: 10 } });
    const bench = open();
    const storage = new MemoryStorage();
    for (const key of "abcdefgh") bench.list.set(key, [key]);
    bench.value.set("a", 1);
    await saveTo(bench.state, storage, 1n);
    bench.value.delete("a");
    bench.list.add("a", "more");
    const { content } = bench;
    const late = bench.state.save()!;
    if (meanwhile === "another save commits") await saveTo(bench.state, storage, 2n);
    else if (meanwhile === "it is cleared") bench.state.clear();
    else {
      const reader = await storage.open();
      await bench.state.load(reader);
      await reader.close();
    }
    assert.equal((await commit(late, storage, 3n)).files, 2);
    const loaded = open();
    await loaded.state.load(await storage.open());
    assert.deepEqual(loaded.content, content);
  });
}

test("keyed state: an update that begins a save, or clears the state, comes after that", async () => {
  const bench = new Bench({ keys: stringKeys() });
  bench.value.set("a", 1);
  let task: SaveTask | undefined;
  assert.equal(
    bench.value.update("a", (value) => {
      task = bench.state.save()!;
      return value! + 1;
    }),
    2,
  );
  const storage = new MemoryStorage();
  await commit(task!, storage, 1n);
  const loaded = new Bench({ keys: stringKeys() });
  await loaded.state.load(await storage.open());
  assert.equal(loaded.value.get("a"), 1);
  bench.value.update("a", () => {
    bench.state.clear();
    return 3;
  });
  assert.deepEqual([...bench.value.entries()], [["a", 3]]);
  assert.throws(() => bench.value.update("b", () => assert.fail("as asked")), "as asked");
  assert.equal(bench.state.size, 1);
});

test("keyed state: several in one snapshot, the name of the one beginning like that of the other, and other files", async () => {
  const names = ["a", "a/b", "a/b/c", "ab/c"];
  const open = () => names.map((name) => new Bench({ keys: stringKeys(), name, incremental: true }));
  const benches = open();
  const storage = new MemoryStorage();
  for (const index of [1n, 2n]) {
    const writer = await storage.create();
    for (const [i, bench] of benches.entries()) {
      for (let key = 0; key < (index === 1n ? 100 : 3); key++) bench.value.set(`${key}`, i);
      const task = bench.state.save()!;
      await task.write(writer, new AbortController().signal);
      task.release();
    }
    for (const name of ["ab0", "a0", "b", "ab/d"]) await pieces(new Uint8Array(9)).pipeTo(writer.file(name));
    await writer.commit({ lastIncludedIndex: index, lastIncludedTerm: 1n, peers: [] });
  }
  const reader = await storage.open();
  for (const [i, loaded] of open().entries()) {
    await loaded.state.load(reader);
    assert.deepEqual(loaded.content, benches[i]!.content);
  }
});

test("keyed state: a list is shared with the views that saw it shorter", async () => {
  const bench = new Bench({ keys: stringKeys() });
  bench.list.add("a", "1");
  const first = bench.state.save()!;
  bench.list.add("a", "2");
  const second = bench.state.save()!;
  bench.list.set("a", bench.list.get("a").slice(0, 1));
  bench.list.add("a", "3");
  const lists: string[][] = [];
  for (const task of [first, second, bench.state.save()!]) {
    const storage = new MemoryStorage();
    await commit(task, storage, 1n);
    const loaded = new Bench({ keys: stringKeys() });
    await loaded.state.load(await storage.open());
    lists.push(loaded.list.get("a"));
  }
  assert.deepEqual(lists, [["1"], ["1", "2"], ["1", "3"]]);
});

test("keyed state: keys, ranges and states that cannot be", async () => {
  const state = new KeyedState({ keys: stringKeys(), range: { first: 0, last: 10 } });
  const value = state.value("value", utf8Codec());
  const [other] = [..."abcdefgh"].filter((key) => !state.owns(key));
  const error = await rejects(() => value.set(other!, ""), "MALFORMED");
  assert.equal(error.keyGroup, state.keyGroup(other!));
  await rejects(() => value.get(other!), "MALFORMED");
  await rejects(() => value.set("\ud800", ""), "MALFORMED");
  await rejects(() => state.value("value", utf8Codec()), "MALFORMED");
  for (
    const range of [{ first: 3, last: 2 }, { first: 0, last: 128 }, { first: -1, last: 1 }, { first: 0.5, last: 1 }]
  ) {
    await rejects(() => new KeyedState({ keys: stringKeys(), range }), "MALFORMED");
  }
  await rejects(() => new KeyedState({ keys: stringKeys(), maxParallelism: 40_000 }), "MALFORMED");
  await rejects(() => new KeyedState({ keys: stringKeys(), name: "../x" }), "MALFORMED");
  await rejects(() => new KeyedState({ keys: stringKeys(), incremental: { maxShare: -1 } }), "MALFORMED");
});
