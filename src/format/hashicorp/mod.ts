/**
 * HashiCorp raft: stores of snapshots, and archives.
 *
 * @module
 */

export { consul } from "./archive.ts";
export { hashicorp } from "./store.ts";
export { archiveOfState } from "./archive_writer.ts";
export { encodeHashicorpMeta, type HashicorpMeta, type HashicorpServer } from "./meta.ts";
