/**
 * Snapshots on a disk, for Deno, Node and Bun.
 *
 * @module
 */

export { DirectoryStorage, type DirectoryStorageOptions } from "./storage.ts";
export { snapshotDirectory } from "../layout.ts";
export type { Durability } from "./sync.ts";
