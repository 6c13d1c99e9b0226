import fc from "fast-check";
import {
  bytesCodec,
  jsonCodec,
  keyGroupRange,
  KeyValueMachine,
  MemoryLog,
  MemoryStorage,
  type ReadOptions,
  Replica,
  snapshotHandler,
  type SnapshotReader,
  utf8Codec,
} from "../../mod.ts";
import { concat } from "../../src/stream/mod.ts";
import { assert, bytesOf, rejects, test } from "../support/harness.ts";
import { overriding } from "../support/overriding.ts";
import { runs } from "../support/random.ts";
import { byGroups, commit, holding, saved } from "../support/states.ts";

let index = 0n;
function apply(machine: KeyValueMachine<never> | KeyValueMachine<string>, data: Uint8Array): void {
  machine.apply({ index: ++index, term: 1n, data });
}

test("commands do to the machine what they say, and a save holds the same, in the same order", async () => {
  const key = fc.oneof(fc.constantFrom("", "a", "b", "\u0000", "\ufeff", "😀"), fc.string({ unit: "grapheme" }));
  const command = fc.record({ key, value: fc.option(fc.jsonValue(), { nil: undefined }) });
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 30 }), async (commands) => {
      const machine = new KeyValueMachine(jsonCodec<unknown>());
      const model = new Map<string, unknown>();
      for (const { key, value } of commands) {
        apply(machine as KeyValueMachine<never>, value === undefined ? machine.delete(key) : machine.put(key, value));
        if (value === undefined) model.delete(key);
        else model.set(key, JSON.parse(JSON.stringify(value)));
      }
      assert.deepEqual([...machine.entries()], byGroups(model));
      const task = machine.save();
      if (task === undefined) return assert.equal(model.size, 0, "it never held anything");
      task.release();
      const loaded = new KeyValueMachine(jsonCodec<unknown>());
      await loaded.load(await saved(machine));
      assert.deepEqual([...loaded.entries()], byGroups(model));
    }),
    { numRuns: runs(100) },
  );
});

test("a save is of the moment it was begun", async () => {
  const machine = new KeyValueMachine(utf8Codec());
  apply(machine, machine.put("a", "1"));
  const before = await bytesOf((await saved(machine)).file("state/0000"));
  const task = machine.save()!;
  apply(machine, machine.put("a", "2"));
  apply(machine, machine.put("b", "2"));
  const storage = new MemoryStorage();
  await commit(task, storage, 1n);
  assert.deepEqual(await bytesOf((await storage.open()).file("state/0000")), before);
  await storage.close();
});

test("commands have the same bytes, however their codec writes values, and whatever it does meanwhile", async () => {
  const codec = jsonCodec<unknown>();
  const { encodeInto: _, ...slow } = codec;
  const other = new KeyValueMachine(codec);
  const busy = new KeyValueMachine<unknown>({
    ...codec,
    encodeInto(value, target, at) {
      other.put("x".repeat(100), "of another command"); // in the room of this one, if that were shared
      return codec.encodeInto!(value, target, at);
    },
  });
  const quick = new KeyValueMachine(codec);
  const model = new KeyValueMachine<unknown>(slow);
  const lengths = fc.constantFrom(0, 1, 42, 126, 127, 128, 300, 65_500, 70_000);
  const letters = fc.constantFrom("k", "é", "€", "😀");
  await fc.assert(
    fc.asyncProperty(lengths, letters, lengths, letters, async (keyLength, keyLetter, length, letter) => {
      const [key, value] = [keyLetter.repeat(keyLength), letter.repeat(length)];
      for (const machine of [quick, busy]) {
        assert.deepEqual(machine.put(key, value), model.put(key, value));
        assert.deepEqual(machine.delete(key), model.delete(key));
      }
      const data = quick.put(key, value);
      quick.apply({ index: ++index, term: 1n, data });
      assert.equal(quick.get(key), value);
    }),
  );
});

test("what was validated is applied without being decoded again; what is of other bytes or machines is not", () => {
  const codec = utf8Codec();
  let decoded = 0;
  const counting = () =>
    new KeyValueMachine({
      ...codec,
      decode(bytes) {
        decoded++;
        return codec.decode(bytes);
      },
    });
  const [machine, other] = [counting(), counting()];
  const [one, two] = [machine.put("a", "1"), machine.put("a", "2")];
  const validated = machine.validate(one);
  assert.equal(decoded, 1);
  machine.apply({ index: 1n, term: 1n, data: one }, validated);
  assert.deepEqual([machine.get("a"), decoded], ["1", 1]);
  machine.apply({ index: 2n, term: 1n, data: two }, validated);
  assert.deepEqual([machine.get("a"), decoded], ["2", 2]);
  other.apply({ index: 1n, term: 1n, data: one }, validated);
  assert.deepEqual([other.get("a"), decoded], ["1", 3]);
  machine.apply({ index: 3n, term: 1n, data: one }, { data: one, by: machine, key: "a", put: { value: "3" } });
  assert.deepEqual([machine.get("a"), decoded], ["1", 4]);
});

