/**
 * A RocksDB in an incremental checkpoint: its tables and its log are checked, and the keys of each state read.
 *
 * @module
 */

import { hasCode, messageOf, SnapshotError } from "../../../errors.ts";
import { compareBytes, concat } from "../../../stream/mod.ts";
import type { Handle, KeyedHandle, NamedHandle } from "../handles.ts";
import type { Layout } from "../layout.ts";
import { unsupported } from "./blocks.ts";
import { type Families, familiesOf, recordsOf, type TableFile } from "./log.ts";
import { Change, type Deleted, Table, type TableEntry } from "./table.ts";

/** The most bytes of a log that is read: it has a line for each table. */
const MAX_LOG = 64 * 1024 * 1024;
/** The most bytes of all that became of a key. */
const MAX_VALUE = 64 * 1024 * 1024;
const LOG = "MANIFEST-";
const TABLE = ".sst";
/** What Flink has between the parts of a list. */
const SEPARATOR = Uint8Array.of(0x2c);

/** The handle of a database. */
export type Database = Extract<KeyedHandle, { readonly kind: "incremental" }>;

/** A key of a state, and its value. */
export interface Pair {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
}

/**
 * Checks a file by what its name says that it is.
 *
 * @returns why its keys cannot be read, if they cannot
 */
export async function checkDatabaseFile(
  layout: Layout,
  { name, handle }: NamedHandle,
  signal: AbortSignal | undefined,
): Promise<string | undefined> {
  if (handle === undefined) return undefined;
  try {
    if (name.endsWith(TABLE)) await (await Table.open(layout, handle, signal)).check(signal);
    if (name.startsWith(LOG)) {
      for (
        const _ of recordsOf(await readLog(layout, handle, signal), layout.nameOf(handle))
      );
    }
    return undefined;
  } catch (error) {
    if (!hasCode(error, "UNSUPPORTED")) throw error;
    return messageOf(error);
  }
}

async function readLog(layout: Layout, handle: Handle, signal: AbortSignal | undefined): Promise<Uint8Array> {
  const name = layout.nameOf(handle);
  if (handle.size > MAX_LOG) {
    throw new SnapshotError("UNSUPPORTED", `${JSON.stringify(name)} has ${handle.size} bytes, over ${MAX_LOG}`, {
      file: name,
      expected: MAX_LOG,
      actual: handle.size,
    });
  }
  return await layout.readWhole(handle, 0, handle.size, signal);
}

/** The states of a database, and where their tables are. */
export async function openDatabase(layout: Layout, database: Database, signal?: AbortSignal): Promise<Families> {
  const log = [...database.private, ...database.shared].find(({ name }) => name.startsWith(LOG))?.handle;
  if (log === undefined) {
    throw new SnapshotError("CORRUPT", "A RocksDB in the checkpoint has no MANIFEST, which says what its tables are");
  }
  return familiesOf(await readLog(layout, log, signal), layout.nameOf(log));
}

/** The changes of one table, or of several whose keys are one behind the other's. */
async function* changesOf(
  layout: Layout,
  database: Database,
  tables: readonly TableFile[],
  range: KeyRange,
  signal: AbortSignal | undefined,
): AsyncGenerator<TableEntry, void, undefined> {
  for (const { number, first, last } of tables) {
    if (compareBytes(last, range.first) < 0 || compareBytes(first.subarray(0, range.last.length), range.last) > 0) {
      continue;
    }
    const name = `${String(number).padStart(6, "0")}${TABLE}`;
    const handle = [...database.shared, ...database.private].find((it) => it.name === name)?.handle;
    if (handle === undefined) {
      throw new SnapshotError("CORRUPT", `A RocksDB in the checkpoint has no ${name}, which its MANIFEST names`, {
        file: name,
      });
    }
    const table = await Table.open(layout, handle, signal);
    if (table.deleted.some((it) => isBetween(it, range))) throw unsupported(name, "ranges of its keys were deleted");
    for await (const entry of table.entries(range.first, signal)) {
      if (compareBytes(entry.key.subarray(0, range.last.length), range.last) > 0) break;
      if (compareBytes(entry.key, range.first) >= 0) yield entry;
    }
  }
}

/** Keys that begin with `first`, with `last`, or with anything between. */
export interface KeyRange {
  readonly first: Uint8Array;
  readonly last: Uint8Array;
}

/** Whether keys of a range were deleted: Flink deletes those of other workers, which are outside of it. */
function isBetween({ first, end }: Deleted, range: KeyRange): boolean {
  return compareBytes(first.subarray(0, range.last.length), range.last) <= 0 && compareBytes(end, range.first) > 0;
}

/** The keys of a state in their order, each with what became of its changes. */
export async function* pairsOf(
  layout: Layout,
  database: Database,
  tables: readonly TableFile[],
  range: KeyRange,
  signal?: AbortSignal,
): AsyncGenerator<Pair, void, undefined> {
  const levels = new Map<string, TableFile[]>();
  for (const table of tables) {
    const of = table.level === 0 ? `table ${table.number}` : `level ${table.level}`;
    levels.set(of, [...levels.get(of) ?? [], table]);
  }
  const sources: { changes: AsyncGenerator<TableEntry, void, undefined>; next: TableEntry | undefined }[] = [];
  try {
    for (const level of levels.values()) {
      const sorted = level.sort((a, b) => compareBytes(a.first, b.first));
      const changes = changesOf(layout, database, sorted, range, signal);
      sources.push({ changes, next: undefined });
      sources.at(-1)!.next = (await changes.next()).value ?? undefined;
    }
    for (;;) {
      let least: Uint8Array | undefined;
      for (const { next } of sources) {
        if (next !== undefined && (least === undefined || compareBytes(next.key, least) < 0)) least = next.key;
      }
      if (least === undefined) return;
      const changes: TableEntry[] = [];
      let size = 0;
      for (const source of sources) {
        while (source.next !== undefined && compareBytes(source.next.key, least) === 0) {
          changes.push(source.next);
          size += source.next.value.length + 1;
          if (size > MAX_VALUE) {
            throw new SnapshotError("MALFORMED", `A value in the tables of a RocksDB has over ${MAX_VALUE} bytes`);
          }
          source.next = (await source.changes.next()).value ?? undefined;
        }
      }
      const value = valueOf(changes);
      if (value !== undefined) yield { key: least, value };
    }
  } finally {
    for (const { changes } of sources) await changes.return();
  }
}

/** What became of a key: its newest value, and the parts of a list that were added to it. */
function valueOf(changes: TableEntry[]): Uint8Array | undefined {
  const parts: Uint8Array[] = [];
  for (const { change, value } of changes.sort((a, b) => a.sequence > b.sequence ? -1 : 1)) {
    if (change !== Change.DELETE && change !== Change.SINGLE_DELETE) parts.unshift(value);
    if (change !== Change.MERGE) break;
  }
  if (parts.length < 2) return parts[0];
  return concat(parts.flatMap((part, i) => i === 0 ? [part] : [SEPARATOR, part]));
}

export type { Families } from "./log.ts";
