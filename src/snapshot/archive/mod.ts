/**
 * A snapshot as one stream.
 *
 * @module
 */

export * from "./described.ts";
export * from "./streamed.ts";
export * from "./unarchive.ts";
