/**
 * Snapshots whose files are encrypted.
 *
 * @module
 */

export * from "./cipher.ts";
export * from "./storage.ts";
