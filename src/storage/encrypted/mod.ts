/**
 * Snapshots whose files are encrypted.
 *
 * @module
 */

export * from "./cipher.ts";
export { encryptedWriter } from "./file.ts";
export * from "./storage.ts";
