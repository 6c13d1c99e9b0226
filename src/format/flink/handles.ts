/**
 * Flink's state handles: where the bytes of a state are.
 *
 * @module
 */

import type { JavaCursor } from "./java.ts";

/** Bytes: in the metadata itself, or a file or a part of one. */
export type Handle =
  | { readonly inline: Uint8Array; readonly size: number }
  | {
    /** A path: relative to the metadata, or where the job wrote it. */
    readonly path: string;
    readonly relative: boolean;
    /** Where it begins in the file; of a whole file nothing is said. */
    readonly start?: number;
    /** Bytes. */
    readonly size: number;
  };

/** Operator state: where the elements of each state begin. */
export interface OperatorHandle {
  readonly states: readonly { readonly name: string; readonly mode: string; readonly offsets: readonly number[] }[];
  readonly handle: Handle | undefined;
}

/** Keyed state of some key groups. */
export type KeyedHandle =
  & { readonly first: number; readonly count: number }
  & (
    | {
      readonly kind: "groups";
      /** It is of a savepoint, in the format that all backends can load. */
      readonly savepoint: boolean;
      /** Where each key group begins. */
      readonly offsets: readonly number[];
      readonly handle: Handle | undefined;
    }
    | {
      readonly kind: "incremental";
      readonly backend: string;
      readonly meta: Handle | undefined;
      /** Files by the names that the database gave them; those in `shared` belong to several checkpoints. */
      readonly shared: readonly NamedHandle[];
      readonly private: readonly NamedHandle[];
    }
    | {
      readonly kind: "changelog";
      readonly base: readonly KeyedHandle[];
      readonly changes: readonly Handle[];
    }
  );

/** A file of a database. */
export interface NamedHandle {
  readonly name: string;
  readonly handle: Handle | undefined;
}

/** The ways in which elements are spread over workers, by Flink's numbers. */
const MODES = ["split", "union", "broadcast"] as const;
const MAX_GROUPS = 32_768;
/** The most handles that may be in one another. */
const MAX_DEPTH = 4;

function safe(cursor: JavaCursor): number {
  const [high, low] = [cursor.i32(), cursor.u32()]; // there are too many of them for `bigint`
  if (high < 0 || high >= 2 ** 21) throw cursor.malformed(`a size or an offset is ${high} times 4 GiB`);
  return high * 2 ** 32 + low;
}

function listOf<T>(cursor: JavaCursor, one: () => T): T[] {
  const found: T[] = [];
  for (let left = cursor.count(); left > 0; left--) found.push(one());
  return found;
}

/** A handle of bytes; nothing for null, or an empty segment. */
export function streamHandle(cursor: JavaCursor): Handle | undefined {
  const tag = cursor.u8();
  switch (tag) {
    case 0:
    case 16:
      return undefined;
    case 1: {
      cursor.utf(); // its name
      const inline = cursor.block();
      return { inline, size: inline.length };
    }
    case 2: {
      const size = safe(cursor);
      return { size, path: cursor.utf(), relative: false };
    }
    case 3: { // before 1.3 these were handles of bytes
      const { handle } = groupsOf(cursor);
      return handle;
    }
    case 6: {
      const path = cursor.utf();
      return { path, relative: true, size: safe(cursor) };
    }
    case 15: {
      const [start, size] = [safe(cursor), safe(cursor)];
      cursor.i32(); // whether it is shared
      const path = cursor.utf();
      cursor.utf(); // the name of the segment
      return { path, relative: false, start, size };
    }
    default:
      throw cursor.malformed(`a handle of bytes has the type ${tag}`);
  }
}

/** Operator state. */
export function operatorHandle(cursor: JavaCursor): OperatorHandle | undefined {
  const tag = cursor.u8();
  if (tag === 0) return undefined;
  if (tag !== 4 && tag !== 17) throw cursor.malformed(`a handle of operator state has the type ${tag}`);
  const states = listOf(cursor, () => {
    const [name, number] = [cursor.utf(), cursor.u8()];
    const mode = MODES[number];
    if (mode === undefined) throw cursor.malformed(`a state is spread in the way ${number}`);
    return { name, mode, offsets: listOf(cursor, () => safe(cursor)) };
  });
  if (tag === 17) {
    cursor.utf(); // its directories
    cursor.utf();
    cursor.bool(); // whether it is empty
  }
  return { states, handle: streamHandle(cursor) };
}

function rangeOf(cursor: JavaCursor): { first: number; count: number } {
  const [first, count] = [cursor.i32(), cursor.i32()];
  if (first < 0 || count < 0 || first + count > MAX_GROUPS) {
    throw cursor.malformed(`it has ${count} key groups from ${first} on`);
  }
  return { first, count };
}

function groupsOf(cursor: JavaCursor): { first: number; count: number; offsets: number[]; handle: Handle | undefined } {
  const { first, count } = rangeOf(cursor);
  const offsets = Array.from({ length: count }, () => safe(cursor));
  return { first, count, offsets, handle: streamHandle(cursor) };
}

/** Keyed state. */
export function keyedHandle(cursor: JavaCursor, depth = 0): KeyedHandle | undefined {
  if (depth > MAX_DEPTH) throw cursor.malformed("handles are in one another too deep");
  const tag = cursor.u8();
  switch (tag) {
    case 0:
      return undefined;
    case 3:
    case 7:
    case 12: {
      const groups = groupsOf(cursor);
      if (tag === 12) cursor.utf(); // its identifier
      return { kind: "groups", savepoint: tag === 7, ...groups };
    }
    case 5:
    case 11: {
      cursor.i64(); // the checkpoint
      const backend = cursor.utf();
      const range = rangeOf(cursor);
      if (tag === 11) cursor.i64(); // bytes that were written
      const meta = streamHandle(cursor);
      const named = () => listOf(cursor, () => ({ name: cursor.utf(), handle: streamHandle(cursor) }));
      const [shared, own] = [named(), named()];
      if (tag === 11) cursor.utf();
      return { kind: "incremental", backend, ...range, meta, shared, private: own };
    }
    case 8:
    case 14: {
      const range = rangeOf(cursor);
      cursor.i64(); // bytes that were written
      const base = listOf(cursor, () => keyedHandle(cursor, depth + 1)).filter((it) => it !== undefined);
      const changes = listOf(cursor, () => changesOf(cursor)).flat();
      cursor.i64(); // of the base
      if (tag === 14) cursor.i64(); // the checkpoint
      cursor.utf();
      return { kind: "changelog", ...range, base, changes };
    }
    default:
      throw cursor.malformed(`a handle of keyed state has the type ${tag}`);
  }
}

/** A part of a log of changes. */
function changesOf(cursor: JavaCursor): Handle[] {
  const tag = cursor.u8();
  if (tag === 0) return [];
  if (tag !== 9 && tag !== 10 && tag !== 13) throw cursor.malformed(`a handle of changes has the type ${tag}`);
  rangeOf(cursor);
  const handles: Handle[] = [];
  if (tag === 9) {
    cursor.i64(); // from
    cursor.i64(); // to
    listOf(cursor, () => {
      cursor.i32(); // the key group
      const inline = cursor.block();
      handles.push({ inline, size: inline.length });
    });
  } else {
    listOf(cursor, () => {
      cursor.i64(); // where it begins
      const handle = streamHandle(cursor);
      if (handle !== undefined) handles.push(handle);
    });
    cursor.i64(); // its size
    cursor.i64(); // bytes that were written
  }
  cursor.utf();
  if (tag === 13) cursor.utf(); // the storage
  return handles;
}
