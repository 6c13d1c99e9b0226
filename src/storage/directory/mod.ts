/**
 * Snapshots on a disk, for Deno, Node and Bun.
 *
 * @module
 */

export { addFiles, type AddFilesOptions } from "./add_files.ts";
export { extract, type Extracted, type ExtractOptions } from "./extract.ts";
export { DirectoryStorage, type DirectoryStorageOptions, type DirectoryWriter } from "./storage.ts";
export { fileFloor } from "./floor.ts";
export type { ReferencedFile, ReferenceResolver } from "./references.ts";
export { snapshotDirectory } from "../layout.ts";
export type { Durability } from "./sync.ts";
