/**
 * Flink's keyed state, key group by key group.
 *
 * ```text
 * heap   group = group i32, each state { number i16, n i32, n { namespace, key, value } or n elements }
 *                where it is compressed, each state is a stream of Snappy
 * full   group = number i16, { length i32, key, length i32, value }; after a record whose key's first bit is set
 *                stands the number of the next state, or 0xffff at the end of the group
 *          key = group (one byte of up to 128 groups, else two), key, namespace, the key inside of a map
 *                where it is compressed, the group is a stream of Snappy
 * ```
 *
 * The heap layout is that of the backend in memory; the full one is that of savepoints, and of RocksDB's full
 * checkpoints, where an empty group has the offset 0. Neither has a checksum, and no group says how long it is.
 *
 * @module
 */

import { hasCode, SnapshotError } from "../../errors.ts";
import { keyGroupOf } from "../../state/mod.ts";
import { concat } from "../../stream/mod.ts";
import type { Handle } from "./handles.ts";
import { JavaCursor } from "./java.ts";
import type { Layout } from "./layout.ts";
import { Records } from "./records.ts";
import type { Serializer } from "./serializer.ts";
import { unframe } from "./snappy.ts";
import { type KeyedHead, keyedHead, type State } from "./state_head.ts";

const MAX_HEAD = 16 * 1024 * 1024;
const END_OF_GROUP = 0xffff;
/** The most records that are handed on at a time. */
const BATCH = 1000;

/** A record of a state. */
export interface KeyedRecord {
  /** The state; nothing if the head could not be read so far. */
  readonly state: State | undefined;
  readonly keyGroup: number;
  /** It is of a state whose serializers are not known. */
  readonly opaque: boolean;
  readonly key?: unknown;
  readonly namespace?: unknown;
  readonly value?: unknown;
  /** The key inside of a map. */
  readonly field?: unknown;
}

/** The serializers of a state, where they are known. */
export interface Readers {
  readonly state: State;
  readonly key: Serializer;
  readonly namespace: Serializer | undefined;
  readonly value: Serializer | undefined;
  readonly readable: boolean;
}

/** What is asked of a file of keyed state. */
export interface KeyedSource {
  readonly layout: Layout;
  readonly handle: Handle;
  readonly first: number;
  readonly offsets: readonly number[];
  readonly maxParallelism: number;
  /** It is of a savepoint in the layout for all backends. */
  readonly savepoint: boolean;
}

/** A record of the full layout. */
interface FullRecord {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  /** The number of the next state, or the end of the group. */
  readonly next: number | undefined;
}

/** A file of keyed state. */
export class KeyedFile {
  readonly #source: KeyedSource;
  readonly head: KeyedHead;
  readonly full: boolean;
  readonly #readers: readonly Readers[];
  readonly #ends: ReadonlyMap<number, number>;
  readonly #name: string;
  /** The bytes of a group's number before a key. */
  readonly #prefix: number;

  private constructor(source: KeyedSource, head: KeyedHead, full: boolean) {
    this.#source = source;
    this.head = head;
    this.full = full;
    this.#readers = head.states.map((state) => readersOf(state, head.key));
    const sorted = [...source.offsets].sort((a, b) => a - b);
    this.#ends = new Map(sorted.map((offset, i) => [offset, sorted[i + 1] ?? source.handle.size]));
    this.#name = source.layout.nameOf(source.handle);
    this.#prefix = source.maxParallelism <= 128 ? 1 : 2;
  }

  /** Reads its head, which ends where the first group begins. */
  static async open(source: KeyedSource, signal?: AbortSignal): Promise<KeyedFile> {
    const { layout, handle, offsets } = source;
    const name = layout.nameOf(handle);
    const end = Math.min(...offsets.filter((offset) => offset !== 0), handle.size);
    if (end > MAX_HEAD) {
      throw new SnapshotError("MALFORMED", `${JSON.stringify(name)} is damaged, or none: its head has ${end} bytes`, {
        file: name,
        expected: MAX_HEAD,
        actual: end,
      });
    }
    const head = keyedHead(new JavaCursor(concat(await all(layout.read(handle, 0, end, signal))), name));
    return new KeyedFile(source, head, source.savepoint || await isFull(source, head, signal));
  }

  /** The records of a group, as many at a time as are there. */
  async *group(keyGroup: number, signal?: AbortSignal): AsyncGenerator<readonly KeyedRecord[], void, undefined> {
    const { layout, handle, first, offsets } = this.#source;
    const offset = offsets[keyGroup - first];
    if (offset === undefined || (offset === 0 && this.full)) return;
    if (offset === 0) throw this.#damaged(`the group ${keyGroup} begins at byte 0`);
    const bytes = layout.read(handle, offset, this.#ends.get(offset)!, signal);
    yield* this.full ? this.#fullGroup(keyGroup, bytes) : this.#heapGroup(keyGroup, bytes);
  }

  #damaged(message: string): SnapshotError {
    return damagedFile(this.#name, message);
  }

  /** The state of a number; nothing if the head could not be read so far. */
  #readersOf(number: number): Readers | undefined {
    const readers = this.#readers[number];
    if (readers === undefined && !this.head.partial) {
      throw this.#damaged(`there is a state ${number} of ${this.#readers.length}`);
    }
    return readers;
  }

