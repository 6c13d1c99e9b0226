/**
 * Keyed state in memory, of which a view can be taken at any moment.
 *
 * @module
 */

export * from "./cow_map.ts";
export * from "./keyed_state.ts";
export * from "./states.ts";
