// Checkpoints and savepoints that Flink wrote: versions 1.15 to 2.1, both layouts of keyed state, compressed and not.

import { KeyedState, keyGroupOf, keyGroupRange, stringKeys } from "../../mod.ts";
import { cborCodec } from "../../src/cbor.ts";
import { hashString } from "../../src/extend.ts";
import { detectFormat, type FormatEntry, listFormat, openFormat, type SourceFiles } from "../../src/formats.ts";
import { sourceFiles } from "../../src/fs.ts";
import { filesOf, fixture, FIXTURES, flipsThatPass, isFoundBad, verified } from "../support/format_files.ts";
import { assert, bytesOf, rejects, test } from "../support/harness.ts";

const JOB = "new-stateful-udf-migration-itcase-flink";
/** The same job, whose keys are `key-0` to `key-3`, saved in each of the ways that Flink has. */
const WAYS = [
  ...["1.20-heap", "1.20-canonical", "1.20-heap-snappy", "1.20-canonical-snappy", "2.1-heap", "2.1-canonical"],
  "1.20-rocksdb",
];

async function entriesOf(path: string): Promise<FormatEntry[]> {
  const reader = await openFormat(await sourceFiles(`${FIXTURES}/flink/${path}`));
  const entries = await Array.fromAsync(reader.entries());
  await reader.close();
  return entries;
}

/** The state without its operator. */
function stateOf({ space }: FormatEntry): string {
  return space.slice(space.indexOf("/") + 1);
}

test("formats, flink: checkpoints of 1.15 to 1.20: every key with its value, in the group that its hash gives", async () => {
  for (const [version, metadata, id] of [["1.15", 3, 1n], ["1.17", 4, 2n], ["1.20", 4, 2n]] as const) {
    const path = `${JOB}${version}-hashmap-checkpoint`;
    const files = await sourceFiles(`${FIXTURES}/flink/${path}`);
    assert.deepInclude(await detectFormat(files), { system: "flink", sure: "certain" });
    assert.deepEqual((await listFormat(files)).map(({ index }) => index), [id]);
    const reader = await openFormat(files);
    assert.deepInclude(reader.details, { version: metadata, checkpointId: id, missing: [] });
    assert.strictEqual(reader.meta.lastIncludedIndex, id);
    assert.lengthOf(reader.details.operators as unknown[], 8);
    const { ok, bad } = await reader.verify().result;
    assert.isTrue(ok, JSON.stringify(bad));
    for (const { name } of reader.manifest.files) {
      assert.lengthOf(await bytesOf(reader.file(name)), await reader.size(name));
    }
    const entries = await Array.fromAsync(reader.entries());
    const sources = entries.filter((entry) => stateOf(entry) === "source-state");
    assert.strictEqual(sources[0]!.value, "Here be dragons!");
    assert.lengthOf(sources, 8);
    const values = entries.filter((entry) => stateOf(entry) === "state-name");
    for (const { key, value } of values) assert.deepEqual(key, [value], "a Tuple1 of a Long");
    const timers = entries.filter((entry) => stateOf(entry) === "_timer_state/event_timer");
    for (const { value } of timers) assert.strictEqual(value, -(1n << 63n) + 10n);
    // The changelog backend, which wrote this one, has its values in a log of changes.
    assert.deepEqual([values.length, timers.length], version === "1.17" ? [0, 0] : [16, 8]);
    if (version === "1.17") {
      const { checked, unchecked } = await reader.verify().result;
      assert.isTrue(unchecked.some((line) => line.startsWith("the log of changes")));
      assert.isFalse(checked.some((line) => line.includes("state-name")));
      const { id, uid = id } = (reader.details.operators as { id: string; uid?: string; keyed?: string[] }[])
        .find(({ keyed }) => keyed?.includes("changelog"))!;
      await rejects(Array.fromAsync(reader.entries({ space: `${uid}/state-name` })), "UNSUPPORTED");
    }
    await reader.close();
  }
});

