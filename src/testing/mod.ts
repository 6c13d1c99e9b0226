/**
 * Suites by which other storages, buckets, logs and disks can prove themselves. A suite is a list of cases, to be given
 * to any test runner.
 *
 * @module
 */

export { bucketConformance, type BucketUnderTest } from "./bucket.ts";
export type { ConformanceCase } from "./check.ts";
export { diskConformance, type DiskUnderTest } from "./disk.ts";
export { logConformance, type LogUnderTest } from "./log.ts";
export { stateConformance, type StateUnderTest } from "./state.ts";
export { storageConformance } from "./storage.ts";
export type { StorageUnderTest } from "./storage_kit.ts";
