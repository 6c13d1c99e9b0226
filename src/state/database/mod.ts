/**
 * Keyed state in a database.
 *
 * @module
 */

export * from "./changed_keys.ts";
export * from "./engine.ts";
export * from "./stored_state.ts";
