/**
 * Where snapshots live; what of it needs no disk.
 *
 * @module
 */

export type { EncryptionKey } from "./cipher.ts";
export { decryptedReader, EncryptedStorage, encryptedWriter } from "./encrypted.ts";
export { MemoryStorage } from "./memory.ts";
export type { Medium, MediumFile, PlacedSnapshot, QuarantinedPlace, StoredSnapshot } from "./medium.ts";
export { MediumStorage, type StorageOptions } from "./medium_storage.ts";
