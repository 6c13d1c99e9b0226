/**
 * Snapshots in an object store.
 *
 * @module
 */

export type { Collected } from "./collector.ts";
export { ObjectStorage, type ObjectStorageOptions } from "./object_storage.ts";
