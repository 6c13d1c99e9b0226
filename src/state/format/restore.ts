/**
 * Reading keyed state from one or more snapshots: a base and the deltas upon it, and only the wanted key groups.
 *
 * @module
 */

import { messageOf, SnapshotError } from "../../errors.ts";
import type { FileInfo, SnapshotReader } from "../../snapshot/mod.ts";
import { equal, toHex } from "../../stream/mod.ts";
import { type Chain, stateFile } from "./chain.ts";
import type { KeyGroupRange } from "../key_groups.ts";
import { Pace } from "../pace.ts";
import { StateDecoder, type StateVisitor } from "./decoder.ts";
import { type Head, readHead } from "./head.ts";

/** The properties that a state must have so that it can be read. */
export interface Expected {
  /** Its name in the snapshots. */
  readonly name: string;
  /** The number of key groups. */
  readonly maxParallelism: number;
  /** The wanted key groups. */
  readonly range: KeyGroupRange;
  /** The name of the codec of the keys. */
  readonly keys: string;
}

/** A file with its header. */
interface HeadedFile {
  readonly info: FileInfo;
  /** Its header; nothing if the state was empty. */
  readonly head: Head | undefined;
}

/** The part of the state that one snapshot has. */
interface Part {
  readonly reader: SnapshotReader;
  readonly files: readonly HeadedFile[];
  /** The key groups that it has. */
  readonly range: KeyGroupRange;
}

/**
 * Reads the wanted key groups: of each snapshot its base, then its deltas in order. Of each file it reads only the
 * header and these groups.
 *
 * @param readers the snapshots; together they have each wanted key group once
 * @param expected the state to be read
 * @param visitorOf gives the visitor of a file with this header; `isOnly` if it is the only file of its snapshot
 * @returns the files, if all of one snapshot was read: then a delta can build upon them
 * @throws {SnapshotError} `MALFORMED` if key groups are missing, or there twice, or a file has the wrong content;
 *   `CORRUPT`, `UNSUPPORTED`
 */
export async function restore(
  readers: readonly SnapshotReader[],
  expected: Expected,
  visitorOf: (head: Head, isOnly: boolean) => StateVisitor,
): Promise<Chain | undefined> {
  const parts: Part[] = [];
  for (const reader of readers) parts.push(await openPart(reader, expected));
  checkCover(parts.map(({ range }) => range), expected.range);
  for (const { reader, files, range } of parts) {
    const wanted = intersect(range, expected.range);
    if (wanted === undefined) continue;
    for (const { info, head } of files) {
      if (head === undefined) continue;
      await readGroups(reader, info, head, wanted, visitorOf(head, files.length === 1));
    }
  }
  const [only] = parts;
  return parts.length === 1 && sameRange(only!.range, expected.range) ? only!.files.map(({ info }) => info) : undefined;
}

async function openPart(reader: SnapshotReader, expected: Expected): Promise<Part> {
  const { name } = expected;
  // A file in a deeper directory belongs to a state whose name begins with this one's.
  const infos = reader.manifest.files.filter((file) => {
    return file.name.startsWith(name) && file.name.lastIndexOf("/") === name.length;
  });
  const [base] = infos;
  if (base === undefined) {
    throw new SnapshotError(
      "MALFORMED",
      `Snapshot ${reader.manifest.index} has no state called ${JSON.stringify(name)}`,
      {
        index: reader.manifest.index,
      },
    );
  }
  const files: HeadedFile[] = [];
  for (const [i, info] of infos.entries()) {
    if (info.name !== stateFile(name, i)) throw wrong(info, `stands where ${stateFile(name, i)} should be`);
    files.push({ info, head: await openFile(reader, info, files.at(-1)?.info, expected) });
  }
  const { first, last } = base.keyGroups!;
  return { reader, files, range: { first, last } };
}

