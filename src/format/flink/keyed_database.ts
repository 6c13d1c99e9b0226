/**
 * Flink's keyed state in a RocksDB of an incremental checkpoint: a column family for each state, whose keys and values
 * are those of the full layout (see `keyed.ts`).
 *
 * @module
 */

import { SnapshotError } from "../../errors.ts";
import { JavaCursor } from "./java.ts";
import { checkGroup, type KeyedRecord, readersOf, readFull } from "./keyed.ts";
import type { Layout } from "./layout.ts";
import { type Database, type Families, openDatabase, pairsOf } from "./rocksdb/mod.ts";
import { type KeyedHead, keyedHead } from "./state_head.ts";

const MAX_HEAD = 16 * 1024 * 1024;

/** A database of keyed state. */
export class KeyedDatabase {
  readonly #layout: Layout;
  readonly #database: Database;
  readonly #families: Families;
  readonly #maxParallelism: number;
  readonly head: KeyedHead;

  private constructor(
    layout: Layout,
    database: Database,
    families: Families,
    maxParallelism: number,
    head: KeyedHead,
  ) {
    this.#layout = layout;
    this.#database = database;
    this.#families = families;
    this.#maxParallelism = maxParallelism;
    this.head = head;
  }

  /** Reads what its states are, and where their tables are; nothing if it has none. */
  static async open(
    layout: Layout,
    database: Database,
    maxParallelism: number,
    signal?: AbortSignal,
  ): Promise<KeyedDatabase | undefined> {
    const { meta } = database;
    if (meta === undefined) return undefined;
    const name = layout.nameOf(meta);
    if (meta.size > MAX_HEAD) {
      throw new SnapshotError("MALFORMED", `${JSON.stringify(name)} is damaged, or none: it has ${meta.size} bytes`, {
        file: name,
        expected: MAX_HEAD,
        actual: meta.size,
      });
    }
    const head = keyedHead(new JavaCursor(await layout.readWhole(meta, 0, meta.size, signal), name));
    return new KeyedDatabase(layout, database, await openDatabase(layout, database, signal), maxParallelism, head);
  }

  /** The records of some key groups, state by state; of one whose serializers are not known, one that says so. */
  async *records(first: number, last: number, signal?: AbortSignal): AsyncGenerator<KeyedRecord, void, undefined> {
    const length = this.#maxParallelism <= 128 ? 1 : 2;
    const prefix = (group: number) => Uint8Array.of(group >> 8, group & 0xff).subarray(2 - length);
    const range = { first: prefix(first), last: prefix(last) };
    for (const state of this.head.states) {
      const readers = readersOf(state, this.head.key);
      const tables = this.#families.get(state.name) ?? [];
      if (!readers.readable) {
        if (tables.length > 0) yield { state, keyGroup: first, opaque: true };
        continue;
      }
      const name = state.name;
      for await (const { key, value } of pairsOf(this.#layout, this.#database, tables, range, signal)) {
        if (key.length < length) throw new JavaCursor(key, name).malformed("a key has no group");
        const keyGroup = length === 1 ? key[0]! : key[0]! << 8 | key[1]!;
        const record = readFull(new JavaCursor(key, name, length), new JavaCursor(value, name), readers);
        if (record === undefined) {
          yield { state, keyGroup, opaque: true };
          continue;
        }
        checkGroup(record.key, keyGroup, { head: this.head, maxParallelism: this.#maxParallelism, name });
        yield { state, keyGroup, opaque: false, ...record };
      }
    }
  }
}
