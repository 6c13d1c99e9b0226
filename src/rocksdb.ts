/**
 * State in RocksDB through `rocksdb-native`, on Node. (Its addon needs functions of libuv that Deno and Bun do not
 * have: there, opening a database ends the process.)
 *
 * @module
 */

export * from "./state/database/rocksdb.ts";
