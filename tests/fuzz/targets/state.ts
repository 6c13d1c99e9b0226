// Files of keyed state that are right by their digests and wrong inside: a base and deltas upon it.

import { fromBinary } from "@bufbuild/protobuf";
import {
  bytesCodec,
  jsonCodec,
  KeyedState,
  type KeyGroupRange,
  MemoryStorage,
  type SnapshotReader,
  type SnapshotWriter,
  stringKeys,
  utf8Codec,
} from "../../../mod.ts";
import { cborCodec } from "../../../src/cbor.ts";
import { StateHeadSchema } from "../../gen/state_head_pb.ts";
import { equal } from "../../../src/stream/mod.ts";
import type { Random } from "../../support/random.ts";
import { mutate, someBytes, someNumber } from "../mutate.ts";
import { encodeFields, mutateFields, setField, treeOf } from "../protobuf.ts";
import { law, must, type Target } from "../target.ts";
import { contentOf } from "./content.ts";
import { META } from "./samples.ts";
import {
  assemble,
  type EncodedFile,
  encodeGroup,
  entriesOf,
  frameHead,
  GROUPS,
  type Kind,
  readGroups,
  type StateFile,
} from "./state_file.ts";

/** The states of a head, by their field. */
const HEAD = { 5: {} };
const FRAME = 9;

/** A state of every kind. */
function newState(range: KeyGroupRange = { first: 0, last: GROUPS - 1 }) {
  const state = new KeyedState({ keys: stringKeys(), maxParallelism: GROUPS, range, incremental: { maxShare: 100 } });
  const text = state.value("text", utf8Codec());
  const list = state.list("list", jsonCodec<unknown>());
  const map = state.map("map", stringKeys(), cborCodec<unknown>());
  const bytes = state.value("bytes", bytesCodec());
  return { state, text, list, map, bytes };
}

/** Which states are compared value by value: what JSON and CBOR hold has more than one encoding. */
const PLAIN = /^\d\/(text|bytes)\//;

async function save(state: KeyedState<string>, storage: MemoryStorage, index: bigint): Promise<SnapshotReader> {
  const writer = await storage.create();
  const task = state.save()!;
  await task.write(writer, new AbortController().signal);
  task.committed?.(await writer.commit({ ...META, lastIncludedIndex: index }));
  task.release();
  return await storage.open();
}

/** The files of a snapshot of keyed state. */
async function filesOf(reader: SnapshotReader): Promise<EncodedFile[]> {
  const files: EncodedFile[] = [];
  for (const { name, keyGroups } of reader.manifest.files) {
    files.push({ bytes: await contentOf(reader, name), keyGroups: keyGroups! });
  }
  await reader.close();
  return files;
}

function treeOfFile(file: EncodedFile): StateFile {
  return { head: file.bytes.slice(FRAME, file.keyGroups.offsets[0]), groups: readGroups(file) };
}

/** A base and two deltas. */
async function sample(): Promise<StateFile[]> {
  const { state, text, list, map, bytes } = newState();
  const storage = new MemoryStorage({ retain: 9 });
  for (const key of ["", "a", "b", "c", "d", "ключ", "x".repeat(70)]) {
    text.set(key, key.repeat(2));
    list.add(key, 1, "two", { three: [3] });
    map.set(key, "inner", { n: 2n ** 70n, f: 1.5 });
    map.set(key, "", [undefined, null, new Uint8Array(3)]);
    bytes.set(key, Uint8Array.of(1, 2, 3));
  }
  await (await save(state, storage, 1n)).close();
  for (const key of ["a", "d"]) text.set(key, "changed");
  text.delete("b");
  map.clear("c");
  await (await save(state, storage, 2n)).close();
  for (const key of ["a", "new"]) list.set(key, [key]);
  for (const key of ["", "a", "d", "new"]) bytes.delete(key);
  return (await filesOf(await save(state, storage, 3n))).map(treeOfFile);
}

/** One of some, wherever it is. */
function somewhere<T>(random: Random, list: T[], others: readonly T[], change: (item: T) => void): void {
  const at = random.below(list.length);
  const what = random.below(10);
  if (list.length === 0 || what === 0) list.splice(at, 0, structuredClone(random.pick(others)));
  else if (what === 1) list.splice(at, 1);
  else if (what === 2) list.splice(random.below(list.length), 0, structuredClone(list[at]!));
  else if (what === 3) [list[0], list[at]] = [list[at]!, list[0]!];
  else change(list[at]!);
}

function mutateFile(file: StateFile, random: Random, others: readonly StateFile[]): void {
  const groups = others.flatMap(({ groups }) => groups);
  const sections = groups.flatMap(({ sections }) => sections);
  const entries = sections.flatMap(({ entries }) => entries);
  const small = (near: number) => random.chance(0.9) ? Math.max(near + random.below(5) - 2, 0) : random.below(2 ** 31);
  somewhere(random, file.groups, groups, (group) => {
    if (random.chance(0.1)) group.number = small(group.number);
    else {somewhere(random, group.sections, sections, (section) => {
        const what = random.below(10);
        if (what === 0) section.state = small(section.state);
        else if (what === 1) section.mode = random.pick([0, 1, 2, 255]);
        else if (what === 2) section.count = small(section.count);
        else {
          const before = section.entries.length;
          somewhere(random, section.entries, entries, (entry) => {
            if (random.chance(0.5)) {
              entry.key = random.chance(0.5) ? random.pick(entries).key : mutate(entry.key, random);
            } else if (random.chance(0.2)) entry.value = entry.value === undefined ? someBytes(random, 9) : undefined;
            else entry.value = mutate(entry.value ?? random.pick(entries).key, random);
          });
          if (random.chance(0.9)) section.count += section.entries.length - before; // as a right file has it
        }
      });}
  });
}

