/**
 * Serving snapshots over HTTP.
 *
 * @module
 */

export * from "./cors.ts";
export * from "./handler.ts";
export * from "./uploads.ts";
