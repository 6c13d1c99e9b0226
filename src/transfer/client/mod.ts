/**
 * Fetching, sending, and reading snapshots from another node.
 *
 * @module
 */

export * from "./http_source.ts";
export * from "./notify.ts";
export * from "./pull.ts";
export * from "./push.ts";
export * from "./remote.ts";
