import fc from "fast-check";
import { bytesCodec, jsonCodec, KeyValueMachine, MemoryStorage, type SnapshotReader, utf8Codec } from "../../mod.ts";
import { concat, u32 } from "../../src/stream/mod.ts";
import { assert, bytesOf, pieces, rejects, test } from "../harness.ts";

let index = 0n;
function apply(machine: KeyValueMachine<never> | KeyValueMachine<string>, data: Uint8Array): void {
  machine.apply({ index: ++index, term: 1n, data });
}

/** The file of a snapshot, as the machine writes it. */
async function saved<V>(machine: KeyValueMachine<V>): Promise<Uint8Array> {
  const storage = new MemoryStorage();
  const writer = await storage.create();
  const task = machine.save();
  await task.write(writer, new AbortController().signal);
  task.release();
  await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
  const reader = await storage.open();
  const bytes = await bytesOf(reader.file("state"));
  await storage.close();
  return bytes;
}

function reader(bytes: Uint8Array, length?: number): SnapshotReader {
  return { file: () => pieces(bytes, length) } as Partial<SnapshotReader> as SnapshotReader;
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
      assert.deepEqual([...machine.entries()], [...model]);
      const loaded = new KeyValueMachine(jsonCodec<unknown>());
      await loaded.load(reader(await saved(machine)));
      assert.deepEqual([...loaded.entries()], [...model]);
    }),
    { numRuns: 100 },
  );
});

test("a save is of the moment it was begun", async () => {
  const machine = new KeyValueMachine(utf8Codec());
  apply(machine, machine.put("a", "1"));
  const before = await saved(machine);
  const task = machine.save();
  apply(machine, machine.put("a", "2"));
  apply(machine, machine.put("b", "2"));
  const storage = new MemoryStorage();
  const writer = await storage.create();
  await task.write(writer, new AbortController().signal);
  task.release();
  await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] });
  const opened = await storage.open();
  assert.deepEqual(await bytesOf(opened.file("state")), before);
  await storage.close();
});

test("a key of a megabyte, of letters that take three bytes", async () => {
  const machine = new KeyValueMachine(utf8Codec());
  const key = "€".repeat(400_000);
  apply(machine, machine.put(key, "value"));
  const loaded = new KeyValueMachine(utf8Codec());
  await loaded.load(reader(await saved(machine), 1000));
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
  const wrong: [string, Uint8Array][] = [
    ["nothing", new Uint8Array(0)],
    ["no length", put.slice(0, 4)],
    ["half a key", put.slice(0, 7)],
    ["another operation", concat([Uint8Array.of(3), put.slice(1)])],
    ["a length beyond the end", concat([Uint8Array.of(1), u32(2 ** 32 - 1), put.slice(5)])],
    ["a key that is not UTF-8", concat([Uint8Array.of(1), u32(1), Uint8Array.of(0xff)])],
    ["half of a surrogate pair", concat([Uint8Array.of(1), u32(3), Uint8Array.of(0xed, 0xa0, 0x80)])],
    ["a value that is not UTF-8", concat([machine.put("key", ""), Uint8Array.of(0xff)])],
    ["something behind a deletion", concat([machine.delete("a"), Uint8Array.of(0)])],
  ];
  for (const [what, data] of wrong) {
    try {
      await rejects(() => apply(machine, data), "MALFORMED");
    } catch (error) {
      throw new Error(what, { cause: error });
    }
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

test("a load that fails leaves the old state, also at the last byte", async () => {
  const source = new KeyValueMachine(utf8Codec());
  for (let i = 0; i < 10; i++) apply(source, source.put(`key ${i}`, "value"));
  const bytes = await saved(source);
  const machine = new KeyValueMachine(utf8Codec());
  apply(machine, machine.put("old", "state"));
  const view = machine.save();
  for (let length = 0; length < bytes.length; length += 7) {
    await rejects(machine.load(reader(bytes.slice(0, length), 5)), "CORRUPT");
  }
  await rejects(machine.load(reader(bytes.slice(0, -1))), "CORRUPT");
  await rejects(machine.load(reader(concat([bytes, Uint8Array.of(0)]))), "MALFORMED");
  await rejects(machine.load(reader(await saved(new KeyValueMachine(bytesCodec())))), "UNSUPPORTED");
  assert.deepEqual([...machine.entries()], [["old", "state"]]);
  await machine.load(reader(bytes));
  assert.equal(machine.size, 10);
  assert.isFalse(machine.has("old"));
  view.release(); // of the state before: harmless
});
