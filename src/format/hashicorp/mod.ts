/**
 * HashiCorp raft: stores of snapshots, and archives.
 *
 * @module
 */

export { consul } from "./archive.ts";
export { hashicorp } from "./store.ts";
