/**
 * Snapshots in an object store.
 *
 * @module
 */

export type { Collected } from "./collector.ts";
export { ObjectStorage, type ObjectStorageOptions } from "./storage.ts";