test("a key of a megabyte, of letters that take three bytes", async () => {
  const machine = new KeyValueMachine(utf8Codec());
  const key = "€".repeat(400_000);
  apply(machine, machine.put(key, "value"));
  const loaded = new KeyValueMachine(utf8Codec());
  await loaded.load(await saved(machine));
  assert.equal(loaded.get(key), "value");
});

test("half of a surrogate pair is refused", async () => {
  const machine = new KeyValueMachine(utf8Codec());
  await rejects(() => machine.put("\ud83d", ""), "MALFORMED");
  await rejects(() => machine.delete("a\ude00"), "MALFORMED");
  await rejects(() => machine.put("a", "\ud83d"), "MALFORMED");
});

test("what is no command is MALFORMED, and changes nothing", async () => {
  const machine = new KeyValueMachine(utf8Codec());
  apply(machine, machine.put("a", "1"));
  const put = machine.put("key", "value");
  const header = put.slice(0, 8); // format, length of the name, "utf-8", version
  const command = (...bytes: number[]) => concat([header, Uint8Array.from(bytes)]);
  const wrong: [string, Uint8Array][] = [
    ["nothing", new Uint8Array(0)],
    ["half a header", put.slice(0, 5)],
    ["JSON", new TextEncoder().encode(`{"key":"value"}`)],
    ["a name that is not UTF-8", concat([Uint8Array.of(1, 1, 0xff), put.slice(7)])],
    ["a length of a name that is longer than it has to be", concat([Uint8Array.of(1, 0x85, 0), put.slice(2)])],
    ["a version beyond all", concat([put.slice(0, 7), Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x10), put.slice(8)])],
    ["no operation", header],
    ["operation 0", command(0, 1, 97)],
    ["no length", command(1)],
    ["half a key", put.slice(0, 11)],
    ["a length beyond the end", command(1, 0xff, 0xff, 0xff, 0xff, 0x0f, 97)],
    ["a length that is longer than it has to be", command(2, 0x81, 0, 97)],
    ["a key that is not UTF-8", command(1, 1, 0xff)],
    ["half of a surrogate pair", command(1, 3, 0xed, 0xa0, 0x80)],
    ["a value that is not UTF-8", concat([machine.put("key", ""), Uint8Array.of(0xff)])],
    ["something behind a deletion", concat([machine.delete("a"), Uint8Array.of(0)])],
  ];
  for (const [what, data] of wrong) {
    try {
      await rejects(() => machine.validate(data), "MALFORMED");
      await rejects(() => apply(machine, data), "MALFORMED");
    } catch (error) {
      throw new Error(what, { cause: error });
    }
  }
  for (const data of [command(3, 1, 97), concat([Uint8Array.of(2), put.slice(1)])]) {
    await rejects(() => machine.validate(data), "UNSUPPORTED"); // an operation, and a format, of a later release
  }
  assert.deepEqual([...machine.entries()], [["a", "1"]]);
});

test("a command may lie anywhere in a larger buffer", () => {
  const machine = new KeyValueMachine(bytesCodec());
  const command = machine.put("key", Uint8Array.of(7));
  const buffer = concat([new Uint8Array(11), command, new Uint8Array(5)]);
  machine.apply({ index: 1n, term: 1n, data: buffer.subarray(11, 11 + command.length) });
  buffer.fill(0);
  assert.deepEqual(machine.get("key"), Uint8Array.of(7));
});

test("a load that fails leaves the old state, wherever the file ends", async () => {
  const source = new KeyValueMachine(utf8Codec());
  for (let i = 0; i < 10; i++) apply(source, source.put(`key ${i}`, "value"));
  const right = await saved(source);
  const { keyGroups } = right.info("state/0000");
  const bytes = await bytesOf(right.file("state/0000"));
  const machine = new KeyValueMachine(utf8Codec());
  apply(machine, machine.put("old", "state"));
  const view = machine.save()!;
  const cut = (length: number) => {
    const offsets = keyGroups!.offsets.map((offset) => Math.min(offset, length));
    return holding({ "state/0000": { bytes: bytes.slice(0, length), keyGroups: { ...keyGroups!, offsets } } });
  };
  for (let length = 1; length < bytes.length; length += 3) {
    // Between two key groups nobody can tell, but by the digests.
    if (!keyGroups!.offsets.includes(length)) await rejects(machine.load(await cut(length)), "MALFORMED");
  }
  await rejects(
    machine.load(await holding({ "state/0000": { bytes: concat([bytes, Uint8Array.of(0)]), keyGroups: keyGroups! } })),
    "MALFORMED",
  );
  const other = new KeyValueMachine(bytesCodec());
  other.apply({ index: 1n, term: 1n, data: other.put("a", new Uint8Array(1)) });
  await rejects(machine.load(await saved(other)), "UNSUPPORTED");
  assert.deepEqual([...machine.entries()], [["old", "state"]]);
  await machine.load(right);
  assert.equal(machine.size, 10);
  assert.isFalse(machine.has("old"));
  view.release(); // of the state before: harmless
});

