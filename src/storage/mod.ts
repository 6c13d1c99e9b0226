/**
 * The storages that need no disk, and the base of all storages.
 *
 * @module
 */

export { type AddContext, addLocal } from "./add_local.ts";
export { decryptedReader, EncryptedStorage, encryptedWriter, type EncryptionKey } from "./encrypted/mod.ts";
export { MemoryStorage } from "./memory.ts";
export type * from "./medium.ts";
export { MediumStorage } from "./medium_storage.ts";
export type { RetentionFunction, RetentionLimits } from "./retention.ts";
export type { StorageOptions } from "./storage_options.ts";
export type { SnapshotFloor } from "./trust.ts";
