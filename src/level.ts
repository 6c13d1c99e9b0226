/**
 * State in any `abstract-level` database: LevelDB (`classic-level`), a memory store, a browser's IndexedDB …
 *
 * @module
 */

export * from "./state/database/level.ts";
