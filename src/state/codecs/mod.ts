/**
 * Values, keys and commands as bytes.
 *
 * @module
 */

export * from "./cbor.ts";
export * from "./codec.ts";
export * from "./keys.ts";
export * from "./protobuf.ts";
export * from "./varint.ts";
export * from "./block.ts";
