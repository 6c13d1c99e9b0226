/**
 * A log, and keyed state, in SQLite.
 *
 * @module
 */

export * from "./log/sqlite.ts";
export * from "./state/database/sqlite.ts";
