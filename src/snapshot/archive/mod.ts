/**
 * A snapshot as one stream.
 *
 * @module
 */

export * from "./described.ts";
export { type ArchiveHead, checkIndexOf, readHead } from "./head.ts";
export { archiveMagic } from "./records.ts";
export * from "./streamed.ts";
export * from "./unarchive.ts";
