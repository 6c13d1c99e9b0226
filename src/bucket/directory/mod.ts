/**
 * Objects in a directory, for Deno, Node and Bun.
 *
 * @module
 */

export * from "./bucket.ts";
