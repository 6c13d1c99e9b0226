/**
 * The `.snap` files of etcd's raft: the members, and the store of version 2.
 *
 * ```text
 * TERM-INDEX.snap (16 hexadecimal digits each) = snappb.Snapshot { 1: CRC-32C of data, 2: data }
 * data = raftpb.Snapshot { 1: state, 2: { 1: { 1: voters, 2: learners … }, 2: index, 3: term } }
 * ```
 *
 * @module
 */

import { hasCode, SnapshotError } from "../../errors.ts";
import { crc32c } from "../bytes/crc.ts";
import { Cursor, protobufFields } from "../bytes/cursor.ts";
import { readBlocks, readExactly, type SourceFile, type SourceFiles, withFile } from "../files.ts";
import type { Format, FormatSnapshot } from "../format.ts";
import { chosen, ForeignReader, ofOnePlace, type RunningCheck } from "../reader.ts";

/** The name of the state in the snapshot. */
export const STATE = "state";
const NAME = /^[0-9a-f]{16}-[0-9a-f]{16}\.snap$/;
/** The bytes before the state: two tags, a check and two lengths. */
const HEAD = 32;
/** The most bytes of what follows the state: the numbers of the members. */
const MAX_METADATA = 1024 * 1024;
/** The most files of a directory that are looked at; etcd keeps five. */
const MAX_FILES = 1000;

/** A `.snap` file, laid out. */
interface Layout {
  readonly crc: bigint;
  /** The bytes before the state that the CRC is over. */
  readonly before: Uint8Array;
  readonly start: number;
  readonly end: number;
  /** The bytes behind the state. */
  readonly after: Uint8Array;
  readonly index: bigint;
  readonly term: bigint;
  readonly voters: readonly bigint[];
  readonly learners: readonly bigint[];
}

async function layOut(file: SourceFile, name: string): Promise<Layout> {
  const head = await file.read(0, Math.min(HEAD, file.size));
  const cursor = new Cursor(head, name);
  if (cursor.u8() !== 0x08) throw cursor.malformed("it has no CRC");
  const crc = cursor.varint();
  if (cursor.u8() !== 0x12) throw cursor.malformed("it has no data");
  const length = Number(cursor.varint());
  if (cursor.at + length !== file.size) throw cursor.malformed(`its data has ${length} bytes, not all that follow`);
  const data = cursor.at;
  if (cursor.u8() !== 0x0a) throw cursor.malformed("it has no state");
  const size = Number(cursor.varint());
  const start = cursor.at;
  const end = start + size;
  if (end > file.size || file.size - end > MAX_METADATA) throw cursor.malformed(`its state cannot have ${size} bytes`);
  const after = await readExactly(file, end, file.size, name);
  return { crc, before: head.slice(data, start), start, end, after, ...metadataOf(after, name) };
}

function metadataOf(bytes: Uint8Array, name: string) {
  let [index, term] = [0n, 0n];
  const [voters, learners]: [bigint[], bigint[]] = [[], []];
  for (const snapshot of protobufFields(bytes, name)) {
    if (snapshot.number !== 2) continue;
    for (const { number, value, bytes } of protobufFields(snapshot.bytes, name)) {
      if (number === 2) index = value;
      if (number === 3) term = value;
      if (number !== 1) continue;
      for (const { number, value } of protobufFields(bytes, name)) {
        if (number === 1) voters.push(value);
        if (number === 2) learners.push(value);
      }
    }
  }
  return { index, term, voters, learners };
}

function crcOf({ crc, before, after }: Layout, file: string): RunningCheck {
  const running = crc32c();
  running.update(before);
  return {
    update: (bytes) => running.update(bytes),
    end() {
      running.update(after);
      if (running.value === crc) return;
      throw new SnapshotError(
        "CORRUPT",
        `${JSON.stringify(file)} does not have its CRC-32C: it was changed or damaged`,
        {
          file,
          expected: crc,
          actual: running.value,
        },
      );
    },
  };
}

/** The `.snap` files of a directory, newest first, as their names say; or the file that was given. */
function namesOf({ isDirectory, entries }: SourceFiles): string[] {
  const names = entries.map(({ name }) => name);
  if (!isDirectory) return names;
  const last = (name: string) => name.split("/").at(-1)!;
  return names.filter((name) => NAME.test(last(name))).sort((a, b) => last(a) < last(b) ? 1 : -1).slice(0, MAX_FILES);
}

const layoutOf = (files: SourceFiles, name: string) => withFile(files, name, (file) => layOut(file, name));

interface Found extends FormatSnapshot {
  readonly layout: Layout;
}

/** Those that can be read, as etcd passes over a file that it cannot; the error of the first if there is none. */
async function list(files: SourceFiles): Promise<Found[]> {
  const found: Found[] = [];
  let first: unknown;
  for (const name of namesOf(files)) {
    try {
      const layout = await layoutOf(files, name);
      const { index, term, start, end } = layout;
      found.push({ index, term, size: end - start, name, layout });
    } catch (error) {
      if (!hasCode(error, "MALFORMED", "CORRUPT")) throw error;
      first ??= error;
    }
  }
  if (found.length === 0 && first !== undefined) throw first;
  return ofOnePlace(found, ({ name }) => name, "etcd-snap");
}

/** The `.snap` files of etcd. */
export const etcdSnap: Format = {
  system: "etcd-snap",
  async detect(files) {
    const [name] = namesOf(files);
    if (name === undefined) return undefined;
    const named = NAME.test(name.split("/").at(-1)!);
    const description = "etcd raft snapshot (.snap)";
    try {
      const { index, term } = await layoutOf(files, name);
      if (index === 0n || term === 0n && !named) return undefined;
      return { system: "etcd-snap", sure: named ? "certain" : "likely", description };
    } catch (error) {
      if (!hasCode(error, "MALFORMED", "CORRUPT")) throw error;
      return named ? { system: "etcd-snap", sure: "likely", description } : undefined;
    }
  },
  list,
  async open(files, wanted) {
    const { name, layout } = chosen(await list(files), wanted, "etcd-snap");
    const { index, term, start, end, voters, learners } = layout;
    const hex = (ids: readonly bigint[]) => ids.map((id) => id.toString(16));
    return await ForeignReader.of({
      system: "etcd-snap",
      meta: { lastIncludedIndex: index, lastIncludedTerm: term, peers: hex(voters) },
      files: [{
        name: STATE,
        size: end - start,
        read: (from, to, options) => readBlocks(files, name, start + from, start + to, options),
        check: () => crcOf(layout, name),
      }],
      details: { voters: hex(voters), learners: hex(learners) },
      checked: ["the CRC-32C of state, index, term and members"],
      unchecked: [],
    });
  },
};
