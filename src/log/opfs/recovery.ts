/**
 * Opening a log in OPFS: what a crash has torn is cut off, what it left behind is removed, and nothing else.
 *
 * @module
 */

import { yieldTurn } from "../../async/mod.ts";
import { equal } from "../../stream/mod.ts";
import type { GrowingFile, SegmentFiles, SegmentName } from "./files.ts";
import { damaged, headerBehind, type Position, type ReadSegment, readSegment, SegmentReader } from "./segment.ts";

/** A segment of an open log. */
export interface Segment {
  readonly name: SegmentName;
  /** The entry before its first. */
  readonly start: Position;
  /** The bytes of data of its entries, but for those that were purged. */
  bytes: number;
}

/** The log that an opening finds. */
export interface Recovered {
  /** The segments, the oldest first. */
  readonly segments: Segment[];
  /** The file of the last one. */
  readonly tail: GrowingFile;
  /** The entry before the first. */
  readonly base: Position;
  /** The last entry. */
  readonly last: Position;
  /** The group, if the log is of one. */
  readonly group: string | undefined;
}

/**
 * Finds the log in a directory, and makes it such that it can be continued.
 *
 * @returns nothing if there is none
 * @throws {SnapshotError} `CORRUPT` if entries are missing, or the last segment has changed; `UNSUPPORTED`, `BUSY`
 */
export async function recover(files: SegmentFiles): Promise<Recovered | undefined> {
  const names = await files.list();
  while (names.length > 0) {
    const { reset } = names[0]!;
    const [name] = names.splice(names.findLastIndex((name) => name.reset === reset), 1);
    const tail = await files.open(name!, { create: false });
    try {
      const last = readTail(tail);
      if (last !== undefined) return await assemble(files, names, tail, { name: name!, ...last });
    } catch (error) {
      tail.close();
      throw error;
    }
    tail.close();
    await files.remove(name!); // the crash came before its header was durable
  }
  return undefined;
}

/**
 * Makes a segment without entries.
 *
 * @param start the entry before the first
 * @throws {SnapshotError} `NO_SPACE`, `UNSUPPORTED`, …: there may be a file, which is no segment yet
 */
export async function create(
  files: SegmentFiles,
  reset: number,
  start: Position,
  group?: string | undefined,
): Promise<Recovered> {
  const name = { reset, first: start.index + 1n };
  const tail = await files.open(name, { create: true });
  try {
    tail.cut(0);
    tail.add(headerBehind(start, group));
    return { segments: [{ name, start, bytes: 0 }], tail, base: start, last: start, group };
  } catch (error) {
    tail.close();
    throw error;
  }
}

/** A segment that has a header. */
type WholeRead = ReadSegment & { readonly start: Position; readonly last: Position };

/** Reads the last segment, and cuts off what was torn; returns nothing if that is all of it. */
function readTail(tail: GrowingFile): WholeRead | undefined {
  const reader = new SegmentReader(tail.read(), tail.path);
  const read = readSegment(reader);
  if (read.failure !== undefined && reader.hasMore) throw read.failure;
  const { start, last } = read;
  if (start === undefined || last === undefined) return undefined;
  tail.cut(reader.at); // and syncs the rest: its last record may have been written only
  return { ...read, start, last };
}

/** Puts the segments together, and removes those that a purge or a reset meant to remove. */
async function assemble(
  files: SegmentFiles,
  others: readonly SegmentName[],
  tail: GrowingFile,
  lastRead: WholeRead & { readonly name: SegmentName },
): Promise<Recovered> {
  const reads: (WholeRead & { readonly name: SegmentName })[] = [];
  for (const name of others.filter(({ reset }) => reset === lastRead.name.reset)) {
    const { start, last, ...read } = readSegment(new SegmentReader(await files.read(name), files.pathOf(name)));
    if (start === undefined || last === undefined) {
      throw read.failure ?? damaged(files.pathOf(name), "it is empty", name.first);
    }
    reads.push({ name, start, last, ...read });
    await yieldTurn();
  }
  reads.push(lastRead);
  for (const [i, read] of reads.entries()) checkLink(files.pathOf(read.name), reads[i - 1], read);
  let base = reads[0]!.start;
  for (const read of reads) if (read.base !== undefined && read.base.index > base.index) ({ base } = read);
  const segments = reads.map(({ name, start, bytes }): Segment => ({ name, start, bytes }));
  while (segments.length > 1 && segments[1]!.start.index <= base.index) await files.remove(segments.shift()!.name);
  for (const name of others) if (name.reset !== lastRead.name.reset) await files.remove(name);
  const [first] = segments as [Segment];
  if (first.start.index < base.index) {
    const bytes = segments.length === 1 ? tail.read() : await files.read(first.name);
    first.bytes = readSegment(new SegmentReader(bytes, files.pathOf(first.name)), base.index).bytes;
  }
  return { segments, tail, base, last: lastRead.last, group: lastRead.group };
}

/** Checks that a segment is what its name says, and goes on where the one before it ends. */
function checkLink(
  path: string,
  before: WholeRead | undefined,
  { name, start }: WholeRead & { name: SegmentName },
): void {
  if (start.index + 1n !== name.first) throw damaged(path, `it begins with ${start.index + 1n}`, name.first);
  if (before === undefined) return;
  const { last, failure } = before;
  // One of which the rest cannot be read may be purged soon: whoever reads it is told.
  if (
    failure !== undefined ? last.index <= start.index : last.index === start.index && equal(last.digest, start.digest)
  ) {
    return;
  }
  throw damaged(path, `the segment before it ends with entry ${last.index}`, last.index + 1n);
}
