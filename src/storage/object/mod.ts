/**
 * Snapshots in an object store.
 *
 * @module
 */

export type { BackgroundTask } from "./background.ts";
export type { Collected } from "./collector.ts";
export type { ObjectStorageOptions } from "./options.ts";
export { ObjectStorage } from "./storage.ts";
