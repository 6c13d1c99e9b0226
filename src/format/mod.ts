/**
 * Snapshots of other systems.
 *
 * @module
 */

export { blobFiles, MAX_SOURCE_FILES, type SourceEntry, type SourceFile, type SourceFiles } from "./files.ts";
export type {
  Detection,
  FormatEntriesOptions,
  FormatEntry,
  FormatReader,
  FormatSnapshot,
  FormatVerifyResult,
  OpenFormatOptions,
  System,
} from "./format.ts";
export { detectFormat, listFormat, openFormat, SYSTEMS } from "./registry.ts";
export type { HashicorpServer } from "./hashicorp/mod.ts";
export {
  WRITABLE_SYSTEMS,
  type WritableSystem,
  writeFormat,
  type WriteFormatOptions,
  type WrittenFile,
} from "./write.ts";
