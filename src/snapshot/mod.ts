/**
 * What a snapshot is: its meta, its manifest, the contracts of what keeps it, and the archive that it travels as.
 *
 * @module
 */

export * from "./archive.ts";
export * from "./complete.ts";
export { MAX_KEY_GROUPS } from "./key_groups.ts";
export * from "./manifest.ts";
export * from "./meta.ts";
export * from "./names.ts";
export * from "./storage.ts";
