/**
 * Snapshots on a disk, for Deno, Node and Bun.
 *
 * @example
 * ```ts
 * import { DirectoryStorage } from "@snapstream/snapstream/fs";
 *
 * const root = await Deno.makeTempDir();
 * await using storage = await DirectoryStorage.open(root);
 * const writer = await storage.create();
 * await ReadableStream.from([new TextEncoder().encode("hello")]).pipeTo(writer.file("greeting"));
 * await writer.commit({ lastIncludedIndex: 1n, lastIncludedTerm: 1n, peers: [] }); // durable from here on
 * ```
 *
 * @module
 */

export { DirectoryBucket, type DirectoryBucketOptions } from "./bucket/directory/mod.ts";
export { sourceFiles, type SourceFilesOptions } from "./format/disk/mod.ts";
export type { AddOptions } from "./snapshot/mod.ts";
export {
  addFiles,
  type AddFilesOptions,
  DirectoryStorage,
  type DirectoryStorageOptions,
  type DirectoryWriter,
  type Durability,
  extract,
  type Extracted,
  type ExtractOptions,
  type ReferencedFile,
  type ReferenceResolver,
} from "./storage/directory/mod.ts";
