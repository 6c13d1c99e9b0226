/**
 * Serving snapshots over HTTP.
 *
 * @module
 */

export { Connections } from "./connections.ts";
export * from "./cors.ts";
export * from "./handler.ts";
export { LogRoute } from "./log_route.ts";
export type { SnapshotHandlerOptions } from "./options.ts";
export * from "./uploads.ts";
