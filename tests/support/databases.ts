// The databases that there are on this runtime, each with a way to make one in a directory.

import { ClassicLevel } from "classic-level";
import { MemoryLevel } from "memory-level";
import process from "node:process";
import type { Engine } from "../../src/extend.ts";
import { levelEngine } from "../../src/state/database/level.ts";
import { type RocksDatabase, rocksEngine } from "../../src/state/database/rocksdb.ts";
import { sqliteEngine } from "../../src/sqlite.ts";

/** An open database. */
export interface Database {
  readonly engine: Engine;
  /** Closes what the engine leaves open. */
  close(): Promise<void>;
}

/** Opens a database at a path. */
export type OpenDatabase = (path: string) => Promise<Database>;

const { versions } = process as { versions: Record<string, string | undefined> };
// Its addon needs functions of libuv that the others do not have: opening one there ends the process.
const isNode = versions.deno === undefined && versions.bun === undefined;

export const databases: Readonly<Record<string, OpenDatabase>> = {
  async LevelDB(path) {
    const database = new ClassicLevel(path);
    return { engine: await levelEngine(database), close: () => database.close() };
  },
  async "memory-level"() {
    const database = new MemoryLevel();
    return { engine: await levelEngine(database), close: () => database.close() };
  },
  SQLite: (path) => Promise.resolve({ engine: sqliteEngine(`${path}.db`), close: () => Promise.resolve() }),
  ...(isNode && { RocksDB: openRocks }),
};

async function openRocks(path: string): Promise<Database> {
  const name = "rocksdb-native"; // not to be resolved where it cannot be loaded
  const { default: RocksDB } = await import(name);
  const database: RocksDatabase = new RocksDB(path);
  return { engine: await rocksEngine(database), close: () => database.close() };
}
