/**
 * The messages of manifest.proto, field by field. An absent field is absent here too.
 *
 * @module
 */

import { list, type Message, message, one, others } from "../stream/mod.ts";

export interface EncryptionMessage {
  keyId?: string;
  mac?: Uint8Array;
}

export const ENCRYPTION: Message<EncryptionMessage> = message({ keyId: one(1, "string"), mac: one(2, "bytes") });

export interface KeyGroupsMessage {
  first?: number;
  last?: number;
  offsets?: bigint[];
}

export const KEY_GROUPS: Message<KeyGroupsMessage> = message({
  first: one(1, "uint32"),
  last: one(2, "uint32"),
  offsets: list(3, "uint64"),
});

export interface FileExtensionMessage {
  size?: bigint;
  chunkSize?: number;
  chunkLengths?: number[];
  chunkDigests?: Uint8Array;
  root?: Uint8Array;
  compression?: string;
  keyGroups?: KeyGroupsMessage;
  encryption?: EncryptionMessage;
}

export const FILE_EXTENSION: Message<FileExtensionMessage> = message({
  size: one(1, "uint64"),
  chunkSize: one(2, "uint32"),
  chunkLengths: list(3, "uint32"),
  chunkDigests: one(4, "bytes"),
  root: one(5, "bytes"),
  compression: one(6, "string"),
  keyGroups: one(7, KEY_GROUPS),
  encryption: one(8, ENCRYPTION),
});

export interface SnapshotExtensionMessage {
  formatVersion?: number;
  createdAt?: bigint;
  writer?: string;
  parentIndex?: bigint;
  signature?: Uint8Array;
  digest?: Uint8Array;
  group?: string;
  seal?: EncryptionMessage;
}

export const SNAPSHOT_EXTENSION: Message<SnapshotExtensionMessage> = message({
  formatVersion: one(1, "uint32"),
  createdAt: one(2, "int64"),
  writer: one(3, "string"),
  parentIndex: one(4, "int64"),
  signature: one(5, "bytes"),
  digest: one(6, "bytes"),
  group: one(7, "string"),
  seal: one(8, ENCRYPTION),
});

/** `FileSource`. */
export const SOURCES = ["local", "reference"] as const;

/** The first byte of either extension: field 1 as a varint. A field 1000 that begins otherwise is somebody else's. */
const EXTENSION_TAG = 0x08;
const isExtension = (bytes: Uint8Array) => bytes[0] === EXTENSION_TAG;

export interface LocalFileMetaMessage {
  userMeta?: Uint8Array;
  /** A number of {@linkcode SOURCES}; any other is an unknown field to braft, too. */
  source?: number;
  checksum?: string;
  unknownFields?: Uint8Array[];
  extension?: Uint8Array;
}

// Unknown fields stand where braft writes them, which takes the extension for one: behind all that it knows.
export const LOCAL_FILE_META: Message<LocalFileMetaMessage> = message({
  userMeta: one(1, "bytes"),
  source: one(2, "enum", (source) => source in SOURCES),
  checksum: one(3, "string"),
  unknownFields: others(),
  extension: one(1000, "bytes", isExtension),
});

export interface FileMessage {
  name?: string;
  meta?: LocalFileMetaMessage;
}

export interface SnapshotMetaMessage {
  lastIncludedIndex?: bigint;
  lastIncludedTerm?: bigint;
  peers?: string[];
  oldPeers?: string[];
  unknownFields?: Uint8Array[];
  extension?: Uint8Array;
}

export const SNAPSHOT_META: Message<SnapshotMetaMessage> = message({
  lastIncludedIndex: one(1, "int64"),
  lastIncludedTerm: one(2, "int64"),
  peers: list(3, "string"),
  oldPeers: list(4, "string"),
  unknownFields: others(),
  extension: one(1000, "bytes", isExtension),
});

export interface LocalSnapshotPbMetaMessage {
  meta?: SnapshotMetaMessage;
  files?: FileMessage[];
}

export const LOCAL_SNAPSHOT_PB_META: Message<LocalSnapshotPbMetaMessage> = message({
  meta: one(1, SNAPSHOT_META),
  files: list(2, message<FileMessage>({ name: one(1, "string"), meta: one(2, LOCAL_FILE_META) })),
});
