/**
 * The messages of object.proto, field by field. An absent field is absent here too.
 *
 * @module
 */

import { list, type Message, message, one } from "../../stream/mod.ts";

export interface KeptMessage {
  id?: string;
  index?: bigint;
  head?: Uint8Array;
  digest?: Uint8Array;
  size?: bigint;
  files?: number;
  chunks?: number;
  objectDigest?: Uint8Array;
  suspect?: boolean;
  retiredAt?: bigint;
  retiredIn?: bigint;
  reason?: string;
}

const KEPT: Message<KeptMessage> = message({
  id: one(1, "string"),
  index: one(2, "int64"),
  head: one(3, "bytes"),
  digest: one(4, "bytes"),
  size: one(5, "uint64"),
  files: one(6, "uint32"),
  chunks: one(7, "uint32"),
  objectDigest: one(8, "bytes"),
  suspect: one(9, "bool"),
  retiredAt: one(10, "int64"),
  retiredIn: one(11, "uint64"),
  reason: one(12, "string"),
});

export interface LeaseMessage {
  id?: string;
  /** The number of a kind of lease. */
  kind?: number;
  since?: bigint;
  activeUntil?: bigint;
  expiresAt?: bigint;
  digest?: Uint8Array;
  index?: bigint;
}

const LEASE: Message<LeaseMessage> = message({
  id: one(1, "string"),
  kind: one(2, "enum"),
  since: one(3, "uint64"),
  activeUntil: one(4, "int64"),
  expiresAt: one(5, "int64"),
  digest: one(6, "bytes"),
  index: one(7, "int64"),
});

export interface ObjectIndexMessage {
  formatVersion?: number;
  epoch?: string;
  generation?: bigint;
  snapshots?: KeptMessage[];
  retired?: KeptMessage[];
  quarantined?: KeptMessage[];
  leases?: LeaseMessage[];
  heeded?: string[];
}

export const OBJECT_INDEX: Message<ObjectIndexMessage> = message({
  formatVersion: one(1, "uint32"),
  epoch: one(2, "string"),
  generation: one(3, "uint64"),
  snapshots: list(4, KEPT),
  retired: list(5, KEPT),
  quarantined: list(6, KEPT),
  leases: list(7, LEASE),
  heeded: list(8, "string"),
});

export interface PackMessage {
  name?: string;
  size?: number;
}

export interface StoredManifestMessage {
  manifest?: Uint8Array;
  packs?: PackMessage[];
  runPacks?: number[];
  runOffsets?: number[];
  runChunks?: number[];
}

export const STORED_MANIFEST: Message<StoredManifestMessage> = message({
  manifest: one(1, "bytes"),
  packs: list(2, message<PackMessage>({ name: one(1, "string"), size: one(2, "uint32") })),
  runPacks: list(3, "uint32"),
  runOffsets: list(4, "uint32"),
  runChunks: list(5, "uint32"),
});