/** A file as bytes, with heads and tables that may be wrong, too. */
function encode(file: StateFile, random: Random, isHostile: boolean): EncodedFile {
  const fields = isHostile && random.chance(0.15) ? treeOf(file.head, HEAD) : undefined;
  if (fields !== undefined) mutateFields(fields, random);
  const framed = frameHead(fields === undefined ? file.head : encodeFields(fields));
  const head = isHostile && random.chance(0.03) ? mutate(framed, random) : framed;
  const raw = isHostile && random.chance(0.3) ? random.below(file.groups.length) : -1;
  const encoded = assemble(
    head,
    file.groups.map((group, i) => {
      const bytes = encodeGroup(group);
      return { number: group.number, bytes: i === raw ? mutate(bytes, random) : bytes };
    }),
  );
  if (isHostile && random.chance(0.1)) {
    const { offsets } = encoded.keyGroups;
    const at = random.below(GROUPS);
    const near = [offsets[at]! + 1, offsets[at]! - 1, offsets[at + 1] ?? encoded.bytes.length, offsets[at - 1] ?? 0];
    offsets[at] = random.chance(0.8) ? random.pick(near) : Number(someNumber(random, BigInt(encoded.bytes.length)));
  }
  return encoded;
}

/** Writes a file into a snapshot, cut where its groups begin. */
async function put(writer: SnapshotWriter, name: string, { bytes, keyGroups }: EncodedFile): Promise<Uint8Array> {
  const inside = [...keyGroups.offsets, bytes.length].filter((it) => it > 0 && it <= bytes.length);
  const ends = [...new Set(inside)].sort((a, b) => a - b);
  const chunks = ends.map((end, i) => bytes.slice(ends[i - 1] ?? 0, end));
  await ReadableStream.from(chunks).pipeTo(writer.file(name, { chunkSize: "pieces", keyGroups: () => keyGroups }));
  return writer.info(name).chunks!.root;
}

function headOf({ bytes, keyGroups }: EncodedFile): Uint8Array {
  return bytes.subarray(FRAME, keyGroups.offsets[0]);
}

/** The states that a head names, as protobuf has them. */
function statesOf(file: EncodedFile): Kind[] {
  return fromBinary(StateHeadSchema, headOf(file)).states.map(({ name }) => ({ name, isMap: name === "map" }));
}

export const state: Target = {
  name: "state",
  share: 25,
  codes: ["MALFORMED", "UNSUPPORTED", "CORRUPT"],
  async prepare() {
    const corpus = await sample();
    return async (random) => {
      const chain = structuredClone(corpus.slice(0, random.pick([1, 1, 2, 3])));
      const hit = random.below(chain.length);
      for (let times = random.pick([0, 1, 1, 1, 2]); times > 0; times--) mutateFile(chain[hit]!, random, corpus);
      const storage = new MemoryStorage();
      const writer = await storage.create();
      const files: EncodedFile[] = [];
      const roots: Uint8Array[] = [];
      for (const [i, file] of chain.entries()) {
        const head = treeOf(file.head, HEAD)!;
        if (random.chance(0.98)) setField(head, 6, roots.at(-1));
        file.head = encodeFields(head);
        files.push(encode(file, random, i === hit));
        roots.push(await put(writer, `state/000${i}`, files.at(-1)!));
      }
      await writer.commit(META);
      const first = random.chance(0.7) ? 0 : random.below(GROUPS);
      const last = first + (random.chance(0.7) ? GROUPS - 1 - first : random.below(GROUPS - first));
      const here = newState({ first, last });
      const own = ["a", "b", "c", "d", "e", "f", "g", "h"].find((key) => here.state.owns(key));
      if (own !== undefined) here.text.set(own, "before");
      const before = here.state.size;
      const reader = await storage.open();
      try {
        await here.state.load(reader);
      } catch (error) {
        law(here.state.size === before, "what cannot be loaded changes nothing");
        law(own === undefined || here.text.get(own) === "before", "what cannot be loaded leaves what was there");
        throw error;
      } finally {
        await reader.close();
      }
      files.forEach((file, i) => {
        const { buildsUpon } = fromBinary(StateHeadSchema, headOf(file));
        law(equal(buildsUpon, roots[i - 1] ?? new Uint8Array(0)), "a delta builds upon the file before it");
      });
      const wanted = entriesOf(
        files.map((file) => ({ groups: readGroups(file, first, last), states: statesOf(file) })),
      );
      const again = await must("it was loaded and is saved", () => save(here.state, storage, 9n));
      const saved = await filesOf(again);
      law(saved.length === 1 || saved.length === files.length, "it builds upon what was loaded, or on nothing");
      const there = newState({ first, last });
      await must("it was saved and is loaded", async () => await there.state.load(await storage.open()));
      law(there.state.size === here.state.size, "it is as large when it is loaded again");
      law(here.state.size === wanted.size, `it has ${here.state.size} entries, and the files ${wanted.size}`);
      for (const { text: values, bytes: raws } of [here, there]) {
        const plain = [...wanted].filter(([key]) => PLAIN.test(key)).map(([, value]) => value);
        const encoder = new TextEncoder();
        const got = [...values.entries()].map(([, text]) => encoder.encode(text).join());
        got.push(...[...raws.entries()].map(([, value]) => value.join()));
        law(got.sort().join("|") === plain.sort().join("|"), "the values are those of the files");
      }
    };
  },
};
