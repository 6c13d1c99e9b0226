/**
 * Object stores in a few verbs.
 *
 * @module
 */

export { CONTENTION, isContended, MAX_REFUSALS, RETRY, wasNotAnswered } from "./attempts.ts";
export * from "./bodies.ts";
export * from "./bucket.ts";
export * from "./keys.ts";
export { MemoryBucket } from "./memory.ts";
export * from "./read_whole.ts";
export * from "./retrying.ts";
