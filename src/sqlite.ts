/**
 * What is kept in SQLite: a log, and keyed state.
 *
 * @module
 */

export * from "./log/sqlite.ts";
export * from "./state/database/sqlite.ts";
