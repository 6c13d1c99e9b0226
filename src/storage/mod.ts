/**
 * Where snapshots live; what of it needs no disk.
 *
 * @module
 */

export { checkKey, decryptedReader, EncryptedStorage, encryptedWriter, type EncryptionKey } from "./encrypted/mod.ts";
export { MemoryStorage } from "./memory.ts";
export type * from "./medium.ts";
export { MediumStorage, type StorageOptions } from "./medium_storage.ts";
