/**
 * Snapshots in an object store: R2, S3, or anything that does what a {@linkcode Bucket} does.
 *
 * @module
 */

export * from "./bucket/mod.ts";
export * from "./bucket/r2.ts";
export * from "./storage/object/mod.ts";