test("formats, flink: native and canonical, compressed and not, of 1.20 and 2.1, and RocksDB, all say the same", async () => {
  for (const way of WAYS) {
    assert.deepInclude(await verified(await sourceFiles(`${FIXTURES}/flink/${way}`)), { ok: true, bad: [] }, way);
    const states = new Map<string, FormatEntry[]>();
    for (const entry of await entriesOf(way)) {
      states.set(stateOf(entry), [...states.get(stateOf(entry)) ?? [], entry]);
    }
    const valueOf = (state: string, k: number) => states.get(state)!.find(({ key }) => key === `key-${k}`)!.value;
    assert.deepEqual(states.get("position")!.map(({ value }) => value), [4n], way);
    assert.deepEqual(states.get("union")!.map(({ value }) => value), ["a", "bé", "文"]);
    assert.deepEqual(
      new Map(states.get("rules")!.map(({ key, value }) => [key, value])),
      new Map([["r1", 1], ["r2", 2]]),
    );
    for (let k = 0; k < 4; k++) {
      assert.strictEqual(valueOf("count", k), BigInt(k * 10));
      assert.strictEqual(valueOf("sum", k), BigInt(k + 5));
      assert.strictEqual(valueOf("text", k), `text é文${k}`);
      assert.strictEqual(valueOf("flag", k), k % 2 === 0);
      assert.deepEqual(valueOf("list", k), k === 0 ? [0, 0] : [k, -k]);
      assert.deepEqual(valueOf("tuple", k), [`t${k}`, k]);
      assert.deepEqual(valueOf("t3", k), [BigInt(-k), true, "x"]);
      assert.deepEqual(valueOf("bytes", k), Uint8Array.of(1, 2, k));
      assert.deepEqual(valueOf("nested", k), new Map([["a", [1n, BigInt(k)]], ["b", []]]));
      assert.deepEqual({ ...valueOf("person", k) as object }, {
        ...{ name: k % 3 === 0 ? null : `p${k}`, age: k, id: k === 1 ? null : BigInt(k), score: k / 4, ok: true },
        ...{ raw: Uint8Array.of(9), inner: Object.assign(Object.create(null), { s: 7, f: 1.5, c: "z", b: -1 }) },
      });
      assert.strictEqual(valueOf("_timer_state/event_user-timers", k), BigInt(1000 + k));
      const fields = states.get("map")!.filter(({ key }) => key === `key-${k}`);
      assert.deepEqual(
        new Map(fields.map(({ field, value }) => [field, value])),
        new Map([[`m${k}`, k / 2], ["n", -1.5]]),
      );
      for (const { keyGroup } of fields) assert.strictEqual(keyGroup, keyGroupOf(hashString(`key-${k}`), 16));
    }
  }
});

/** Files of which it is said what was read. */
function watched(files: SourceFiles, read: [name: string, start: number, end: number][]): SourceFiles {
  return {
    ...{ name: files.name, isDirectory: files.isDirectory, entries: files.entries },
    async open(name) {
      const file = await files.open(name);
      return {
        size: file.size,
        read: (start, end) => (read.push([name, start, end]), file.read(start, end)),
        close: () => file.close(),
      };
    },
  };
}

test("formats, flink: of a range of key groups, its bytes alone are read", async () => {
  for (const way of ["1.20-heap", "1.20-canonical"]) {
    const read: [string, number, number][] = [];
    const reader = await openFormat(watched(await sourceFiles(`${FIXTURES}/flink/${way}`), read));
    const bytesOfRange = async (first: number, last: number, keys: string[]) => {
      read.length = 0;
      const entries = await Array.fromAsync(reader.entries({ keyGroups: { first, last } }));
      assert.deepEqual([...new Set(entries.map(({ key }) => key))], keys);
      return read.reduce((sum, [, start, end]) => sum + end - start, 0);
    };
    const whole = await bytesOfRange(0, 15, ["key-3", "key-1", "key-2", "key-0"]);
    const [first, rest] = [
      await bytesOfRange(0, 3, []),
      await bytesOfRange(4, 15, ["key-3", "key-1", "key-2", "key-0"]),
    ];
    const [middle, last] = [
      await bytesOfRange(4, 6, ["key-3", "key-1"]),
      await bytesOfRange(7, 15, ["key-2", "key-0"]),
    ];
    const head = first + rest - whole; // which each of them reads
    assert.isAbove(head, 0);
    assert.isAtLeast(first, head);
    assert.isAbove(middle, head);
    assert.strictEqual(middle + last - rest, head);
    await reader.close();
  }
});

