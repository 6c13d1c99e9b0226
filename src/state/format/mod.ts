/**
 * The file format of keyed state.
 *
 * @module
 */

export * from "./chain.ts";
export * from "./decoder.ts";
export * from "./encoder.ts";
export * from "./entries.ts";
export * from "./head.ts";
export * from "./restore.ts";
