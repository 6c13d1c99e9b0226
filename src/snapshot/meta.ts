/**
 * The metadata of a snapshot and of its files.
 *
 * @module
 */

import {
  type Check,
  checkBytes,
  checkIndex,
  checkOptions,
  type Checks,
  checkText,
  copyBytes,
  integer,
  listOf,
  MAX_INDEX,
  oneOf,
  required,
} from "../checks.ts";
import { SnapshotError } from "../errors.ts";
import { checkGroup } from "./group.ts";
import { LOCAL_FILE_META, SNAPSHOT_META } from "./messages.ts";
import type { ChunkMap, Message } from "../stream/mod.ts";

export { MAX_INDEX };

/** The longest signature, in bytes. */
export const MAX_SIGNATURE = 1024;

/**
 * The longest identifier of a key, in characters.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
const MAX_KEY_ID = 256;

/**
 * The metadata of a snapshot: braft's `SnapshotMeta`, and what Snapstream adds.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface SnapshotMeta {
  /** The index of the last log entry that the snapshot covers; 1 or more. */
  readonly lastIncludedIndex: bigint;
  /** The term of that entry. */
  readonly lastIncludedTerm: bigint;
  /** The members of the group at that index. */
  readonly peers: readonly string[];
  /** While the membership is changing (joint consensus): the members before. */
  readonly oldPeers?: readonly string[];
  /**
   * When it was taken: milliseconds since 1970. A save gives the time of its synchronous part; a commit fills in its
   * own if there is none.
   */
  readonly createdAt?: number;
  /** The software that wrote it. Filled in by a commit. */
  readonly writer?: string;
  /** The index of the snapshot that this one was built upon. */
  readonly parentIndex?: bigint;
  /**
   * The group: the name of the state machine whose replicas it is for; 1 to 255 bytes of UTF-8 without NUL. A snapshot
   * of another group is refused everywhere. Filled in by a storage that knows it.
   */
  readonly group?: string;
  /** A signature over the snapshot digest. */
  readonly signature?: Uint8Array;
  /**
   * Fields of braft's message `SnapshotMeta` that this release does not know, such as JRaft's learners, as they stand
   * in it. Whatever rewrites the manifest keeps them, as braft does, byte for byte.
   */
  readonly unknownFields?: Uint8Array;
  /** A seal over the snapshot digest, if its files are encrypted: {@linkcode EncryptedStorage} makes and checks it. */
  readonly seal?: SnapshotSeal;
}

/** The binding of encrypted files to their snapshot. */
export interface SnapshotSeal {
  /** The identifier of the key. */
  readonly keyId: string;
  /** An HMAC-SHA256 over the snapshot digest: 32 bytes. */
  readonly mac: Uint8Array;
}

/** The attributes of a file, given when it is added. */
export interface FileAttributes {
  /** Bytes of the user's own: braft's `user_meta`. */
  readonly userMeta?: Uint8Array;
  /** Where the file is: braft's `source`. A `"reference"` need not be in the snapshot's directory. */
  readonly source?: "local" | "reference";
  /** braft's `checksum`, a text of the user's own. Filled in as `chunks-sha256:` and the root if absent. */
  readonly checksum?: string;
  /** Fields of braft's message `LocalFileMeta` that this release does not know: see {@linkcode SnapshotMeta}. */
  readonly unknownFields?: Uint8Array;
}

/** The key groups that a file holds, and where each begins: Flink's `KeyGroupRangeOffsets`. */
export interface KeyGroupOffsets {
  /** The first key group. */
  readonly first: number;
  /** The last key group. */
  readonly last: number;
  /**
   * Where each begins, in bytes from the start of the file, from `first` to `last`. Each ends where the next one
   * begins, the last one with the file. Bytes before the first belong to all.
   */
  readonly offsets: Float64Array;
}

/** The key that a file was encrypted with, and a MAC. */
export interface FileEncryption {
  /** The identifier of the key. */
  readonly keyId: string;
  /** An HMAC-SHA256 over the name and the root of the file: 32 bytes. */
  readonly mac: Uint8Array;
}

/**
 * A file of a snapshot.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface FileInfo extends FileAttributes {
  /** Its name: see {@linkcode checkName}. */
  readonly name: string;
  /** Its key groups, if it is of keyed state. */
  readonly keyGroups?: KeyGroupOffsets;
  /** Its encryption, if it has one: its chunks and size are then those of the stored bytes. */
  readonly encryption?: FileEncryption;
  /** Its chunks and size. Absent in a snapshot that braft wrote. */
  readonly chunks?: ChunkMap;
}

/**
 * Checks the metadata of a snapshot.
 *
 * @returns a copy of it, which nobody else can change
 * @throws {SnapshotError} `MALFORMED` if something is of another type, or out of range
 */