test("formats, flink: of RocksDB too, only the key groups that are asked for, and one state", async () => {
  const reader = await openFormat(await sourceFiles(`${FIXTURES}/flink/1.20-rocksdb`));
  const [{ space } = { space: "" }] = (await Array.fromAsync(reader.entries())).filter((it) => stateOf(it) === "count");
  const keysOf = async (first: number, last: number) =>
    (await Array.fromAsync(reader.entries({ space, keyGroups: { first, last } }))).map(({ key }) => key);
  assert.deepEqual(await keysOf(0, 15), ["key-3", "key-1", "key-2", "key-0"]);
  assert.deepEqual(await keysOf(0, 3), []);
  assert.deepEqual(await keysOf(4, 6), ["key-3", "key-1"]);
  assert.deepEqual(await keysOf(5, 14), ["key-1", "key-2"]);
  assert.deepEqual(await keysOf(15, 15), ["key-0"]);
  await reader.close();
});

test("formats, flink: keyed state becomes our own, in the same key groups, worker by worker", async () => {
  for (const worker of [0, 1]) {
    const range = keyGroupRange(16, 2, worker);
    const state = new KeyedState({ keys: stringKeys(), maxParallelism: 16, range });
    const count = state.value("count", cborCodec<bigint>());
    const reader = await openFormat(await sourceFiles(`${FIXTURES}/flink/1.20-heap`));
    for await (const { space, key, value, keyGroup } of reader.entries({ keyGroups: range })) {
      if (!space.endsWith("/count")) continue;
      assert.strictEqual(state.keyGroup(key as string), keyGroup);
      count.set(key as string, value as bigint);
    }
    await reader.close();
    const mine = [0, 1, 2, 3].filter((k) => state.owns(`key-${k}`));
    assert.lengthOf(mine, 2);
    for (const k of mine) assert.strictEqual(count.get(`key-${k}`), BigInt(k * 10));
    assert.strictEqual(state.size, 2);
  }
});

test("formats, flink: a state of Kryo is passed over, and what can be read beside it is", async () => {
  for (const way of ["1.20-kryo", "1.20-kryo-canonical"]) {
    const { ok, unchecked, checked } = await verified(await sourceFiles(`${FIXTURES}/flink/${way}`));
    assert.isTrue(ok);
    assert.isTrue(unchecked.some((line) => line.includes("/kryo: serializers of it")), way);
    const states = new Set((await entriesOf(way)).map(stateOf));
    assert.isFalse(states.has("kryo"));
    // Where a state of the heap layout ends is not known: those behind it in a group cannot be found.
    if (way.endsWith("canonical")) assert.isTrue(checked.some((line) => line.endsWith("/person: 4 records")));
    if (way.endsWith("canonical")) assert.includeMembers([...states], ["count", "person", "map", "rules"]);
    assert.isTrue(states.has("position"));
  }
});

test("formats, flink: a value of a class that its head does not know is no damage; what is asked for by name is refused", async () => {
  // Of Flink 2.1, whose heap writes its head before it has met a subclass of what a state has.
  const reader = await openFormat(await sourceFiles(`${FIXTURES}/flink/2.1-subclasses`));
  const { ok, bad, checked, unchecked } = await reader.verify().result;
  assert.isTrue(ok, JSON.stringify(bad));
  assert.includeMembers([...checked], ["keyed/deep: 9 records", "keyed/base: 5 records"]);
  for (const state of ["base", "color"]) { // the one, and one that stands behind it
    assert.isTrue(unchecked.some((line) => line.startsWith(`keyed/${state}: serializers`)), state);
    await rejects(Array.fromAsync(reader.entries({ space: `keyed/${state}` })), "UNSUPPORTED");
  }
  const deep = await Array.fromAsync(reader.entries({ space: "keyed/deep" }));
  assert.lengthOf(deep, 9);
  assert.deepEqual(deep.find(({ keyGroup }) => keyGroup === 16)?.value, [[-7n, "\0😀"], [7, null]]);
  const all = await Array.fromAsync(reader.entries());
  assert.lengthOf(all, 79);
  await reader.close();
});

