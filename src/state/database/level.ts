/**
 * State in any `abstract-level` database: LevelDB (`classic-level`), a memory store, a browser's IndexedDB …
 *
 * @module
 */

import { able, has } from "../../checks.ts";
import { messageOf, SnapshotError, type SnapshotErrorCode } from "../../errors.ts";
import { unusedKey } from "./stored_keys.ts";
import type { Change, Engine, EngineView, Pair, Readable } from "./engine.ts";

/** Entries, and bytes, that are read at once. */
const BATCH = { entries: 1000, bytes: 1024 * 1024 };

/** The encodings of every call: bytes, whatever those of the database are. */
const BYTES = { keyEncoding: "view", valueEncoding: "view" } as const;

/** A point-in-time view of an `abstract-level` database. */
export interface LevelSnapshot {
  /** Gives it back, when what is being read from it has been. */
  close(): Promise<void>;
}

/** Walks over a range of an `abstract-level` database. */
export interface LevelIterator {
  /** The next entries; none at the end. */
  nextv(size: number): Promise<[Uint8Array, Uint8Array][]>;
  /** Ends it. */
  close(): Promise<void>;
}

/**
 * What of an `AbstractLevel` (`abstract-level` 3 or newer) is used. Loosely, since what its methods take depends on the
 * keys and values of the database, which do not matter here: every call says that it wants bytes.
 */
export interface LevelDatabase {
  /** Compacts a range, and first of all writes what is in memory to tables; only LevelDB has it. */
  // deno-lint-ignore no-explicit-any -- see above
  compactRange?(start: any, end: any, options: any): Promise<void>;
  /** The database that this is a part of, if it is one. */
  readonly db?: object;
  /** What the keys of this part begin with there. */
  readonly prefix?: string;
  /** The features that it has. */
  readonly supports: { readonly explicitSnapshots?: boolean };
  /** Opens it, if it is not open. */
  open(): Promise<void>;
  /** A view of what is in it now. */
  snapshot(): LevelSnapshot;
  /** Values. */
  // deno-lint-ignore no-explicit-any -- see above
  getMany(keys: any[], options: any): Promise<any[]>;
  /** Walks over a range. */
  // deno-lint-ignore no-explicit-any -- see above
  iterator(options: any): LevelIterator;
  /** Changes entries, all or none. */
  // deno-lint-ignore no-explicit-any -- see above
  batch(operations: any[], options: any): Promise<void>;
  /** Deletes a range. */
  // deno-lint-ignore no-explicit-any -- see above
  clear(options: any): Promise<void>;
}

/**
 * An `abstract-level` database for a `StoredState`. It belongs to the caller, who closes it after the state, and puts
 * nothing else into it: a sublevel of a larger one will do.
 *
 * @param database one with explicit snapshots; opened if it is not
 * @throws {SnapshotError} `UNSUPPORTED` if it has none
 *
 * @example
 * ```ts ignore
 * import { StoredState, stringKeys, utf8Codec } from "@snapstream/snapstream";
 * import { levelEngine } from "@snapstream/snapstream/level";
 * import { ClassicLevel } from "classic-level";
 *
 * const database = new ClassicLevel("state.db");
 * const state = await StoredState.open(await levelEngine(database), { keys: stringKeys(), incremental: true });
 * await state.value("names", utf8Codec()).set("7", "Ada");
 * await state.close();
 * await database.close();
 * ```
 */
export async function levelEngine(database: LevelDatabase): Promise<Engine> {
  able("an abstract-level database", "open", "getMany", "iterator", "batch", "clear", "snapshot")(database, "database");
  if (database.supports?.explicitSnapshots !== true) {
    throw new SnapshotError(
      "UNSUPPORTED",
      "The database has no explicit snapshots: use another abstract-level database",
    );
  }
  const engine = new LevelEngine(database);
  try {
    await database.open();
  } catch (error) {
    const cause = (error as Error).cause ?? error; // the error itself only says that it is not open
    throw new SnapshotError(engine.codeOf(cause), `The database cannot be opened: ${messageOf(cause)}`, { cause });
  }
  return engine;
}

class LevelEngine implements Engine {
  readonly #database: LevelDatabase;
  readonly #now: Readable;
  readonly store: NonNullable<Engine["store"]>;
  readonly sync?: () => Promise<void>;

  constructor(database: LevelDatabase) {
    this.#database = database;
    const root = database.db ?? database;
    this.store = { database: root, part: database.prefix ?? "" };
    if (has(root, "compactRange", "function")) this.sync = () => this.#sync(root as LevelDatabase);
    this.#now = readable(database, undefined);
  }

  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]> {
    return this.#now.getMany(keys);
  }

  entries(from: Uint8Array, to: Uint8Array): AsyncIterable<readonly Pair[]> {
    return this.#now.entries(from, to);
  }

  async write(changes: readonly Change[]): Promise<void> {
    await this.#database.batch(
      changes.map(({ key, value }) => value === undefined ? { type: "del", key } : { type: "put", key, value }),
      BYTES,
    );
  }

  async clear(gte: Uint8Array, lt: Uint8Array): Promise<void> {
    await this.#database.clear({ gte, lt, keyEncoding: "view" });
  }

  /**
   * Has LevelDB write what it has in memory to a table, which it syncs. To sync its log is not enough: the end of an
   * earlier log, which it has left for this one, may not be on the disk.
   */
  async #sync(root: LevelDatabase): Promise<void> {
    const key = unusedKey();
    await root.compactRange!(key, key, BYTES);
    await this.#database.batch([{ type: "del", key }], { ...BYTES, sync: true }); // fails if that has failed
  }

  view(): EngineView {
    const snapshot = this.#database.snapshot();
    return { ...readable(this.#database, snapshot), close: () => snapshot.close() };
  }

  close(): Promise<void> {
    return Promise.resolve(); // it is the caller's
  }

  codeOf(error: unknown): SnapshotErrorCode {
    const { code = "" } = error as { readonly code?: string };
    if (code === "LEVEL_LOCKED") return "BUSY";
    if (/^LEVEL_(DATABASE|ITERATOR|SNAPSHOT)_NOT_OPEN$/.test(code)) return "CLOSED";
    if (code === "LEVEL_CORRUPTION") return "CORRUPT";
    return /no space left|ENOSPC/i.test(String(error)) ? "NO_SPACE" : "UNAVAILABLE";
  }
}

function readable(database: LevelDatabase, snapshot: LevelSnapshot | undefined): Readable {
  const options = snapshot === undefined ? BYTES : { ...BYTES, snapshot };
  return {
    getMany: (keys) => database.getMany([...keys], options),
    async *entries(gte, lt) {
      const range = { gte, lt, highWaterMarkBytes: BATCH.bytes }; // the latter is classic-level's; others pass over it
      const iterator = database.iterator({ ...options, ...range });
      try {
        for (;;) {
          const pairs = await iterator.nextv(BATCH.entries);
          if (pairs.length === 0) return; // only the end is empty: a short batch is not the end
          yield pairs;
        }
      } finally {
        await iterator.close(); // one that stays open brings a whole process down when it ends
      }
    },
  };
}
