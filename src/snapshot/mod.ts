/**
 * A snapshot: its metadata, its manifest, the contracts of storages, and the archive that it travels as.
 *
 * @module
 */

export * from "./archive/mod.ts";
export * from "./at.ts";
export * from "./complete.ts";
export * from "./content.ts";
export { trailerOf } from "./trailer.ts";
export * from "./group.ts";
export * from "./info.ts";
export * from "./install.ts";
export { MAX_KEY_GROUPS } from "./key_groups.ts";
export * from "./limits.ts";
export * from "./manifest.ts";
export {
  FORMAT_VERSION,
  groupOfManifest,
  type ManifestVerifier,
  MAX_FILES,
  MAX_MANIFEST_BYTES,
} from "./manifest_bytes.ts";
export * from "./meta.ts";
export * from "./names.ts";
export * from "./options.ts";
export * from "./read_content.ts";
export * from "./reader.ts";
export * from "./signature.ts";
export * from "./verified_by.ts";
export * from "./stale.ts";
export * from "./storage.ts";
export * from "./writer.ts";