test("formats, flink: an incremental checkpoint of RocksDB: its files, shared ones too, and the blocks of its tables", async () => {
  const contents = fixture("flink/1.20-rocksdb") as Record<string, Uint8Array>;
  const [metadata] = Object.keys(contents).filter((name) => name.endsWith("/_metadata"));
  const files = filesOf(contents, "job");
  const reader = await openFormat(files);
  assert.sameMembers(reader.manifest.files.map(({ name }) => name), Object.keys(contents), "all that is there");
  assert.isTrue((await reader.verify().result).ok);
  const keyed = (reader.details.operators as { keyed?: string[] }[]).flatMap(({ keyed = [] }) => keyed);
  assert.deepEqual(keyed, ["incremental"]);
  await reader.close();
  for (const name of Object.keys(contents).filter((name) => name !== metadata)) {
    const { [name]: bytes, ...less } = contents;
    assert.isTrue(await isFoundBad(filesOf(less, "job")), `without ${name}`);
    assert.isTrue(await isFoundBad(filesOf({ ...less, [name]: bytes!.slice(0, -1) }, "job")), `${name}, cut`);
    const changed = bytes!.slice();
    const end = textOf(bytes!).lastIndexOf("\xf7\xcf\xf4\x85\xb7\x41\xe2\x88");
    if (end >= 0) changed[0]! ^= 1; // the first block of a table
    else if (/^(?!# )[^]*leveldb\.Bytewise/.test(textOf(bytes!))) changed[changed.length - 4]! ^= 1; // of a log
    else continue; // OPTIONS, CURRENT, and operator state, which have no checks
    assert.isTrue(await isFoundBad(filesOf({ ...less, [name]: changed }, "job")), `${name}, changed`);
    if (end < 0) continue;
    const index = bytes!.slice();
    index[index.length - 53 - 8]! ^= 1; // the block before the footer
    assert.isTrue(await isFoundBad(filesOf({ ...less, [name]: index }, "job")), `${name}, an index`);
  }
  const directory = metadata!.slice(0, -"_metadata".length);
  const alone = Object.entries(contents).filter(([name]) => name.startsWith(directory));
  const bare = Object.fromEntries(alone.map(([name, bytes]) => [name.slice(directory.length), bytes]));
  assert.isTrue(await isFoundBad(filesOf(bare, "chk-3")), "what it shares with others is not in it");
});

/** The files of a savepoint, by their names in it. */
function savepoint(way: string): Record<string, Uint8Array> {
  return fixture(`flink/${way}`) as Record<string, Uint8Array>;
}

function textOf(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

test("formats, flink: metadata is found at each length that it is cut to, but in the properties that are Java's", async () => {
  const contents = savepoint("2.1-heap");
  const metadata = contents["_metadata"]!;
  const properties = textOf(metadata).indexOf("\xac\xed\x00\x05");
  assert.isAbove(properties, 300);
  for (let length = 0; length < properties + 8; length++) {
    assert.isTrue(await isFoundBad(filesOf({ ...contents, _metadata: metadata.slice(0, length) }, "it")), `${length}`);
  }
});

test("formats, flink: a key that is in another group's place is found, and what follows the metadata", async () => {
  const contents = savepoint("1.20-heap");
  const [name, bytes] = Object.entries(contents).find(([, bytes]) => textOf(bytes).includes("\x06key-3"))!;
  const changed = bytes.slice();
  changed[textOf(bytes).indexOf("\x06key-3") + 5] = "7".charCodeAt(0);
  const reader = await openFormat(filesOf({ ...contents, [name]: changed }, "savepoint"));
  const { bad } = await reader.verify().result;
  assert.match(bad[0]!.message, /a key of the group \d+ is in the group 4/);
  await reader.close();
  const old = savepoint(`${JOB}1.15-hashmap-checkpoint`);
  const longer = Uint8Array.of(...old["_metadata"]!, 0);
  assert.isTrue(await isFoundBad(filesOf({ ...old, _metadata: longer }, "chk-1")));
});

test("formats, flink: a state file that is cut short is found", async () => {
  for (const way of ["1.20-heap", "1.20-canonical"]) {
    const contents = savepoint(way);
    for (const [name, bytes] of Object.entries(contents)) {
      if (name === "_metadata") continue;
      for (let length = 0; length < bytes.length; length += 97) {
        assert.isTrue(await isFoundBad(filesOf({ ...contents, [name]: bytes.slice(0, length) }, way)), `${length}`);
      }
    }
  }
});

test("formats, flink: each changed byte of what is compressed is found", async () => {
  const contents = savepoint("1.20-heap-snappy");
  const [name] = Object.entries(contents).sort(([, a], [, b]) => b.length - a.length)[0]!;
  const head = textOf(contents[name]!).indexOf("sNaPpY") - 8; // the number of the first group, and of a stream
  assert.isAbove(head, 1000);
  const passed = await flipsThatPass(contents, name, "savepoint", 29);
  assert.deepEqual(passed.filter((at) => at >= head), []);
});
