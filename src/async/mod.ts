/**
 * Promises: long work, work that runs ahead, waiting for a turn, and waiting that a signal ends.
 *
 * @module
 */

export * from "./backoff.ts";
export * from "./failures.ts";
export * from "./idle_timer.ts";
export * from "./in_flight.ts";
export * from "./linked_abort.ts";
export * from "./map_ahead.ts";
export * from "./never_throwing.ts";
export * from "./operation.ts";
export * from "./pause.ts";
export * from "./race_abort.ts";
export * from "./semaphore.ts";
export * from "./yield_turn.ts";