  #checkGroup(key: unknown, keyGroup: number): void {
    const { maxParallelism } = this.#source;
    checkGroup(key, keyGroup, { head: this.head, maxParallelism, name: this.#name });
  }

  async *#heapGroup(
    keyGroup: number,
    bytes: AsyncGenerator<Uint8Array, void, undefined>,
  ): AsyncGenerator<readonly KeyedRecord[], void, undefined> {
    const raw = new Records(bytes, this.#name);
    let records = raw;
    try {
      const found = await raw.take((cursor) => cursor.i32());
      if (found !== keyGroup) throw this.#damaged(`the group ${found} is where the group ${keyGroup} should be`);
      if (this.head.compressed) records = new Records(unframe(raw.rest(), this.#name), this.#name);
      const unread = new Set(this.#readers);
      for (let left = this.head.partial ? Infinity : this.#readers.length; left > 0; left--) {
        const { number, count } = await records.take((cursor) => ({ number: cursor.u16(), count: cursor.i32() }));
        if (count < 0) throw this.#damaged(`a state has ${count} records`);
        const readers = this.#readersOf(number);
        if (readers?.readable !== true) {
          if (count === 0 && readers !== undefined && unread.delete(readers)) continue;
          return yield this.#lost(unread, keyGroup);
        }
        const { state } = readers;
        for (let left = count; left > 0;) {
          const some = records.some(Math.min(left, BATCH), (cursor) => readHeap(cursor, readers));
          const found = await some.catch(unlessUnknown);
          if (found === undefined) return yield this.#lost(unread, keyGroup);
          left -= found.length;
          const batch: KeyedRecord[] = [];
          for (const record of found) {
            this.#checkGroup(record.key, keyGroup);
            unfold({ state, keyGroup, opaque: false, ...record }, batch);
          }
          yield batch;
        }
        unread.delete(readers);
      }
      if (!await records.atEnd()) throw this.#damaged(`the group ${keyGroup} is longer than it should be`);
    } finally {
      await records.close();
      await raw.close();
    }
  }

  /** Where a state that cannot be read ends is not known, and neither where those behind it are. */
  #lost(unread: ReadonlySet<Readers>, keyGroup: number): KeyedRecord[] {
    const states = [...unread].map(({ state }) => state);
    return (this.head.partial ? [...states, undefined] : states).map((state) => ({ state, keyGroup, opaque: true }));
  }

  /** A record of the full layout, and what stands behind it. */
  #fullRecord(cursor: JavaCursor, keyGroup: number): FullRecord {
    const [key, value] = [cursor.block().slice(), cursor.block().slice()];
    if (key.length < this.#prefix) throw cursor.malformed("a key has no group");
    const last = key[0]! >= 0x80;
    key[0]! &= 0x7f;
    const found = this.#prefix === 1 ? key[0]! : key[0]! << 8 | key[1]!;
    if (found !== keyGroup) throw this.#damaged(`a key of the group ${found} is in the group ${keyGroup}`);
    return { key, value, next: last ? cursor.u16() : undefined };
  }

  async *#fullGroup(
    keyGroup: number,
    bytes: AsyncGenerator<Uint8Array, void, undefined>,
  ): AsyncGenerator<readonly KeyedRecord[], void, undefined> {
    const plain = this.head.compressed ? unframe(bytes, this.#name) : bytes;
    const records = new Records(plain, this.#name);
    try {
      let readers = this.#readersOf(await records.take((cursor) => cursor.u16()));
      for (let ended = false; !ended;) {
        const batch: KeyedRecord[] = [];
        // Behind the end of a group nothing parses: it is the last of a batch.
        for (const { key, value, next } of await records.some(BATCH, (cursor) => this.#fullRecord(cursor, keyGroup))) {
          if (ended) throw this.#damaged(`the group ${keyGroup} is longer than it should be`);
          const cursors = () =>
            [new JavaCursor(key, this.#name, this.#prefix), new JavaCursor(value, this.#name)] as const;
          const record = readers?.readable === true ? readFull(...cursors(), readers) : undefined;
          if (record !== undefined) this.#checkGroup(record.key, keyGroup);
          batch.push({ state: readers?.state, keyGroup, opaque: record === undefined, ...record });
          if (next === END_OF_GROUP) ended = true;
          else if (next !== undefined) readers = this.#readersOf(next);
        }
        yield batch;
      }
      if (!await records.atEnd()) throw this.#damaged(`the group ${keyGroup} is longer than it should be`);
    } finally {
      await records.close();
    }
  }
}

/** A key must be in the group that its hash gives: there is no checksum that says more. */
export function checkGroup(
  key: unknown,
  keyGroup: number,
  { head, maxParallelism, name }: { head: KeyedHead; maxParallelism: number; name: string },
): void {
  const hash = head.key.hash?.(key);
  if (hash === undefined) return;
  const right = keyGroupOf(hash, maxParallelism);
  if (right !== keyGroup) throw damagedFile(name, `a key of the group ${right} is in the group ${keyGroup}`);
}

function damagedFile(name: string, message: string): SnapshotError {
  return new SnapshotError("CORRUPT", `${JSON.stringify(name)} is damaged: ${message}`, { file: name });
}

async function all(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array[]> {
  const found: Uint8Array[] = [];
  for await (const piece of pieces) found.push(piece);
  return found;
}

/** The serializers of a state, and whether all that are needed are known. */
export function readersOf(state: State, key: Serializer): Readers {
  const [namespace, value] = [state.serializers.get("NAMESPACE_SERIALIZER"), state.serializers.get("VALUE_SERIALIZER")];
  const needed = state.type === "priority-queue" ? [value] : [key, namespace, value];
  return { state, key, namespace, value, readable: needed.every((it) => it?.read !== undefined) };
}

const GROUP = "a group of keys";

/** Which of the two layouts it is: nothing says so but the bytes of a group. */
async function isFull(source: KeyedSource, head: KeyedHead, signal: AbortSignal | undefined): Promise<boolean> {
  const { layout, handle, offsets, first } = source;
  if (offsets.some((offset) => offset === 0)) return true;
  // The group 0 of a heap begins with four zeros, and so may a full one: any other is asked first.
  const at = first === 0 && offsets.length > 1 ? 1 : 0;
  const offset = offsets[at];
  if (offset === undefined || handle.size < offset + 6) return false;
  const start = new JavaCursor(concat(await all(layout.read(handle, offset, offset + 6, signal))), GROUP);
  if (head.compressed) return start.u8() === 0xff;
  if (first + at > 0) return start.i32() !== first + at;
  start.u16(); // the full layout has the number of a state, and the length of a key that has a group at least
  return start.i32() > head.states.length;
}

/** What a record says. */
export interface Plain {
  readonly key?: unknown;
  readonly namespace?: unknown;
  readonly value?: unknown;
  readonly field?: unknown;
}

function element(value: unknown): Plain {
  if (typeof value !== "object" || value === null || !("timestamp" in value)) return { value };
  const { key, timestamp, namespace } = value as { key: unknown; timestamp: bigint; namespace?: unknown };
  return { key, value: timestamp, ...(namespace !== undefined && { namespace }) };
}

function readHeap(cursor: JavaCursor, { state, key, namespace, value }: Readers): Plain {
  if (state.type === "priority-queue") return element(value!.read!(cursor));
  const space = namespace!.read!(cursor);
  const of = key.read!(cursor);
  return { key: of, value: value!.read!(cursor), ...(space !== undefined && { namespace: space }) };
}

/** A map is given one by one of its keys, as the full layout has them. */
function unfold(record: KeyedRecord, into: KeyedRecord[]): void {
  if (record.state?.kind !== "MAP" || !(record.value instanceof Map)) into.push(record);
  else for (const [field, value] of record.value) into.push({ ...record, field, value });
}

/** Nothing for a value that has no serializer; other errors are thrown. */
function unlessUnknown(error: unknown): undefined {
  if (!hasCode(error, "UNSUPPORTED")) throw error;
}

/** A record of the full layout, out of its key behind the group, and its value; nothing if it has no serializer. */
export function readFull(key: JavaCursor, value: JavaCursor, readers: Readers): Plain | undefined {
  try {
    return readPlain(key, value, readers);
  } catch (error) {
    return unlessUnknown(error);
  }
}

function readPlain(key: JavaCursor, value: JavaCursor, readers: Readers): Plain {
  const { state, key: keys, namespace, value: values } = readers;
  let plain: Plain;
  if (state.type === "priority-queue") {
    plain = element(values!.read!(key));
  } else {
    // Where one could be taken for a part of the other, each is followed by its length.
    const ambiguous = keys.length === undefined && namespace!.length === undefined;
    const one = (serializer: Serializer) => {
      const start = key.at;
      const read = serializer.read!(key);
      if (ambiguous) { for (let length = key.at - start, i = 0; i === 0 || length > 0; i++, length >>>= 8) key.u8(); }
      return read;
    };
    const [of, space] = [one(keys), one(namespace!)];
    plain = { key: of, ...(space !== undefined && { namespace: space }) };
    if (state.kind === "MAP") {
      const [field, inner] = values!.parts;
      plain = { ...plain, field: field!.read!(key), value: value.bool() ? null : inner!.read!(value) };
    } else if (state.kind === "LIST") {
      const list: unknown[] = [];
      for (; value.left > 0 || list.length === 0; list.push(values!.parts[0]!.read!(value))) {
        if (list.length > 0 && value.u8() !== 0x2c) throw value.malformed("the elements of a list are not separated");
      }
      plain = { ...plain, value: list };
    } else plain = { ...plain, value: values!.read!(value) };
  }
  if (key.left > 0 || value.left > 0) throw key.malformed("a record is longer than it should be");
  return plain;
}
