/**
 * Values, keys and commands as bytes.
 *
 * @module
 */

export * from "./codec.ts";
export * from "./keys.ts";
export * from "./varint.ts";
export * from "./block.ts";
