/**
 * What a state in a database is built on: an ordered store of bytes with point-in-time views.
 *
 * @module
 */

import { able } from "../../checks.ts";
import { messageOf, SnapshotError, type SnapshotErrorCode } from "../../errors.ts";

/** Changes that are written at once; the thread is a database's meanwhile, if it is a synchronous one. */
export const WRITE_BATCH = 256;

/** An entry. */
export type Pair = readonly [key: Uint8Array, value: Uint8Array];

/** A change of an entry: put, or, without a value, deleted. */
export interface Change {
  /** The key. */
  readonly key: Uint8Array;
  /** The value. */
  readonly value: Uint8Array | undefined;
}

/** The readable part of a store, as it is or as it was. Keys are in the order of their bytes. */
export interface Readable {
  /** Values, each `undefined` if there is none. */
  getMany(keys: readonly Uint8Array[]): Promise<(Uint8Array | undefined)[]>;
  /** The entries from a key on, up to but without another one, some at a time. */
  entries(from: Uint8Array, to: Uint8Array): AsyncIterable<readonly Pair[]>;
}

/** A store. What it throws is what the database throws: see {@linkcode guarded}. */
export interface Engine extends Readable {
  /**
   * The object that is the database, and which part of that this is: only one state at a time has it.
   *
   * @default the engine itself
   */
  readonly store?: { readonly database: object; readonly part: string };
  /** Carries out changes, all or none. What is given is not changed any more. */
  write(changes: readonly Change[]): Promise<void>;
  /** Deletes a range of keys. */
  clear(from: Uint8Array, to: Uint8Array): Promise<void>;
  /**
   * Has everything that was written survive a power failure, once it resolves. Absent where nothing can, as in memory:
   * a replica then purges its log behind snapshots only.
   */
  sync?(): Promise<void>;
  /** A view of the store as it is now; synchronous, and in constant time. */
  view(): EngineView;
  /** Gives back what the engine itself opened. No view is open any more. */
  close(): Promise<void>;
  /** Returns the code for an error of the database. */
  codeOf(error: unknown): SnapshotErrorCode;
}

/** A store as it was. */
export interface EngineView extends Readable {
  /** Gives it back. Nothing is being read from it any more. */
  close(): Promise<void>;
}

/**
 * A store whose errors are typed ones. What others throw meanwhile (a codec, a file) is not the database's, and stays
 * as it is.
 *
 * @param engine the store
 * @param giveBack is called when it was closed
 */
export function guarded(engine: Engine, giveBack: () => void): Engine {
  return {
    ...guardedReads(engine, engine),
    write: (changes) => attempt(engine, () => engine.write(changes)),
    clear: (from, to) => attempt(engine, () => engine.clear(from, to)),
    ...(engine.sync !== undefined && { sync: () => attempt(engine, () => engine.sync!()) }),
    view() {
      try {
        const view = engine.view();
        return { ...guardedReads(engine, view), close: () => attempt(engine, () => view.close()) };
      } catch (error) {
        throw typed(engine, error);
      }
    },
    close: () => attempt(engine, () => engine.close()).finally(giveBack),
    codeOf: (error) => engine.codeOf(error),
  };
}

function guardedReads(engine: Engine, source: Readable): Readable {
  return {
    getMany: (keys) => attempt(engine, () => source.getMany(keys)),
    async *entries(from, to) {
      try {
        yield* source.entries(from, to);
      } catch (error) {
        throw typed(engine, error);
      }
    },
  };
}

async function attempt<T>(engine: Engine, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw typed(engine, error);
  }
}

function typed(engine: Engine, error: unknown): unknown {
  if (error instanceof SnapshotError) return error;
  const code = engine.codeOf(error);
  const what = code === "CLOSED" ? "was closed" : code === "NO_SPACE" ? "has no space left" : "failed";
  return new SnapshotError(code, `The database of the state ${what}: ${messageOf(error)}`, { cause: error });
}

/** The parts of databases that states have. */
const taken = new WeakMap<object, Set<string>>();

/**
 * Takes a store for a state.
 *
 * @param engine the store
 * @returns gives it back
 * @throws {SnapshotError} `BUSY` if another state has it
 */
export function take(engine: Engine): () => void {
  const { database, part } = engine.store ?? { database: engine, part: "" };
  const parts = taken.get(database) ?? new Set();
  if (parts.has(part)) {
    throw new SnapshotError("BUSY", "Another state has the database open: close that first, or use another database");
  }
  taken.set(database, parts.add(part));
  return () => void parts.delete(part);
}

/** Checks a database for a `StoredState`. */
export function checkEngine(value: unknown, what: string): void {
  able("an Engine", "getMany", "entries", "write", "clear", "view", "close", "codeOf")(value, what);
}
