/**
 * Snapshots between machines, over HTTP.
 *
 * @module
 */

export * from "./client/mod.ts";
export * from "./notification.ts";
export * from "./server/mod.ts";
export type { ListedSnapshot, ServerStatus, ServerTransfer } from "./wire.ts";