/** Reads the header of a file, and checks that it fits the expected state and the file before it. */
async function openFile(
  reader: SnapshotReader,
  info: FileInfo,
  before: FileInfo | undefined,
  expected: Expected,
): Promise<Head | undefined> {
  const { chunks, keyGroups } = info;
  if (chunks === undefined || keyGroups === undefined) throw wrong(info, "has no table of key groups");
  if (chunks.size === 0 && before === undefined) return undefined;
  const head = await readHead(reader, info.name, keyGroups.offsets[0]!);
  if (head.maxParallelism !== expected.maxParallelism) {
    throw wrong(info, `has ${head.maxParallelism} key groups, and ${expected.maxParallelism} are expected`, {
      expected: expected.maxParallelism,
      actual: head.maxParallelism,
    });
  }
  if (head.keys !== expected.keys) {
    throw new SnapshotError("UNSUPPORTED", `The keys in ${info.name} are ${head.keys}, not ${expected.keys}`, {
      file: info.name,
      expected: expected.keys,
      actual: head.keys,
    });
  }
  if (!sameRange(head.range, keyGroups)) throw wrong(info, "has other key groups than the manifest says");
  if (before === undefined) {
    if (head.buildsUpon !== undefined) throw wrong(info, "is a delta, and its base is not in the snapshot");
    return head;
  }
  if (before.chunks!.size === 0 || !equal(head.buildsUpon ?? new Uint8Array(0), before.chunks!.root)) {
    throw wrong(info, `does not build upon ${before.name}, but upon a file of another snapshot`, {
      expected: toHex(before.chunks!.root),
      actual: toHex(head.buildsUpon ?? new Uint8Array(0)),
    });
  }
  if (!sameRange(head.range, before.keyGroups!)) throw wrong(info, `has other key groups than ${before.name}`);
  return head;
}

/** Reads a run of key groups of a file: only their bytes. */
async function readGroups(
  reader: SnapshotReader,
  { name, keyGroups }: FileInfo,
  head: Head,
  range: KeyGroupRange,
  visitor: StateVisitor,
): Promise<void> {
  const { first, offsets } = keyGroups!;
  const start = offsets[range.first - first]!;
  const size = await reader.size(name); // not the size of its chunks if it is encrypted
  const end = offsets[range.last + 1 - first] ?? size;
  const decoder = new StateDecoder(name, size, keyGroups!, range, head.states.length, visitor);
  if (end > start) {
    const pace = new Pace();
    for await (const piece of reader.file(name, { start, end })) {
      try {
        decoder.push(piece);
      } catch (error) {
        throw error instanceof SnapshotError ? error : unreadable(name, decoder.keyGroup, error);
      }
      await visitor.flush?.(); // after each piece: else a whole file would be held
      await pace.turn(); // pieces that are read ahead come without a turn of the event loop
    }
  }
  decoder.end();
}

/** Checks that the ranges together have each wanted key group exactly once. */
function checkCover(ranges: readonly KeyGroupRange[], wanted: KeyGroupRange): void {
  let next = wanted.first;
  for (const range of [...ranges].sort((a, b) => a.first - b.first)) {
    const part = intersect(range, wanted);
    if (part === undefined) continue;
    if (part.first < next) {
      throw new SnapshotError("MALFORMED", `Key group ${part.first} is in more than one of the snapshots`, {
        keyGroup: part.first,
      });
    }
    if (part.first > next) break;
    next = part.last + 1;
  }
  if (next > wanted.last) return;
  throw new SnapshotError(
    "MALFORMED",
    `Key group ${next} is in none of the snapshots, which have ${
      ranges.map(({ first, last }) => `${first} to ${last}`).join(", ") || "none"
    }; wanted are ${wanted.first} to ${wanted.last}`,
    { keyGroup: next },
  );
}

function intersect(a: KeyGroupRange, b: KeyGroupRange): KeyGroupRange | undefined {
  const first = Math.max(a.first, b.first);
  const last = Math.min(a.last, b.last);
  return first <= last ? { first, last } : undefined;
}

function sameRange(a: KeyGroupRange, b: KeyGroupRange): boolean {
  return a.first === b.first && a.last === b.last;
}

function wrong(
  { name }: FileInfo,
  what: string,
  fields: { readonly expected?: string | number; readonly actual?: string | number } = {},
): SnapshotError {
  return new SnapshotError("MALFORMED", `The file ${name} of the snapshot ${what}`, { file: name, ...fields });
}

/** The error for bytes on which a codec, or its migration, threw. */
function unreadable(file: string, keyGroup: number, cause: unknown): SnapshotError {
  return new SnapshotError(
    "MALFORMED",
    `Key group ${keyGroup} in the file ${file} of the snapshot cannot be read: ${messageOf(cause)}`,
    { file, keyGroup, cause },
  );
}
