/**
 * The file system that a browser keeps for an origin (OPFS), in a few verbs.
 *
 * @module
 */

export * from "./directory.ts";
export * from "./handles.ts";
