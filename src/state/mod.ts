/**
 * What is snapshotted: the contract of a state machine, and state that can be saved while it changes.
 *
 * @module
 */

export * from "./codec.ts";
export * from "./cow_map.ts";
export * from "./key_value.ts";
export * from "./machine.ts";