export function checkMeta(meta: SnapshotMeta): SnapshotMeta {
  const {
    lastIncludedIndex,
    lastIncludedTerm,
    peers,
    oldPeers,
    createdAt,
    writer,
    parentIndex,
    group,
    signature,
    unknownFields,
    seal,
  } = checkOptions(meta, {
    lastIncludedIndex: required(checkSnapshotIndex),
    lastIncludedTerm: required(checkIndex),
    peers: required(listOf(checkText)),
    oldPeers: listOf(checkText),
    createdAt: integer(0),
    writer: checkText,
    parentIndex: checkIndex,
    group: checkGroup,
    signature: checkBytes,
    unknownFields: unknownTo(SNAPSHOT_META),
    seal: checkEncryption,
  }, "meta");
  if ((signature?.length ?? 0) > MAX_SIGNATURE) {
    throw new SnapshotError("MALFORMED", `A signature has at most ${MAX_SIGNATURE} bytes`, {
      index: lastIncludedIndex,
    });
  }
  return {
    lastIncludedIndex,
    lastIncludedTerm,
    peers: [...peers],
    ...(oldPeers !== undefined && { oldPeers: [...oldPeers] }),
    ...(createdAt !== undefined && { createdAt }),
    ...(writer !== undefined && { writer }),
    ...(parentIndex !== undefined && { parentIndex }),
    ...(group !== undefined && { group }),
    ...(signature !== undefined && { signature: copyBytes(signature, "meta.signature") }),
    ...(unknownFields !== undefined && { unknownFields: copyBytes(unknownFields, "meta.unknownFields") }),
    ...(seal !== undefined && { seal: checkEncryption(seal, "meta.seal") }),
  };
}

/** A check for fields of a message that are not known: known ones would change what the message says. */
function unknownTo(kind: Message<{ unknownFields?: Uint8Array[] }>): Check {
  return (value, what) => {
    const bytes = checkBytes(value, what);
    try {
      const { unknownFields, ...known } = kind.decode(bytes);
      if (Object.keys(known).length === 0 && unknownFields !== undefined) return;
    } catch {
      // They are no fields at all.
    }
    throw new SnapshotError("MALFORMED", `${what} must be protobuf fields that this release does not know`);
  };
}

/**
 * Checks the encryption of a file, or the seal of a snapshot.
 *
 * @throws {SnapshotError} `MALFORMED`
 */
export function checkEncryption(encryption: unknown, what = "encryption"): FileEncryption {
  const { keyId, mac } = checkOptions(encryption as FileEncryption, {
    keyId: required(checkText),
    mac: required(checkBytes),
  }, what);
  if (keyId.length > 0 && keyId.length <= MAX_KEY_ID && mac.length === 32) return { keyId, mac };
  throw new SnapshotError("MALFORMED", "What is said of the encryption of a file, or of the seal, is wrong");
}

function checkSnapshotIndex(value: unknown, what: string): void {
  if (checkIndex(value, what) === 0n) {
    throw new SnapshotError("MALFORMED", `${what} must be a bigint from 1, but it is the bigint 0: that means "none"`, {
      index: 0n,
    });
  }
}

/** The checks of the attributes of a file. */
export function attributeChecks(): Checks<FileAttributes> {
  return {
    userMeta: checkBytes,
    source: oneOf("local", "reference"),
    checksum: checkText,
    unknownFields: unknownTo(LOCAL_FILE_META),
  };
}

/** The attributes of a file, copied out of options that say more. */
export function attributesOf({ userMeta, source, checksum, unknownFields }: FileAttributes): FileAttributes {
  return {
    ...(userMeta !== undefined && { userMeta: copyBytes(userMeta, "options.userMeta") }),
    ...(source !== undefined && { source }),
    ...(checksum !== undefined && { checksum }),
    ...(unknownFields !== undefined && { unknownFields: copyBytes(unknownFields, "options.unknownFields") }),
  };
}

/** A file as it is in a copy that is made of the bytes: what was a reference is a file there, as it is to braft. */
export function copied<F extends FileAttributes>(file: F): F {
  if (file.source !== "reference") return file;
  const { source: _, ...others } = file;
  return others as F;
}

/** The name and version of this release, for manifests. */
export const WRITER: string = "snapstream/0.1.0";

/**
 * `meta` with the fields that a commit fills in: the time and the writer.
 *
 * @param meta what is known
 * @param createdAt the time, if `meta` does not say it; 0 for a snapshot whose time nobody knows
 */
export function completeMeta(meta: SnapshotMeta, createdAt: number): SnapshotMeta & { readonly createdAt: number } {
  const own = checkMeta(meta);
  return { writer: WRITER, ...own, createdAt: own.createdAt ?? createdAt };
}

/** A file with its chunks, and the checksum that a commit fills in. */
export function completeFile(file: Omit<FileInfo, "chunks">, chunks: ChunkMap): FileInfo {
  return { ...file, checksum: file.checksum ?? chunks.checksum, chunks };
}

/**
 * Options of `SnapshotWriter.file`.
 *
 * @category Storage
 * @see {@linkcode MemoryStorage}
 */
export interface FileOptions extends FileAttributes {
  /**
   * The size of the file in bytes, if it is known: a very large file gets larger chunks, so that its manifest stays
   * small. Not a promise: the file may turn out otherwise.
   */
  readonly size?: number;
  /**
   * The size of its chunks, 64 KiB to 4 MiB. By default 256 KiB, or more if `size` asks for it. Or `"pieces"`: each
   * piece that is written is a chunk, of up to 4 MiB, so that a chunk can begin where a key group does, or where the
   * content says.
   */
  readonly chunkSize?: number | "pieces";
  /** Called when the file was written to its end: gives the key groups that it holds, and where they begin. */
  readonly keyGroups?: () => KeyGroupOffsets | undefined;
  /** Called when the file was written to its end: gives the encryption of its bytes, which are stored as they are. */
  readonly encryption?: (chunks: ChunkMap) => Promise<FileEncryption | undefined>;
}
