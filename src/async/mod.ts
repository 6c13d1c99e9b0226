/**
 * Promises: work that takes a while, runs ahead, waits its turn, or is waited for no longer than a signal allows.
 *
 * @module
 */

export * from "./in_flight.ts";
export * from "./never_throwing.ts";
export * from "./operation.ts";
export * from "./pause.ts";
export * from "./race_abort.ts";
export * from "./semaphore.ts";
export * from "./yield_turn.ts";
