/**
 * State in RocksDB, by way of `rocksdb-native`: on Node. (Its addon needs functions of libuv that Deno and Bun do not
 * have: there opening a database ends the process.)
 *
 * @module
 */

import { able } from "../../checks.ts";
import { messageOf, SnapshotError, type SnapshotErrorCode } from "../../errors.ts";
import type { Change, Engine, EngineView, Pair, Readable } from "./engine.ts";

/** Entries that are read at once: few, since nothing says how long they are. */
const READ = 64;
/** Entries, and bytes, that are handed on at once. */
const BATCH = { entries: 1000, bytes: 1024 * 1024 };

/** The part of a `rocksdb-native` database, or of a snapshot of one, that is read with. */
export interface RocksReadable {
  /** Walks over a range. */
  iterator(
    range: { readonly gte: Uint8Array; readonly lt: Uint8Array },
    options: { readonly capacity: number },
  ): AsyncIterable<{ readonly key: Uint8Array; readonly value: Uint8Array }>;
  /** Looks up several keys in one go. */
  read(options: { readonly capacity: number }): {
    get(key: Uint8Array): Promise<Uint8Array | null>;
    flush(): Promise<void>;
    destroy(): void;
  };
  /** Closes it. */
  close(): Promise<void>;
}

/** The part of a `rocksdb-native` database that is used. */
export interface RocksDatabase extends RocksReadable {
  /** Resolves when it is open. */
  ready(): Promise<void>;
  /** A view of what is in it now. */
  snapshot(): RocksReadable;
  /** Writes what is in memory to a table, and syncs that. */
  flush(): Promise<void>;
  /** Changes entries, all or none. */
  write(options: { readonly capacity: number }): {
    tryPut(key: Uint8Array, value: Uint8Array): void;
    tryDelete(key: Uint8Array): void;
    tryDeleteRange(start: Uint8Array, end: Uint8Array): void;
    flush(): Promise<void>;
    destroy(): void;
  };
}

/**
 * A RocksDB database for a `StoredState`. It belongs to the caller, who closes it after the state, and puts nothing
 * else into it.
 *
 * @param database a `RocksDB` of `rocksdb-native` 3; opened if it is not
 * @throws {SnapshotError} `BUSY`, `NO_SPACE` or `UNAVAILABLE` if it cannot be opened
 *
 * @example
 * ```ts ignore
 * import { StoredState, stringKeys, utf8Codec } from "@snapstream/snapstream";
 * import { rocksEngine } from "@snapstream/snapstream/rocksdb";
 * import RocksDB from "rocksdb-native";
 *
 * const database = new RocksDB("state.db");
 * const state = await StoredState.open(await rocksEngine(database), { keys: stringKeys() });
 * await state.value("names", utf8Codec()).set("7", "Ada");
 * await state.close();
 * await database.close();
 * ```
 */
export async function rocksEngine(database: RocksDatabase): Promise<Engine> {
  able("a RocksDB", "ready", "read", "write", "iterator", "snapshot", "flush")(database, "database");
  const engine = new RocksEngine(database);
  try {
    await database.ready();
  } catch (error) {
    throw new SnapshotError(engine.codeOf(error), `The database cannot be opened: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return engine;
}

class RocksEngine implements Engine {
  readonly #database: RocksDatabase;
  readonly #now: Readable;
  readonly store: NonNullable<Engine["store"]>;

  constructor(database: RocksDatabase) {
    this.#database = database;
    this.store = { database, part: "" };
    this.#now = readable(database);
  }

  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    return this.#now.getMany(keys);
  }

  entries(from: Uint8Array, to: Uint8Array): AsyncIterable<readonly Pair[]> {
    return this.#now.entries(from, to);
  }

  async write(changes: readonly Change[]): Promise<void> {
    const batch = this.#database.write({ capacity: changes.length });
    try {
      for (const { key, value } of changes) {
        if (value === undefined) batch.tryDelete(key);
        else batch.tryPut(key, value);
      }
      await batch.flush();
    } finally {
      batch.destroy(); // one that is left keeps the database from ever closing
    }
  }

  async clear(from: Uint8Array, to: Uint8Array): Promise<void> {
    const batch = this.#database.write({ capacity: 1 });
    try {
      batch.tryDeleteRange(from, to);
      await batch.flush();
    } finally {
      batch.destroy();
    }
  }

  async sync(): Promise<void> {
    await this.#database.flush();
  }

  view(): EngineView {
    const snapshot = this.#database.snapshot();
    return { ...readable(snapshot), close: () => snapshot.close() };
  }

  close(): Promise<void> {
    return Promise.resolve(); // it is the caller's
  }

  codeOf(error: unknown): SnapshotErrorCode {
    const text = String(error);
    if (/session is closed|Stream was destroyed/i.test(text)) return "CLOSED"; // they have no code
    if (/lock hold by current process|LOCK: Resource temporarily unavailable/i.test(text)) return "BUSY";
    return /no space left|ENOSPC/i.test(text) ? "NO_SPACE" : "UNAVAILABLE";
  }
}

function readable(source: RocksReadable): Readable {
  return {
    async getMany(keys) {
      const batch = source.read({ capacity: keys.length });
      try {
        const values = keys.map((key) => batch.get(key));
        const all = Promise.all(values);
        all.catch(() => {});
        await batch.flush();
        return (await all).map((value) => value ?? undefined);
      } finally {
        batch.destroy();
      }
    },
    async *entries(gte, lt) {
      let pairs: Pair[] = [];
      let bytes = 0;
      // Its batches are not to be had: they are gathered anew.
      for await (const { key, value } of source.iterator({ gte, lt }, { capacity: READ })) {
        pairs.push([key, value]);
        bytes += key.length + value.length;
        if (pairs.length < BATCH.entries && bytes < BATCH.bytes) continue;
        yield pairs;
        pairs = [];
        bytes = 0;
      }
      if (pairs.length > 0) yield pairs;
    },
  };
}