test("a command of a key that is another worker's is refused before it is in a log", async () => {
  const machine = new KeyValueMachine(utf8Codec(), { range: keyGroupRange(128, 2, 0) });
  const mine = [..."abcdefghijklmnop"].find((key) => byGroups([[key, 0]]).length === 1 && canPut(machine, key))!;
  apply(machine, machine.put(mine, "here"));
  const others = [..."abcdefghijklmnop"].filter((key) => !canPut(machine, key));
  assert.isAbove(others.length, 2);
  for (const key of others) await rejects(() => machine.validate(machine.put(key, "there")), "MALFORMED");
  assert.deepEqual([...machine.entries()], [[mine, "here"]]);
});

function canPut(machine: KeyValueMachine<string>, key: string): boolean {
  try {
    machine.validate(machine.put(key, ""));
    return true;
  } catch {
    return false;
  }
}

/** A machine that counts how often a file of a snapshot is read, and may know nothing of what a check keeps. */
class Counted extends KeyValueMachine<string> {
  reads = 0;
  readonly passes: boolean;

  constructor(passes: boolean) {
    super(utf8Codec());
    this.passes = passes;
  }

  override check(reader: SnapshotReader, keep?: boolean): Promise<(() => void) | undefined> {
    return this.passes ? super.check(this.#counted(reader), keep) : super.check(this.#counted(reader));
  }

  override load(reader: SnapshotReader, kept?: unknown): Promise<void> {
    return this.passes && kept !== undefined
      ? super.load(reader, kept as () => void)
      : super.load(this.#counted(reader));
  }

  #counted(reader: SnapshotReader): SnapshotReader {
    return overriding(reader, {
      file: (name: string, options?: ReadOptions) => {
        this.reads++;
        return reader.file(name, options);
      },
    });
  }
}

for (const passes of [true, false]) {
  test(`a snapshot that is installed is read ${passes ? "once" : "twice, by a machine that keeps nothing"}`, async () => {
    const leader = await Replica.open({
      machine: new KeyValueMachine(utf8Codec()),
      log: new MemoryLog(),
      storage: new MemoryStorage(),
    });
    for (let i = 0; i < 100; i++) await leader.propose(leader.machine.put(`key ${i}`, `value ${i}`));
    await leader.snapshot();
    const handler = snapshotHandler(leader.storage);
    const machine = new Counted(passes);
    const replica = await Replica.open({ machine, log: new MemoryLog(), storage: new MemoryStorage() });
    await replica.propose(machine.put("old", "gone"));
    await replica.install([{ url: "http://leader.example", fetch: handler }]);
    const { reads } = machine;
    await machine.load(await replica.storage.open());
    assert.equal(reads, (passes ? 1 : 2) * (machine.reads - reads));
    assert.deepEqual([...machine.entries()], [...leader.machine.entries()]);
    assert.equal(replica.status().appliedIndex, 100n);
    await replica.propose(machine.put("new", "kept"));
    assert.equal(machine.get("new"), "kept");
    await replica.close();
    await leader.close();
    await handler.close();
  });
}

test("a check with `true` after the snapshots keeps their entries, beside the state, until a load takes them", async () => {
  const machine = new KeyValueMachine(utf8Codec());
  apply(machine, machine.put("a", "1"));
  const reader = await saved(machine);
  apply(machine, machine.put("a", "2"));
  const kept = (await machine.check(reader, true))!;
  assert.equal(machine.get("a"), "2");
  assert.isUndefined(await machine.check(reader));
  assert.isUndefined(await machine.check(reader, false));
  await machine.load(reader, kept);
  assert.equal(machine.get("a"), "1");
  apply(machine, machine.put("a", "3"));
  await rejects(machine.load(reader, kept), "MALFORMED"); // it is the state, and not that of the snapshot any more
  assert.equal(machine.get("a"), "3");
  const other = new KeyValueMachine(utf8Codec());
  await rejects(other.load(reader, kept), "MALFORMED"); // it would have replaced the entries of the first
  await rejects(machine.load(reader, () => {}), "MALFORMED");
  await rejects(machine.check(true), "MALFORMED");
  await rejects(machine.check(reader, "yes" as never), "MALFORMED");
});
