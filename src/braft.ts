/**
 * Snapshots to and from braft's nodes, over braft's own protocol. On Node, Deno and Bun.
 *
 * @module
 */

export * from "./braft/pull.ts";
export * from "./braft/server.ts";
